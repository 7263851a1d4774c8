// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Lookups of tables that have a row cache in front of mapped rows, or of a resolver.

#include <optional>

#include "gather_fixture.h"
#include "lookup_fixture.h"
#include "resolver_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using Code = Failure::Code;
using Rows = std::vector<int64_t>;

const TableShape kShape = {5, 200, 3, 1 << 18};
constexpr size_t kRowBytes = 12;

// A table with a row cache, over mapped rows or over a resolver that answers rightly.
struct CachedTable {
  explicit CachedTable(bool is_mapped, TableShape of = kShape, int64_t cache_rows = 1024,
                       RowCacheOptions of_cache = {}, Table::Options options = {})
      : shape(of),
        resolver([of](ResolverRequest& request) {
          request.answer(rows_of(of.seed, request.rows, of.dim));
        }),
        cache(make_row_cache(static_cast<size_t>(of.dim) * 4, cache_rows, of_cache)),
        table("s/m/t", make_base(of, is_mapped ? nullptr : resolver.queue), options, cache) {}

  // A call that raises nothing, and is right.
  void look_up(const Rows& keys, Executor* executor = nullptr) {
    PartBuffers buffers("s/m/t", keys, shape.dim);
    CHECK(!lookup_parts({&buffers}, true, executor));
    buffers.check(shape);
    table.check_counters();
  }
  int64_t count(const Rows& keys, bool known) const {
    return std::count_if(keys.begin(), keys.end(),
                         [&](int64_t key) { return (shape.row(key) >= 0) == known; });
  }
  void check_counts(int64_t cached, int64_t base, int64_t unknown) const {
    CHECK_EQUAL(table.counters().row_cache_hits, cached);
    CHECK_EQUAL(table.counters().base_hits, base);
    CHECK_EQUAL(table.counters().defaults, unknown);
  }

  const TableShape shape;
  ResolverThread resolver;
  const std::shared_ptr<RowCache> cache;
  OpenTable table;
};

Rows keys_of(const Rows& rows) {
  Rows keys;
  for (const int64_t row : rows) keys.push_back(kShape.key(row));
  return keys;
}

// Keys of a table, a fifth of them unknown, most of them more than once.
Rows some_keys(const TableShape& shape, size_t count, uint64_t seed) {
  Random random(seed);
  Rows keys(count);
  for (int64_t& key : keys) {
    const auto row = static_cast<int64_t>(random.below(static_cast<uint64_t>(shape.num_rows)));
    key = random.below(5) == 0 ? -8 - row : shape.key(row);
  }
  return keys;
}

void the_second_call_is_answered_from_the_cache() {
  for (const bool is_mapped : {true, false}) {
    const Scope scope(is_mapped ? "mapped" : "resolver");
    CachedTable cached(is_mapped);
    const Rows keys = some_keys(kShape, 500, 1);
    const int64_t known = cached.count(keys, true), unknown = cached.count(keys, false);
    cached.look_up(keys);
    cached.check_counts(0, known, unknown);
    const int64_t offered = cached.cache->counters.attempts;
    cached.look_up(keys);
    cached.check_counts(known, known, 2 * unknown);
    CHECK_EQUAL(cached.resolver.requests, is_mapped ? 0 : 1);
    CHECK_EQUAL(cached.cache->counters.attempts, offered);
  }
}

void what_is_cached_is_not_asked_for() {
  CachedTable cached(false);
  cached.look_up(keys_of({1, 2, 3, 4}));
  cached.look_up(keys_of({9, 3, 2, 3, 8, 9}));
  cached.check_counts(3, 7, 0);
  CHECK(cached.resolver.asked() ==
        (std::map<int64_t, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {8, 1}, {9, 1}}));
  CHECK_EQUAL(cached.resolver.requests, 2);
}

