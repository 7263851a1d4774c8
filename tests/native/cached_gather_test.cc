// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Gathers from a cache against one that looks each key up in a map of what the cache holds and
// converts element by element. Inputs and outputs are allocated to the byte, so that the address
// sanitizer sees what lies beyond; guard bytes do the same without it.

#include <map>

#include "cache_fixture.h"
#include "gather_fixture.h"
#include "kernels.h"

namespace jax_hps::test {
namespace {

using cache::kWays;
using cache::Policy;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16};
constexpr KeyType kKeyTypes[] = {KeyType::kInt32, KeyType::kUInt32, KeyType::kInt64};
// Around the ends of blocks of 32 keys, of which four are on their way.
constexpr int64_t kCounts[] = {0,  1,  2,  31, 32,  33,  63,  64,  65, 95,
                               96, 97, 127, 128, 129, 159, 160, 161, 1000};
constexpr std::byte kGuard{0xa5};

struct Shape {
  DType stored, output;
  int64_t dim;
  KeyType key_type = KeyType::kInt64;
  Policy policy = Policy::kFrequency;
  int key_bits = 64;
  bool is_exact = false;
  double cached = 0.5;  // share of the keys that are asked for
};

// A cache, what it holds, and keys that it knows and does not.
class CachedRows {
 public:
  explicit CachedRows(const Shape& shape)
      : shape_(shape),
        row_bytes_(static_cast<size_t>(shape.dim) * itemsize(shape.stored)),
        cache_({.num_rows = 24 * kWays,
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
    cache_.insert({&key, 1}, rows, nullptr, cache_.now());
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

// Calls check(rows) for every type of key and dtype, with tags that are exact and with keys kept.
template <typename Check>
void for_each_kind(int64_t dim, Check check) {
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for (const KeyType type : kKeyTypes) {
        for (const bool is_exact : {true, false}) {
          const Scope scope("from ", name_of(stored), " to ", name_of(output), ", dim ", dim,
                            ", key type ", static_cast<int>(type), is_exact ? ", exact" : "");
          Shape shape = {stored, output, dim, type};
          shape.is_exact = is_exact;
          if (is_exact) shape.key_bits = 28;
          check(CachedRows(shape));
        }
      }
    }
  }
}

void every_count() {
  for (const int64_t dim : {2, 16, 33}) {
    for_each_kind(dim, [](const CachedRows& rows) {
      for (const int64_t count : kCounts) {
        for (const bool found : {true, false}) rows.check({count, found});
      }
    });
  }
}

void every_count_to_200() {
  const CachedRows rows({DType::kFloat32, DType::kFloat32, 4});
  for (int64_t count = 0; count <= 200; ++count) rows.check({count});
}

void rows_of_every_length() {
  for (const int64_t dim : {1, 2, 3, 4, 5, 7, 8, 15, 31, 32, 64, 100, 128, 256, 1024}) {
    for_each_kind(dim, [](const CachedRows& rows) { rows.check({80}); });
  }
}

void unaligned_keys_and_outputs() {
  for_each_kind(5, [](const CachedRows& rows) {
    for (const size_t shift : {1, 2, 3, 7, 33}) rows.check({70, true, shift});
  });
}

void parts_of_a_call() {
  const std::pair<int64_t, int64_t> ranges[] = {{0, 0},   {200, 200}, {0, 1},    {199, 200},
                                                {1, 199}, {17, 38},   {31, 161}, {47, 200}};
  for_each_kind(3, [&](const CachedRows& rows) {
    for (const auto& [begin, end] : ranges) rows.check({200, true, 0, begin, end});
  });
}

// Hits are remembered in another way by each; answers are the same.
void every_policy() {
  for (const Policy policy : kPolicies) {
    for (const bool is_exact : {true, false}) {
      const Scope scope(name_of(policy), is_exact ? ", exact" : ", verified");
      Shape shape = {DType::kFloat32, DType::kFloat32, 6};
      shape.policy = policy;
      shape.is_exact = is_exact;
      if (is_exact) shape.key_bits = 24;
      const CachedRows rows(shape);
      for (int i = 0; i < 20; ++i) rows.check({150});
    }
  }
}

void nothing_and_everything_cached() {
  for (const double cached : {0.0, 1.0}) {
    for (const KeyType type : kKeyTypes) {
      for (const bool is_exact : {true, false}) {
        const Scope scope("cached ", cached, ", key type ", static_cast<int>(type));
        Shape shape = {DType::kFloat32, DType::kFloat16, 6, type};
        shape.cached = cached;
        shape.is_exact = is_exact;
        if (is_exact) shape.key_bits = 26;
        const CachedRows rows(shape);
        CHECK_EQUAL(rows.held().empty(), cached == 0);
        CHECK(cached == 0 || rows.held().size() > 190);
        for (const int64_t count : kCounts) rows.check({count});
      }
    }
  }
}

// Domains smaller than the keys' type: what is beyond is missed, also where its tag is there.
void keys_beyond_the_domain_are_missed() {
  for (int bits = 1; bits <= 63; ++bits) {
    for (const KeyType type : kKeyTypes) {
      for (const bool is_exact : {true, false}) {
        if (is_exact && bits > 28) continue;
        RowCache cache({.num_rows = 24 * kWays,
                        .row_bytes = 8,
                        .key_bits = bits,
                        .exact = is_exact,
                        .policy = {}});
        const int64_t last = static_cast<int64_t>((uint64_t{1} << std::min(bits, 31)) - 1);
        insert_one(cache, last);
        insert_one(cache, 0);
        const Scope scope("bits ", bits, ", key type ", static_cast<int>(type), ", exact ", is_exact);
        std::vector<std::byte> packed;
        std::vector<bool> expected;
        for (const int64_t key : {int64_t{0}, last, static_cast<int64_t>(uint64_t{1} << bits),
                                  static_cast<int64_t>((uint64_t{1} << bits) + last), int64_t{-1},
                                  INT64_MIN}) {
          const size_t size = key_bytes(type);
          packed.resize(packed.size() + size);
          std::memcpy(packed.data() + packed.size() - size, &key, size);
          const int64_t widened = type == KeyType::kInt32    ? static_cast<int32_t>(key)
                                  : type == KeyType::kUInt32 ? static_cast<uint32_t>(key)
                                                             : key;
          expected.push_back(widened == 0 || widened == last);
        }
        const auto found = std::make_unique<bool[]>(expected.size());
        std::vector<std::byte> out(expected.size() * 8), default_row(8);
        GatherJob job;
        job.keys = packed.data();
        job.key_type = type;
        job.count = static_cast<int64_t>(expected.size());
        job.default_row = default_row.data();
        job.dim = 2;
        job.out = out.data();
        job.found = found.get();
        std::vector<int64_t> missed;
        gather_cached(job, cache.view(), 0, job.count, missed);
        size_t at = 0;
        for (size_t i = 0; i < expected.size(); ++i) {
          CHECK_EQUAL(found[i], expected[i]);
          if (!expected[i]) CHECK_EQUAL(missed.at(at++), static_cast<int64_t>(i));
        }
        CHECK_EQUAL(missed.size(), at);
      }
    }
  }
}

void empty_calls_need_no_buffers() {
  const RowCache cache({.num_rows = kWays, .row_bytes = 4, .exact = {}, .policy = {}});
  GatherJob job;
  job.dim = 1;
  std::vector<int64_t> missed;
  const CachedCounts counts = gather_cached(job, cache.view(), 0, 0, missed);
  CHECK_EQUAL(counts.hits + counts.absent, 0);
  CHECK(missed.empty());
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps;
  using namespace jax_hps::test;
  if (!has_wanted_kernels()) return kSkipped;
  if (cache_kernels().isa != gather_kernels().isa) return 1;
  return run_all({
      {"counts around the ends of blocks, every kind of key and dtype", every_count},
      {"counts 0 to 200", every_count_to_200},
      {"rows of every length", rows_of_every_length},
      {"keys and outputs of any alignment", unaligned_keys_and_outputs},
      {"a part of a call writes its part only", parts_of_a_call},
      {"every policy", every_policy},
      {"nothing and everything cached", nothing_and_everything_cached},
      {"keys beyond the domain are missed", keys_beyond_the_domain_are_missed},
      {"an empty call needs no buffers", empty_calls_need_no_buffers},
  });
}
