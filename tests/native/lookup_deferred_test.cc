// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Calls that do not wait for what the row cache has missed, because it had enough of their keys.
// Nobody resolves anything here but the test: a call that waited would fail at its deadline.

#include "lookup_fixture.h"
#include "resolver_fixture.h"

namespace jax_hps::test {
namespace {

using Code = Failure::Code;
using Rows = std::vector<int64_t>;

const TableShape kShape = {5, 200, 3, 1 << 18};

Rows keys_of(const Rows& rows) {
  Rows keys;
  for (const int64_t row : rows) keys.push_back(kShape.key(row));
  return keys;
}

// A table with a row cache that has rows 0 to 9; the rest is left to the test to resolve.
struct Threshold {
  explicit Threshold(int64_t ppm, bool missing_is_error = false)
      : table(
            "s/m/t", make_base(kShape, queue),
            {.missing_is_error = missing_is_error, .deadline_s = 0, .hit_rate_threshold_ppm = ppm},
            cache) {
    const OpenTable filling("s/m/filling", make_base(kShape), {}, cache);
    PartBuffers buffers("s/m/filling", keys_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), 3);
    CHECK(!lookup_parts({&buffers}, true));
  }

  // Whether a call went without what the cache did not have; all of that must be asked for.
  bool leaves(const Rows& keys, const Rows& asked) {
    const Counters& counters = table.counters();
    const int64_t before = counters.deferred, late = counters.degraded;
    PartBuffers buffers("s/m/t", keys, 3);
    const auto failure = lookup_parts({&buffers}, true);
    table.check_counters();
    int64_t missed = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      const int64_t row = kShape.row(keys[i]);
      const bool is_missed = std::count(asked.begin(), asked.end(), row) > 0;
      missed += is_missed;
      CHECK_EQUAL(buffers.found[i], row >= 0 && !is_missed);
      CHECK_EQUAL(buffers.out[3 * i], buffers.found[i] ? element(5, row, 0) : kDefault);
    }
    if (!asked.empty()) CHECK(queue->take()->rows == asked);
    CHECK_EQUAL(counters.deferred - before + counters.degraded - late, missed);
    CHECK(!failure || failure->code == Code::kDeadline);
    CHECK_EQUAL(failure.has_value(), counters.degraded > late);
    return !failure;
  }

  const std::shared_ptr<ResolverQueue> queue = std::make_shared<ResolverQueue>();
  const std::shared_ptr<RowCache> cache = make_row_cache(12, 1024);
  OpenTable table;
};

void enough_hits() {
  Threshold half(500'000);
  CHECK(half.leaves(keys_of({0, 1, 20, 21}), {20, 21}));
  CHECK(!half.leaves(keys_of({0, 20, 21}), {20, 21}));
  CHECK(half.leaves(keys_of({20, 0, 1}), {20}));
  CHECK(!half.leaves(keys_of({20}), {20}));
  CHECK(half.leaves(keys_of({0, 1, 2}), {}));
  CHECK(half.leaves({}, {}));
}

void thresholds_are_exact() {
  CHECK(!Threshold(666'667).leaves(keys_of({3, 20, 4}), {20}));
  CHECK(Threshold(666'666).leaves(keys_of({3, 20, 4}), {20}));
}

// However often a key comes, it counts once.
void distinct_keys_count() {
  Threshold half(500'000);
  CHECK(half.leaves(keys_of({20, 20, 20, 20, 0}), {20}));
  CHECK(!half.leaves(keys_of({0, 0, 0, 0, 20, 21}), {20, 21}));
}

// Of keys that have no row there is nothing to wait for, cached or not.
void unknown_keys_are_not_missed() {
  for (const bool is_error : {false, true}) {
    Threshold half(500'000, is_error);
    for (int call = 1; call <= 2; ++call) {
      PartBuffers buffers("s/m/t", {-1, kShape.key(20), 3, -1}, 3);
      const auto raised = lookup_parts({&buffers}, true);
      CHECK_EQUAL(raised.has_value(), is_error);
      if (is_error) check_failure(raised, Code::kMissingKey, "s/m/t", "3 of 4 keys are unknown");
      buffers.check(kShape, false);
      half.table.check_counters();
      CHECK_EQUAL(half.table.counters().defaults, 3 * call);
      CHECK_EQUAL(half.table.counters().deferred, call);
    }
  }
}

void never_and_always() {
  CHECK(Threshold(0).leaves(keys_of({20, 21, 22}), {20, 21, 22}));
  Threshold always(kAlwaysWait);
  CHECK(!always.leaves(keys_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 20}), {20}));
  CHECK(always.leaves(keys_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), {}));
}

void what_was_left_comes_behind_the_call() {
  Threshold never(0);
  PartBuffers first("s/m/t", keys_of({20, 1, 21}), 3), second = {"s/m/t", first.keys, 3};
  CHECK(!lookup_parts({&first}, true));
  const auto request = never.queue->take();
  request->answer(rows_of(5, request->rows, 3));
  CHECK(!lookup_parts({&second}, true));
  second.check(kShape);
  for (const size_t i : {0, 2}) CHECK_EQUAL(first.out[3 * i], kDefault);
  CHECK_EQUAL(never.table.counters().deferred, 2);
  CHECK_EQUAL(never.table.counters().row_cache_hits, 4);
}

// There is no cache for them to come into.
void tables_without_a_cache_wait() {
  ResolverThread resolver([](auto& request) { request.answer(rows_of(5, request.rows, 3)); });
  const OpenTable table("s/m/t", make_base(kShape, resolver.queue),
                        {.deadline_s = 60, .hit_rate_threshold_ppm = 0});
  PartBuffers buffers("s/m/t", keys_of({1, 2, 3}), 3);
  CHECK(!lookup_parts({&buffers}, true));
  buffers.check(kShape);
  CHECK_EQUAL(table.counters().deferred, 0);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"with enough hits, the rest is not waited for", enough_hits},
      {"thresholds are exact", thresholds_are_exact},
      {"distinct keys count", distinct_keys_count},
      {"unknown keys are not missed", unknown_keys_are_not_missed},
      {"never and always", never_and_always},
      {"what was left comes behind the call", what_was_left_comes_behind_the_call},
      {"tables without a cache wait", tables_without_a_cache_wait},
  });
}
