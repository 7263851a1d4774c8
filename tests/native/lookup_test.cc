// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "float_reference.h"
#include "lookup_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using Code = Failure::Code;

const TableShape kDense = {1, 1000, 4, 0};
const TableShape kSparse = {2, 3000, 7, 1 << 20};
const TableShape kWide = {3, 50, 300, 3};

// Keys of a table, a fifth of them unknown, many twice.
std::vector<int64_t> some_keys(const TableShape& shape, size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int64_t> keys(count);
  for (int64_t& key : keys) {
    key = shape.key(static_cast<int64_t>(random.below(static_cast<uint64_t>(shape.num_rows))));
    if (random.below(5) == 0) key = static_cast<int64_t>(random.word());
  }
  return keys;
}

void parts_of_several_tables() {
  const OpenTable dense("s/m/dense", make_base(kDense)), sparse("s/m/sparse", make_base(kSparse));
  const OpenTable wide("s/m/wide", make_base(kWide));
  for (const size_t count : {0, 1, 2, 33, 1000, 20'000}) {
    const Scope scope("count ", count);
    PartBuffers a("s/m/dense", some_keys(kDense, count, 1), 4);
    PartBuffers b("s/m/sparse", some_keys(kSparse, count / 2, 2), 7);
    PartBuffers c("s/m/wide", some_keys(kWide, count / 7 + 1, 3), 300);
    PartBuffers d("s/m/dense", a.keys, 4);  // the same table, the same keys
    CHECK(!lookup_parts({&a, &b, &c, &d}));
    a.check(kDense);
    b.check(kSparse);
    c.check(kWide);
    d.check(kDense);
  }
  for (const OpenTable* table : {&dense, &sparse, &wide}) {
    table->check_counters();
    CHECK_EQUAL(table->counters().failures, 0);
  }
  CHECK_EQUAL(dense.counters().lookups, 12);
  CHECK_EQUAL(dense.counters().keys, 2 * 21'036);
  CHECK_EQUAL(dense.counters().bytes, 2 * 21'036 * 16);
}

void outputs_of_another_dtype() {
  const OpenTable table("s/m/t", make_base(kDense));
  for (const DType output : {DType::kFloat16, DType::kBFloat16}) {
    PartBuffers buffers("s/m/t", some_keys(kDense, 200, 4), 4);
    std::vector<uint16_t> out(200 * 4);
    LookupPart part = buffers.part();
    part.output = output;
    part.out = reinterpret_cast<std::byte*>(out.data());
    CHECK(!lookup({&part, 1}, true, nullptr));
    for (size_t i = 0; i < out.size(); ++i) {
      const int64_t row = kDense.row(buffers.keys[i / 4]);
      const float value = row < 0 ? kDefault : element(1, row, static_cast<int64_t>(i % 4));
      CHECK_EQUAL(out[i], format_of(output).round(value));
    }
  }
}

void nobody_asks_for_found() {
  const OpenTable table("s/m/t", make_base(kSparse));
  PartBuffers with("s/m/t", some_keys(kSparse, 100, 5), 7), without = {"s/m/t", with.keys, 7};
  LookupPart part = without.part();
  part.found = nullptr;
  CHECK(!lookup({&part, 1}, true, nullptr));
  CHECK(!lookup_parts({&with}));
  CHECK(with.out == without.out);
}

void empty_parts_need_no_buffers() {
  const OpenTable table("s/m/t", make_base(kDense));
  for (const char* name : {"s/m/t", "s/m/none"}) {
    LookupPart part;
    part.table = name;
    part.dim = 4;
    lookup({&part, 1}, true, nullptr);
  }
  CHECK_EQUAL(table.counters().lookups, 1);
  CHECK_EQUAL(table.counters().keys, 0);
  CHECK(!lookup({}, true, nullptr));
}

// Large calls are dealt out in pieces; who runs them must not show.
void pieces_on_many_threads() {
  const OpenTable dense("s/m/dense", make_base(kDense)), sparse("s/m/sparse", make_base(kSparse));
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    PartBuffers a("s/m/dense", some_keys(kDense, 60'000, round), 4);
    PartBuffers b("s/m/sparse", some_keys(kSparse, 60'000, round + 10), 7);
    PartBuffers c("s/m/none", {1, 2, 3}, 2);
    CHECK(!lookup_parts({&a, &b, &c}, false, &pool));
    a.check(kDense);
    b.check(kSparse);
    c.check_zeros();
  }
  dense.check_counters();
  sparse.check_counters();
  Registry::instance().orphan_failures.take();
}

// Above 32 MiB the output's pages are made huge before they are written.
void very_large_outputs() {
  const TableShape shape = {3, 50, 1024, 0};
  const OpenTable table("s/m/t", make_base(shape));
  ThreadPool pool(2);
  PartBuffers buffers("s/m/t", some_keys(shape, 9000, 6), 1024);
  CHECK(!lookup_parts({&buffers}, true, &pool));
  buffers.check(shape);
}

void unknown_tables_answer_zeros() {
  FailureLog& orphans = Registry::instance().orphan_failures;
  PartBuffers buffers("s/m/none", {1, 2, 3}, 5);
  check_failure(lookup_parts({&buffers}, true), Code::kClosed, "s/m/none",
                "'s/m/none' is not open");
  buffers.check_zeros();
  CHECK(orphans.take().empty());
  PartBuffers again("s/m/none", {1, 2, 3}, 5);
  CHECK(!lookup_parts({&again}, false));
  again.check_zeros();
  check_failure(take_one(orphans), Code::kClosed, "s/m/none", "is not open");
}

void wrong_dims_answer_zeros() {
  OpenTable table("s/m/t", make_base(kDense));
  PartBuffers raised("s/m/t", {1, 2}, 3), kept("s/m/t", {1, 2}, 5);
  check_failure(lookup_parts({&raised}, true), Code::kInvalidArgument, "s/m/t",
                "compiled for dim 3 of table 's/m/t', which now has dim 4");
  CHECK(!lookup_parts({&kept}, false));
  raised.check_zeros();
  kept.check_zeros();
  check_failure(take_one(table->failures), Code::kInvalidArgument, "s/m/t", "dim 5");
  CHECK_EQUAL(table.counters().failures, 1);
  CHECK_EQUAL(table.counters().keys, 0);
}

void missing_keys_can_be_errors() {
  OpenTable table("s/m/t", make_base(kSparse), {.missing_is_error = true});
  PartBuffers known("s/m/t", {kSparse.key(0), kSparse.key(2999)}, 7);
  CHECK(!lookup_parts({&known}, true));
  for (const bool raise : {true, false}) {
    PartBuffers buffers("s/m/t", {kSparse.key(5), -1, kSparse.key(6), 8, -1}, 7);
    const auto raised = lookup_parts({&buffers}, raise);
    CHECK_EQUAL(raised.has_value(), raise);
    check_failure(raise ? raised : take_one(table->failures), Code::kMissingKey, "s/m/t",
                  "3 of 5 keys are unknown, the first is -1.");
    buffers.check(kSparse);
  }
  table.check_counters();
  CHECK_EQUAL(table.counters().defaults, 6);
  CHECK_EQUAL(table.counters().failures, 1);
}

void missing_keys_of_any_type_and_alignment() {
  const OpenTable table("s/m/t", make_base(kDense), {.missing_is_error = true});
  struct Kind {
    KeyType type;
    int64_t key;
  };
  for (const auto& [type, key] : {Kind{KeyType::kInt32, -5}, Kind{KeyType::kUInt32, 4'000'000'000},
                                  Kind{KeyType::kInt64, INT64_MIN}}) {
    for (const size_t shift : {0, 1}) {
      Bytes keys(shift + 8);
      std::memcpy(keys.data() + shift, &key, 8);
      PartBuffers buffers("s/m/t", {key}, 4);
      LookupPart part = buffers.part();
      part.keys = keys.data() + shift;
      part.key_type = type;
      check_failure(lookup({&part, 1}, true, nullptr), Code::kMissingKey, "s/m/t",
                    "the first is " + std::to_string(key));
      buffers.check(kDense);
    }
  }
}

void strict_tables_raise_in_the_call() {
  OpenTable strict("s/m/strict", make_base(kDense), {.missing_is_error = true, .strict = true});
  OpenTable lenient("s/m/lenient", make_base(kDense), {.missing_is_error = true});
  PartBuffers a("s/m/lenient", {-1}, 4), b("s/m/strict", {-2, 3}, 4), c("s/m/strict", {1}, 9);
  // The dim is looked at first; what comes after it is not lost.
  check_failure(lookup_parts({&a, &b, &c}), Code::kInvalidArgument, "s/m/strict", "dim 9");
  a.check(kDense);
  b.check(kDense);
  c.check_zeros();
  check_failure(take_one(lenient->failures), Code::kMissingKey, "s/m/lenient", "the first is -1");
  check_failure(take_one(strict->failures), Code::kMissingKey, "s/m/strict", "the first is -2");
  check_failure(lookup_parts({&a, &b}), Code::kMissingKey, "s/m/strict", "the first is -2");
}

void the_first_failure_is_raised() {
  OpenTable table("s/m/t", make_base(kDense), {.missing_is_error = true});
  PartBuffers a("s/m/t", {-1}, 4), b("s/m/t", {-2}, 4), c("s/m/t", {3}, 4);
  check_failure(lookup_parts({&a, &b, &c}, true), Code::kMissingKey, "s/m/t", "first is -1");
  check_failure(take_one(table->failures), Code::kMissingKey, "s/m/t", "first is -2");
  c.check(kDense);
}

void failure_logs_keep_the_first_few() {
  FailureLog log;
  for (int i = 0; i < 1000; ++i) log.add({Code::kClosed, std::to_string(i), "s/m/t"});
  log.add({Code::kClosed, "of another table", "s/m/u"});  // which has a share of its own
  const std::vector<Failure> taken = log.take("s/m/t");
  CHECK_EQUAL(taken.size(), size_t{64});
  for (int i = 0; i < 64; ++i) CHECK_EQUAL(taken[i].message, std::to_string(i));
  CHECK_EQUAL(take_one(log)->message, "of another table");
  CHECK(log.take().empty());
  OpenTable table("s/m/t", make_base(kDense), {.missing_is_error = true});
  for (int i = 0; i < 100; ++i) {
    PartBuffers buffers("s/m/t", {-1}, 4);
    lookup_parts({&buffers});
  }
  CHECK_EQUAL(table->failures.take().size(), size_t{64});
  CHECK_EQUAL(table.counters().failures, 100);
}

void failures_are_taken_by_prefix() {
  FailureLog log;
  for (const char* table : {"a/m/t", "b/m/t", "a/m/u", "ab/m/t", "a/n/t"}) {
    log.add({Code::kClosed, table, table});
  }
  const auto names = [&](std::string_view prefix) {
    std::string joined;
    for (const Failure& failure : log.take(prefix)) joined += failure.message + " ";
    return joined;
  };
  CHECK_EQUAL(names("c/"), "");
  CHECK_EQUAL(names("a/m/"), "a/m/t a/m/u ");
  CHECK_EQUAL(names("a/"), "a/n/t ");
  CHECK_EQUAL(names(""), "b/m/t ab/m/t ");
}

void bases_refuse_parts_that_do_not_fit() {
  const TempFolder folder;
  const ArrayLayout layout = {2, 10, 16, 16, 4, true, true};
  const auto index = std::make_shared<KeyIndex>(3);
  const int64_t keys[] = {1, 2, 3};
  index->insert(keys, 3);
  Base::Options sound;
  sound.mapped = std::make_shared<MappedArray>(folder.path(), layout, Bytes());
  sound.num_rows = 10;
  sound.dim = 4;
  sound.default_row.resize(16);
  CHECK_EQUAL(Base(sound).dim(), 4);
  struct Wrong {
    const char* part;
    void (*spoil)(Base::Options&);
  };
  const Wrong wrongs[] = {
      {"expected dim of 1 or more, got 0", [](auto& parts) { parts.dim = 0; }},
      {"default row of 16 bytes, got 8", [](auto& parts) { parts.default_row.resize(8); }},
      {"expected 11 rows", [](auto& parts) { parts.num_rows = 11; }},
      {"got -1 rows", [](auto& parts) { parts.num_rows = -1; }},
      {"3 keys for 2 rows", [](auto& parts) { parts.num_rows = 2; }},
      {"from a mapped array or from a resolver", [](auto& parts) { parts.mapped = nullptr; }},
      {"from a mapped array or from a resolver",
       [](auto& parts) { parts.resolver = std::make_shared<ResolverQueue>(); }},
      {"the array has 10 of 16", [](auto& parts) {
         parts.dim = 5;
         parts.default_row.resize(20);
       }}};
  for (const Wrong& wrong : wrongs) {
    Base::Options parts = sound;
    parts.index = index;
    wrong.spoil(parts);
    check_throws(ErrorCode::kInvalidArgument, wrong.part, [&] { Base base(parts); });
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"parts of several tables in one call, keys shared and twice", parts_of_several_tables},
      {"outputs of another dtype", outputs_of_another_dtype},
      {"found is only written where asked for", nobody_asks_for_found},
      {"empty parts need no buffers", empty_parts_need_no_buffers},
      {"pieces of large calls on many threads", pieces_on_many_threads},
      {"outputs above 32 MiB", very_large_outputs},
      {"unknown tables answer zeros, and it is raised or kept", unknown_tables_answer_zeros},
      {"wrong dims answer zeros, and it is raised or kept", wrong_dims_answer_zeros},
      {"missing keys are errors where the table says so", missing_keys_can_be_errors},
      {"the missing key is named, whatever its type", missing_keys_of_any_type_and_alignment},
      {"strict tables raise where others keep", strict_tables_raise_in_the_call},
      {"the first failure is raised, others are kept", the_first_failure_is_raised},
      {"failure logs keep the first 64 of each table, and all are counted",
       failure_logs_keep_the_first_few},
      {"failures are taken by the prefix of their table", failures_are_taken_by_prefix},
      {"a base refuses parts that do not fit", bases_refuse_parts_that_do_not_fit},
  });
}