void unknown_keys_are_cached_and_still_told() {
  for (const bool is_mapped : {true, false}) {
    const Scope scope(is_mapped ? "mapped" : "resolver");
    CachedTable cached(is_mapped, kShape, 1024, {}, {.missing_is_error = true});
    for (int64_t call = 1; call <= 3; ++call) {
      PartBuffers buffers("s/m/t", {-3, kShape.key(6), 5, -3, INT64_MIN}, 3);
      check_failure(lookup_parts({&buffers}, true), Code::kMissingKey, "s/m/t",
                    "4 of 5 keys are unknown, the first is -3");
      buffers.check(kShape);
      cached.check_counts(call - 1, 1, 4 * call);
      // None is offered again, so the second call and the third have found them.
      CHECK_EQUAL(cached.cache->counters.attempts, 4);
      CHECK_EQUAL(cached.cache->counters.absents, 3);
    }
    CHECK_EQUAL(cached.resolver.requests, is_mapped ? 0 : 1);
    for (int call = 0; call < 2; ++call) {
      PartBuffers nothing_known("s/m/t", {7, 8, 9, 8}, 3);
      check_failure(lookup_parts({&nothing_known}, true), Code::kMissingKey, "s/m/t",
                    "4 of 4 keys are unknown, the first is 7");
      nothing_known.check(kShape);
    }
    CHECK_EQUAL(cached.resolver.requests, is_mapped ? 0 : 1);
    cached.table.check_counters();
  }
}

void duplicates_are_resolved_once_and_counted() {
  for (const bool is_mapped : {true, false}) {
    const Scope scope(is_mapped ? "mapped" : "resolver");
    CachedTable cached(is_mapped);
    Rows keys;
    const std::pair<int64_t, int> times[] = {{kShape.key(1), 20}, {kShape.key(2), 5}, {4, 7}};
    for (const auto& [key, count] : times) keys.insert(keys.begin(), count, key);
    keys.push_back(kShape.key(2));
    cached.look_up(keys);
    cached.check_counts(0, 26, 7);
    if (!is_mapped) CHECK(cached.resolver.asked() == (std::map<int64_t, int>{{1, 1}, {2, 1}}));
    const RowCache::Contents contents = cached.cache->contents();
    std::map<int64_t, int> uses;
    for (size_t i = 0; i < contents.keys.size(); ++i) uses[contents.keys[i]] = contents.uses[i];
    CHECK(uses == (std::map<int64_t, int>{{kShape.key(1), 15}, {kShape.key(2), 6}, {4, 7}}));
  }
}

std::vector<cache::PolicyOptions> policies() {
  return {{},
          {.admit_always = true},
          {.policy = cache::Policy::kLru},
          {.policy = cache::Policy::kS3Fifo}};
}

// One bucket, far fewer rows than any call has keys.
void small_caches_stay_exact() {
  const TableShape shape = {1, 2000, 7, 1 << 20};
  for (const bool is_mapped : {true, false}) {
    for (const cache::PolicyOptions& policy : policies()) {
      const Scope scope(is_mapped ? "mapped" : "resolver", ", policy ",
                        static_cast<int>(policy.policy), policy.admit_always ? ", admits all" : "");
      RowCacheOptions options;
      options.policy = policy;
      CachedTable cached(is_mapped, shape, 1, options);
      for (uint64_t call = 0; call < 4; ++call) {
        cached.look_up(some_keys(shape, 3000, call % 2));
        cached.look_up(some_keys(shape, 20, call));
      }
      CHECK_EQUAL(cached.cache->num_cached(), 16);
      CHECK(cached.table.counters().row_cache_hits > 0);
    }
  }
}

// A call of keys of some type, converted on the way.
struct TypedCall {
  KeyType type;
  DType output;
  bool found;

  void run(const TableShape& shape, const Rows& keys) const {
    Bytes packed(keys.size() * key_bytes(type));
    for (size_t i = 0; i < keys.size(); ++i) {
      std::memcpy(packed.data() + i * key_bytes(type), &keys[i], key_bytes(type));
    }
    Bytes out(keys.size() * static_cast<size_t>(shape.dim) * itemsize(output));
    const auto flags = std::make_unique<bool[]>(keys.size());
    const LookupPart part = {
        "s/m/typed", packed.data(), type,       static_cast<int64_t>(keys.size()),
        shape.dim,   output,        out.data(), found ? flags.get() : nullptr};
    CHECK(!lookup({&part, 1}, true, nullptr));
    for (size_t i = 0; i < keys.size(); ++i) {
      const int64_t row = shape.row(keys[i]);
      const Scope scope("key ", keys[i], " at ", i);
      if (found) CHECK_EQUAL(flags[i], row >= 0);
      for (int64_t j = 0; j < shape.dim; ++j) {
        const size_t at = (i * static_cast<size_t>(shape.dim) + static_cast<size_t>(j));
        const float value = row < 0 ? kDefault : element(shape.seed, row, j);
        Bytes expected(itemsize(output));
        convert_element(DType::kFloat32, reinterpret_cast<const std::byte*>(&value), output,
                        expected.data());
        CHECK(std::equal(expected.begin(), expected.end(), out.data() + at * expected.size()));
      }
    }
  }
};

