// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "cache_fixture.h"
#include "gather_fixture.h"

namespace jax_hps::test {

/// A cache, what it holds, and keys that it knows and does not.
///
/// Inputs and outputs of its gathers are allocated to the byte, so that the address sanitizer sees
/// what lies beyond; guard bytes do the same without it.
class CachedRows {
 public:
  struct Shape {
    DType stored, output;
    int64_t dim;
    KeyType key_type = KeyType::kInt64;
    cache::Policy policy = cache::Policy::kFrequency;
    int key_bits = 64;
    bool is_exact = false;
    double cached = 0.5;  // share of the keys that are asked for
  };

  explicit CachedRows(const Shape& shape)
      : shape_(shape),
        row_bytes_(static_cast<size_t>(shape.dim) * itemsize(shape.stored)),
        cache_({.num_rows = 24 * cache::kWays,
                .row_bytes = static_cast<int64_t>(row_bytes_),
                .key_bits = shape.key_bits,
                .exact = shape.is_exact,
                .policy = {.policy = shape.policy}}) {
    const bool with_nan = shape.stored == shape.output;
    default_row_ = random_elements(shape.stored, static_cast<size_t>(shape.dim), 1, with_nan);
    Random random(2);
    for (int i = 0; i < 200; ++i) offer(key(random), random, with_nan);
    for (const int64_t end : {INT64_MIN, INT64_MAX, int64_t{INT32_MIN}, int64_t{INT32_MAX},
                              int64_t{UINT32_MAX}, int64_t{-1}, int64_t{0}, int64_t{1} << 24}) {
      keys_.push_back(narrowed(end));
    }
    if (!shape.is_exact) offer_twins(random, with_nan);
    const RowCache::Contents contents = cache_.contents();
    std::map<int64_t, Bytes> held;
    for (size_t i = 0; i < contents.keys.size(); ++i) {
      const int64_t cached = contents.keys[i];
      held[cached] = contents.absent[i] ? Bytes() : rows_.at(cached);
    }
    rows_ = std::move(held);
  }

  struct Call {
    int64_t count;
    bool found = true;
    size_t shift = 0;  // of keys and output, in bytes
    int64_t begin = 0, end = -1;
  };

  void check(const Call& call) const {
    const Scope scope("count ", call.count, ", found ", call.found, ", shift ", call.shift,
                      ", begin ", call.begin, ", end ", call.end);
    const int64_t end = call.end < 0 ? call.count : call.end;
    const size_t out_bytes = static_cast<size_t>(shape_.dim) * itemsize(shape_.output);
    const size_t key_size = key_bytes(shape_.key_type);
    Random random(3);
    std::vector<int64_t> keys;
    Bytes packed(call.shift + static_cast<size_t>(call.count) * key_size);
    for (int64_t i = 0; i < call.count; ++i) {
      keys.push_back(random.any_of(keys_));
      std::memcpy(packed.data() + call.shift + static_cast<size_t>(i) * key_size, &keys.back(),
                  key_size);
    }
    Bytes out(call.shift + static_cast<size_t>(call.count) * out_bytes, kGuard);
    const auto found = std::make_unique<bool[]>(static_cast<size_t>(call.count));
    GatherJob job;
    job.keys = packed.data() + call.shift;
    job.key_type = shape_.key_type;
    job.count = call.count;
    job.default_row = default_row_.data();
    job.stored = shape_.stored;
    job.dim = shape_.dim;
    job.output = shape_.output;
    job.out = out.data() + call.shift;
    if (call.found) job.found = found.get();
    std::vector<int64_t> missed = {-7};  // what was missed elsewhere stays
    const CachedCounts counts = gather_cached(job, cache_.view(), call.begin, end, missed);

    CachedCounts expected_counts;
    std::vector<int64_t> expected_missed = {-7};
    const Bytes guard(out_bytes, kGuard);
    for (int64_t i = 0; i < call.count; ++i) {
      const bool is_inside = i >= call.begin && i < end;
      const auto held = rows_.find(keys[static_cast<size_t>(i)]);
      const bool is_absent = held != rows_.end() && held->second.empty();
      const bool is_hit = held != rows_.end() && !is_absent;
      const Bytes expected = is_inside ? converted(is_hit ? held->second : default_row_) : guard;
      if (std::memcmp(job.out + i * static_cast<int64_t>(out_bytes), expected.data(), out_bytes)) {
        fail(__FILE__, __LINE__, "row " + std::to_string(i) + " differs");
      }
      if (call.found) CHECK_EQUAL(found[static_cast<size_t>(i)], is_inside && is_hit);
      if (!is_inside) continue;
      expected_counts.hits += is_hit;
      expected_counts.absent += is_absent;
      if (held == rows_.end()) expected_missed.push_back(i);
    }
    CHECK_EQUAL(counts.hits, expected_counts.hits);
    CHECK_EQUAL(counts.absent, expected_counts.absent);
    CHECK(missed == expected_missed);
  }

  const std::map<int64_t, Bytes>& held() const { return rows_; }

 private:
  static constexpr std::byte kGuard{0xa5};

  // What a key of this type widens to.
  int64_t narrowed(int64_t key) const {
    if (shape_.key_type == KeyType::kInt32) return static_cast<int32_t>(key);
    if (shape_.key_type == KeyType::kUInt32) return static_cast<uint32_t>(key);
    return key;
  }
  int64_t key(Random& random) const {
    return narrowed(static_cast<int64_t>(random.word() >> (64 - shape_.key_bits)));
  }

  void offer(int64_t key, Random& random, bool with_nan) {
    keys_.push_back(key);
    if (static_cast<double>(random.below(1000)) >= 1000 * shape_.cached) return;
    const bool is_absent = random.below(5) == 0;
    const Bytes row = random_elements(shape_.stored, static_cast<size_t>(shape_.dim),
                                      static_cast<uint64_t>(key), with_nan);
    const std::byte* rows[] = {is_absent ? nullptr : row.data()};
    cache_.insert({&key, 1}, rows, nullptr, cache_.begin_batch());
    rows_.emplace(key, is_absent ? Bytes() : row);
  }

  // Keys that share bucket and tag, some cached with a row, some as absent, some not.
  void offer_twins(Random& random, bool with_nan) {
    if (shape_.key_type != KeyType::kInt64) return;
    for (uint64_t twin = 0; twin < 12; ++twin) {
      offer(twin_of_bucket(cache_.view(), 7, twin), random, with_nan);
    }
  }

  Bytes converted(const Bytes& row) const {
    Bytes out(static_cast<size_t>(shape_.dim) * itemsize(shape_.output));
    for (size_t i = 0; i < static_cast<size_t>(shape_.dim); ++i) {
      convert_element(shape_.stored, row.data() + i * itemsize(shape_.stored), shape_.output,
                      out.data() + i * itemsize(shape_.output));
    }
    return out;
  }

  const Shape shape_;
  const size_t row_bytes_;
  RowCache cache_;
  Bytes default_row_;
  std::vector<int64_t> keys_;
  std::map<int64_t, Bytes> rows_;  // empty: known to be absent
};

}  // namespace jax_hps::test
