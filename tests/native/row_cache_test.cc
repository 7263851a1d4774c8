// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// What a cache makes of keys and rows, one thing after the other.

#include "core/row_cache.h"

#include <limits>

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

using cache::kWays;

void a_row_that_is_there_stays_as_it_is() {
  for_each_shape({4, 100}, {1, 3}, [](const CacheShape& shape) {
    RowCache cache(options_of(shape));
    insert_one(cache, 7);
    insert_one(cache, 7, 1, 8);
    CHECK_EQUAL(look_up_one(cache, 7, 0), State::kFound);
    CHECK_EQUAL(cache.counters.attempts.load(), 1);
    // Nor does the news that there is none undo it: deletions erase.
    const std::byte* none[] = {nullptr};
    const int64_t key = 7;
    cache.insert({&key, 1}, none, nullptr, cache.begin_batch());
    CHECK_EQUAL(look_up_one(cache, 7, 0), State::kFound);
    CHECK_EQUAL(cache.counters.absents.load(), 0);
  });
}

void a_row_is_news_where_the_key_was_absent() {
  for_each_shape({4, 100}, {1, 3}, [](const CacheShape& shape) {
    RowCache cache(options_of(shape));
    const std::byte* none[] = {nullptr, nullptr};
    const int64_t keys[] = {7, 9};
    cache.insert(keys, none, nullptr, cache.begin_batch());
    CHECK_EQUAL(look_up_one(cache, 7), State::kAbsent);
    insert_one(cache, 7, 1, 4);
    CHECK_EQUAL(look_up_one(cache, 7, 4), State::kFound);
    CHECK_EQUAL(cache.overwrite({&keys[1], 1}, row_of(cache.view().row_bytes, 9, 6).data()), 1);
    CHECK_EQUAL(look_up_one(cache, 9, 6), State::kFound);
    CHECK_EQUAL(cache.counters.absents.load(), 2);
    CHECK_EQUAL(cache.num_cached(), 2);
  });
}

// Whoever resolved a row before an update of its key comes too late with it.
void insertions_from_before_an_update_are_dropped() {
  for_each_shape({4, 100}, {1, 3}, [](const CacheShape& shape) {
    RowCache cache(options_of(shape));
    const int64_t keys[] = {1, 2, 3, 4};
    const Bytes old = row_of(cache.view().row_bytes, 1, 0);
    const std::byte* rows[] = {old.data(), old.data(), nullptr, nullptr};
    const RowCache::Batch batch = cache.begin_batch();
    // The cache holds none of them: nothing but the clock remembers.
    CHECK_EQUAL(cache.overwrite({keys, 1}, old.data()), 0);
    CHECK_EQUAL(cache.erase({keys + 1, 1}), 0);
    CHECK_EQUAL(cache.overwrite({keys + 2, 1}, old.data()), 0);
    cache.insert(keys, rows, nullptr, batch);
    CHECK_EQUAL(cache.counters.stale.load(), 3);
    CHECK_EQUAL(look_up_one(cache, 1), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 2), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 3), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 4), State::kAbsent);
    cache.insert({keys, 1}, rows, nullptr, cache.begin_batch());
    CHECK_EQUAL(look_up_one(cache, 1, 0), State::kFound);
    CHECK_EQUAL(cache.counters.stale.load(), 3);
  });
}

// All keys in one bucket: what a bucket cannot hold is evicted, and others lose nothing.
void adversaries_fill_one_bucket_alone() {
  for_each_shape({4}, {64}, [](const CacheShape& shape) {
    RowCache cache(options_of(shape));
    const cache::View& view = cache.view();
    std::vector<int64_t> neighbours;
    for (uint32_t bucket = 0; bucket < view.num_buckets; ++bucket) {
      if (bucket != 17) neighbours.push_back(key_of_bucket(view, bucket, 5));
    }
    for (const int64_t key : neighbours) insert_one(cache, key);
    std::vector<int64_t> keys;
    for (uint64_t i = 0; i < 2000; ++i) {
      keys.push_back(key_of_bucket(view, 17, i));
      if (!shape.is_exact) keys.push_back(twin_of_bucket(view, 17, i + 1));
    }
    for (int round = 0; round < 3; ++round) {
      for (const int64_t key : keys) {
        CHECK_EQUAL(view.address(static_cast<uint64_t>(key)).bucket, 17u);
        insert_one(cache, key);
      }
      int held = 0;
      for (const int64_t key : keys) held += look_up_one(cache, key) == State::kFound;
      CHECK_EQUAL(held, kWays);
    }
    for (const int64_t key : neighbours) CHECK_EQUAL(look_up_one(cache, key), State::kFound);
    CHECK_EQUAL(cache.num_cached(), static_cast<int64_t>(neighbours.size()) + kWays);
  });
}

