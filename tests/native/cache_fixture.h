// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "core/cached_gather.h"
#include "core/hash.h"
#include "core/row_cache.h"
#include "fixtures.h"

namespace jax_hps::test {

inline constexpr cache::Policy kPolicies[] = {cache::Policy::kFrequency, cache::Policy::kLru,
                                              cache::Policy::kS3Fifo};

inline std::string_view name_of(cache::Policy policy) {
  constexpr std::string_view kNames[] = {"frequency", "lru", "s3fifo"};
  return kNames[static_cast<int>(policy)];
}

/// 2^bits, and what does not fit 64 bits on the way to a reference.
using Wide = unsigned __int128;

/// A key of a bucket: of the keys that belong there, in the order of their hashes, number `at`.
inline int64_t key_of_bucket(const cache::View& view, uint32_t bucket, uint64_t at) {
  const Wide domain = Wide{1} << view.key_bits;
  const uint64_t first =
      static_cast<uint64_t>((domain * bucket + view.num_buckets - 1) / view.num_buckets);
  return static_cast<int64_t>(cache::unpermute(first + at, view.key_bits));
}

/// Keys of one bucket that have one tag; only caches that keep keys tell them apart.
inline int64_t twin_of_bucket(const cache::View& view, uint32_t bucket, uint64_t number) {
  return key_of_bucket(view, bucket, number << cache::kTagBits);
}

/// A row that says whose it is: every byte depends on its place, the key and the version.
inline void write_row(std::byte* row, size_t row_bytes, int64_t key, uint64_t version) {
  const uint64_t seed = mix64(mix64(static_cast<uint64_t>(key)) + version);
  for (size_t at = 0; at < row_bytes; at += 8) {
    const uint64_t word = mix64(seed + at);
    std::memcpy(row + at, &word, std::min<size_t>(8, row_bytes - at));
  }
}

inline Bytes row_of(size_t row_bytes, int64_t key, uint64_t version) {
  Bytes row(row_bytes);
  write_row(row.data(), row_bytes, key, version);
  return row;
}

/// What a lookup says of a key.
enum class State : uint8_t { kMissed, kFound, kAbsent };

inline std::ostream& operator<<(std::ostream& out, State state) {
  constexpr const char* kNames[] = {"missed", "found", "absent"};
  return out << kNames[static_cast<int>(state)];
}

/// What a lookup came to; `rows` is [keys, row_bytes].
struct Answer {
  Bytes rows;
  std::vector<State> states;
  std::vector<int64_t> missed;
  CachedCounts counts;
};

/// Looks up bytes as they are; rows of an even number of bytes only.
inline Answer look_up(const cache::View& view, std::span<const int64_t> keys,
                      const Bytes& default_row, const CacheKernels& kernels = cache_kernels()) {
  Answer answer;
  answer.rows.resize(keys.size() * view.row_bytes);
  const auto found = std::make_unique<bool[]>(keys.size());
  GatherJob job;
  job.keys = keys.data();
  job.count = static_cast<int64_t>(keys.size());
  job.stored = job.output = DType::kFloat16;  // two bytes, moved as they are
  job.dim = view.row_bytes / 2;
  job.default_row = default_row.data();
  job.out = answer.rows.data();
  job.found = found.get();
  answer.counts = gather_cached(job, view, 0, job.count, answer.missed, kernels);
  for (size_t i = 0; i < keys.size(); ++i) {
    answer.states.push_back(found[i] ? State::kFound : State::kAbsent);
  }
  for (const int64_t at : answer.missed) answer.states[static_cast<size_t>(at)] = State::kMissed;
  return answer;
}

/// One key, whose row if any must be that of `version`.
inline State look_up_one(const RowCache& cache, int64_t key, uint64_t version = 0) {
  const size_t row_bytes = cache.view().row_bytes;
  const Answer answer = look_up(cache.view(), {&key, 1}, Bytes(row_bytes));
  if (answer.states[0] == State::kFound) {
    CHECK(answer.rows == row_of(row_bytes, key, version));
  }
  return answer.states[0];
}

/// Offers one key with its row of `version`.
inline void insert_one(RowCache& cache, int64_t key, uint32_t count = 1, uint64_t version = 0) {
  const Bytes row = row_of(cache.view().row_bytes, key, version);
  const std::byte* rows[] = {row.data()};
  cache.insert({&key, 1}, rows, &count, cache.begin_batch());
}

/// What a cache is like.
struct CacheShape {
  cache::Policy policy;
  bool is_exact;
  int64_t row_bytes;
  int64_t num_buckets;
};

/// 2^26 keys are told apart by tags from four buckets on.
inline RowCacheOptions options_of(const CacheShape& shape) {
  return {.num_rows = shape.num_buckets * cache::kWays,
          .row_bytes = shape.row_bytes,
          .key_bits = !shape.is_exact          ? 64
                      : shape.num_buckets >= 4 ? 26
                                               : 24,
          .exact = shape.is_exact,
          .policy = {.policy = shape.policy}};
}

/// Calls check(shape) for every policy, way to tell keys, and size.
template <typename Check>
void for_each_shape(std::initializer_list<int64_t> row_sizes,
                    std::initializer_list<int64_t> bucket_counts, Check check) {
  for (const cache::Policy policy : kPolicies) {
    for (const bool is_exact : {true, false}) {
      for (const int64_t row_bytes : row_sizes) {
        for (const int64_t num_buckets : bucket_counts) {
          const Scope scope(name_of(policy), is_exact ? ", exact" : ", verified", ", rows of ",
                            row_bytes, " bytes, buckets ", num_buckets);
          check(CacheShape{policy, is_exact, row_bytes, num_buckets});
        }
      }
    }
  }
}

}  // namespace jax_hps::test