// Rows that halves hold, too; keys of 32 bits, some negative, some of no table.
Rows typed_keys(const TableShape& shape, KeyType type, uint64_t seed) {
  const KeyUniverse as_typed(0, false, type);
  Rows keys = some_keys(shape, 300, seed);
  keys.insert(keys.end(), {shape.key(0), INT32_MIN, INT32_MAX, -1, int64_t{1} << 32, INT64_MIN});
  for (int64_t& key : keys) key = as_typed.narrowed(key);
  return keys;
}

void every_kind_of_key_and_output() {
  for (const int64_t key_step : {0, 1 << 20}) {
    for (const bool is_mapped : {true, false}) {
      const TableShape shape = {0, 200, 5, key_step};
      CachedTable cached(is_mapped, shape);
      for (const KeyType type : {KeyType::kInt32, KeyType::kUInt32, KeyType::kInt64}) {
        for (const DType output : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
          for (const int key_bits : {64, 32}) {
            const Scope scope("key step ", key_step, is_mapped ? ", mapped" : ", resolver",
                              ", key type ", static_cast<int>(type), ", output ", name_of(output),
                              ", key bits ", key_bits);
            // So many that tags of 32-bit keys are exact.
            RowCacheOptions options;
            options.key_bits = key_bits;
            const auto cache = make_row_cache(20, 4096, options);
            CHECK_EQUAL(cache->is_exact(), key_bits == 32);
            const OpenTable table("s/m/typed", cached.table->base, {}, cache);
            const Rows keys = typed_keys(shape, type, 1);
            const int64_t known = cached.count(keys, true);
            // Those below 0 are no keys of 32 bits, and never cached.
            const int64_t cacheable = std::count_if(keys.begin(), keys.end(), [&](int64_t key) {
              return shape.row(key) >= 0 && (key >= 0 || key_bits == 64);
            });
            for (const bool found : {true, false}) TypedCall{type, output, found}.run(shape, keys);
            TypedCall{type, output, true}.run(shape, typed_keys(shape, type, 2));
            table.check_counters();
            CHECK(table.counters().row_cache_hits >= cacheable);
            CHECK(table.counters().base_hits >= known);
            CHECK(cacheable < known || key_bits == 64 || key_step == 0 || type == KeyType::kUInt32);
          }
        }
      }
    }
  }
}