void keys_beyond_the_domain_are_never_cached() {
  for (int bits = 1; bits <= 64; ++bits) {
    for (const bool exact : {true, false}) {
      if (exact && bits > 27) continue;
      const Scope scope("bits ", bits, exact ? ", exact" : ", verified");
      RowCache cache(
          {.num_rows = 8 * kWays, .row_bytes = 4, .key_bits = bits, .exact = exact, .policy = {}});
      const uint64_t most = ~uint64_t{0} >> (64 - bits);
      for (const uint64_t key : {uint64_t{0}, most, most + 1, most + 2, uint64_t{1} << 32,
                                 uint64_t{1} << 63, ~(uint64_t{1} << 63), ~uint64_t{0}}) {
        const Scope of("key ", key);
        const int64_t signed_key = static_cast<int64_t>(key);
        const bool is_one = key <= most;
        const Bytes row = row_of(4, signed_key, 0);
        const int64_t rejects = cache.counters.rejects;
        insert_one(cache, signed_key);
        CHECK_EQUAL(cache.counters.rejects.load(), rejects + !is_one);
        CHECK_EQUAL(look_up_one(cache, signed_key), is_one ? State::kFound : State::kMissed);
        CHECK_EQUAL(cache.overwrite({&signed_key, 1}, row.data()), int64_t{is_one});
      }
      // Those within are still themselves.
      CHECK_EQUAL(look_up_one(cache, 0), State::kFound);
      CHECK_EQUAL(look_up_one(cache, static_cast<int64_t>(most)), State::kFound);
      const RowCache::Contents contents = cache.contents();
      for (const int64_t key : contents.keys) CHECK(static_cast<uint64_t>(key) <= most);
      const int64_t beyond = static_cast<int64_t>(most + 1);
      if (bits < 64) CHECK_EQUAL(cache.erase({&beyond, 1}), 0);
      CHECK_EQUAL(cache.num_cached(), static_cast<int64_t>(contents.keys.size()));
    }
  }
}

void caches_are_as_large_as_their_layouts() {
  for_each_shape({6, 4096}, {1, 300}, [](const CacheShape& shape) {
    const RowCacheOptions options = options_of(shape);
    const RowCacheLayout layout(options);
    const RowCache cache(options);
    CHECK_EQUAL(cache.nbytes(), layout.total_bytes);
    CHECK_EQUAL(cache.num_rows(), layout.num_rows());
    CHECK_EQUAL(cache.num_cached(), 0);
    CHECK(cache.contents().keys.empty());
  });
  const RowCache cache({.bytes = 5 << 20, .row_bytes = 64, .exact = {}, .policy = {}});
  CHECK(cache.nbytes() <= 5 << 20);
  CHECK_EQUAL(cache.is_exact(), false);
}

void more_than_the_memory_is_refused() {
  check_throws(ErrorCode::kInvalidArgument, "more than this machine's", [] {
    RowCache cache({.num_rows = int64_t{1} << 35, .row_bytes = 4096, .exact = {}, .policy = {}});
  });
  check_throws(ErrorCode::kInvalidArgument, "Make the cache smaller.", [] {
    RowCache cache({.bytes = std::numeric_limits<size_t>::max() / 2,
                    .row_bytes = 1 << 24,
                    .exact = {},
                    .policy = {}});
  });
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"a row that is there stays as it is", a_row_that_is_there_stays_as_it_is},
      {"a row is news where the key was absent", a_row_is_news_where_the_key_was_absent},
      {"insertions from before an update are dropped",
       insertions_from_before_an_update_are_dropped},
      {"adversaries fill one bucket alone", adversaries_fill_one_bucket_alone},
      {"keys beyond the domain are never cached", keys_beyond_the_domain_are_never_cached},
      {"caches are as large as their layouts", caches_are_as_large_as_their_layouts},
      {"more than the memory is refused", more_than_the_memory_is_refused},
  });
}