// Large calls are dealt out in pieces; who runs them must not show.
void pieces_on_many_threads() {
  const TableShape shape = {1, 8'000, 4, 3};
  ThreadPool pool(3);
  for (const bool is_mapped : {true, false}) {
    for (const int64_t cache_rows : {16, 4096, 40'000}) {
      const Scope scope(is_mapped ? "mapped" : "resolver", ", ", cache_rows, " rows");
      CachedTable cached(is_mapped, shape, cache_rows, {}, {.deadline_s = 60});
      const Rows keys = some_keys(shape, 24'000, 1);
      const int64_t known = cached.count(keys, true), unknown = cached.count(keys, false);
      int64_t before = 0;
      for (int call = 1; call <= 2; ++call) {
        before = cached.table.counters().row_cache_hits;
        cached.look_up(keys, &pool);
        CHECK_EQUAL(cached.table.counters().keys, call * 24'000);
        CHECK_EQUAL(cached.table.counters().defaults, call * unknown);
        CHECK_EQUAL(cached.table.counters().row_cache_hits + cached.table.counters().base_hits,
                    call * known);
      }
      const bool has_all = cache_rows == 40'000;
      if (has_all) CHECK_EQUAL(cached.table.counters().row_cache_hits - before, known);
      if (is_mapped) continue;
      if (has_all) CHECK_EQUAL(cached.resolver.requests, 1);
      for (const auto& [row, times] : cached.resolver.asked()) CHECK(times <= 2);
    }
  }
}

void empty_calls() {
  for (const bool is_mapped : {true, false}) {
    CachedTable cached(is_mapped);
    LookupPart part;
    part.table = "s/m/t";
    part.dim = 3;
    CHECK(!lookup({&part, 1}, true, nullptr));
    cached.look_up({});
    CHECK_EQUAL(cached.table.counters().lookups, 2);
    CHECK_EQUAL(cached.resolver.requests, 0);
  }
}

void parts_of_every_kind() {
  const auto closed = std::make_shared<ResolverQueue>();
  closed->close();
  const auto cache_of_closed = make_row_cache(kRowBytes, 1024);
  {
    const OpenTable filling("s/m/down", make_base(kShape), {}, cache_of_closed);
    PartBuffers buffers("s/m/down", keys_of({6, 7}), 3);
    CHECK(!lookup_parts({&buffers}, true));
  }
  for (const bool raise : {true, false}) {
    CachedTable resolved(false);
    ResolverThread plain([](auto& request) { request.answer(rows_of(5, request.rows, 3)); });
    const OpenTable mapped("s/m/mapped", make_base(kShape), {}, make_row_cache(kRowBytes, 16));
    const OpenTable uncached("s/m/uncached", make_base(kShape));
    const OpenTable remote("s/m/remote", make_base(kShape, plain.queue));
    OpenTable down("s/m/down", make_base(kShape, closed), {}, cache_of_closed);
    resolved.look_up(keys_of({1, 2, 3}));
    std::vector<std::unique_ptr<PartBuffers>> parts;
    std::vector<PartBuffers*> call;
    for (const char* table : {"s/m/t", "s/m/mapped", "s/m/uncached", "s/m/remote", "s/m/t",
                              "s/m/down", "s/m/none", "s/m/mapped"}) {
      parts.push_back(std::make_unique<PartBuffers>(table, keys_of({7, 1, 6, 7, 150}), 3));
      parts.back()->keys.back() = 2;  // of no row
      call.push_back(parts.back().get());
    }
    const auto raised = lookup_parts(call, raise);
    for (const size_t i : {0, 1, 2, 3, 4, 7}) parts[i]->check(kShape);
    parts[6]->check_zeros();
    // The cache has all but one of them.
    for (const size_t i : {0, 2, 3}) CHECK(parts[5]->found[i]);
    CHECK_EQUAL(parts[5]->out[6], element(5, 6, 0));
    for (const size_t i : {1, 4}) CHECK_EQUAL(parts[5]->out[3 * i], kDefault);
    CHECK(!parts[5]->found[1] && !parts[5]->found[4]);
    down.check_counters();
    CHECK_EQUAL(down.counters().row_cache_hits, 3);
    CHECK_EQUAL(down.counters().unavailable, 1);
    CHECK_EQUAL(down.counters().defaults, 1);
    CHECK_EQUAL(resolved.resolver.asked()[1], 1);
    resolved.check_counts(2, 9, 2);
    FailureLog& orphans = Registry::instance().orphan_failures;
    check_failure(raise ? raised : take_one(orphans), Code::kClosed, "s/m/none", "is not open");
    check_failure(take_one(down->failures), Code::kClosed, "s/m/down", "1 keys answered");
    PartBuffers cached_only("s/m/down", keys_of({6, 7, 6}), 3);
    CHECK(!lookup_parts({&cached_only}, true));
    cached_only.check(kShape);
    for (const OpenTable* table : {&mapped, &uncached, &remote}) table->check_counters();
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"the second call is answered from the cache", the_second_call_is_answered_from_the_cache},
      {"what is cached is not asked for", what_is_cached_is_not_asked_for},
      {"unknown keys are cached, and still counted and told",
       unknown_keys_are_cached_and_still_told},
      {"duplicates are resolved once, and counted", duplicates_are_resolved_once_and_counted},
      {"caches smaller than a call stay exact", small_caches_stay_exact},
      {"every kind of key, output, base", every_kind_of_key_and_output},
      {"pieces of large calls on many threads", pieces_on_many_threads},
      {"empty calls", empty_calls},
      {"parts of every kind in one call", parts_of_every_kind},
  });
}
