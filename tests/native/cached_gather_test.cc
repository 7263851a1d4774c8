// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Gathers from a cache against one that looks each key up in a map of what the cache holds.

#include "cached_rows.h"
#include "core/cache/change.h"
#include "kernels.h"

namespace jax_hps::test {
namespace {

using cache::kWays;
using cache::Policy;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16};
constexpr KeyType kKeyTypes[] = {KeyType::kInt32, KeyType::kUInt32, KeyType::kInt64};
// Around the ends of blocks of 32 keys, of which four are on their way.
constexpr int64_t kCounts[] = {0,  1,  2,   31,  32,  33,  63,  64,  65,  95,
                               96, 97, 127, 128, 129, 159, 160, 161, 1000};

// Calls check(rows) for every type of key and dtype, with tags that are exact and with keys kept.
template <typename Check>
void for_each_kind(int64_t dim, Check check) {
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for (const KeyType type : kKeyTypes) {
        for (const bool is_exact : {true, false}) {
          const Scope scope("from ", name_of(stored), " to ", name_of(output), ", dim ", dim,
                            ", key type ", static_cast<int>(type), is_exact ? ", exact" : "");
          CachedRows::Shape shape = {stored, output, dim, type};
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
      CachedRows::Shape shape = {DType::kFloat32, DType::kFloat32, 6};
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
        CachedRows::Shape shape = {DType::kFloat32, DType::kFloat16, 6, type};
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
        const Scope scope("bits ", bits, ", key type ", static_cast<int>(type), ", exact ",
                          is_exact);
        std::vector<std::byte> packed;
        std::vector<bool> expected;
        for (const int64_t key :
             {int64_t{0}, last, static_cast<int64_t>(uint64_t{1} << bits),
              static_cast<int64_t>((uint64_t{1} << bits) + last), int64_t{-1}, INT64_MIN}) {
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

// What somebody holds may be half written: nobody waits for it for long, nor answers from it.
void buckets_in_somebodys_hands_are_missed() {
  for (const bool is_exact : {true, false}) {
    RowCache cache(options_of(CacheShape{Policy::kLru, is_exact, 64, 4}));
    const cache::View& view = cache.view();
    std::vector<int64_t> keys;
    for (uint64_t at = 0; at < 8; ++at) {
      for (uint32_t bucket = 0; bucket < 4; ++bucket) {
        keys.push_back(key_of_bucket(view, bucket, at));
        insert_one(cache, keys.back());
      }
    }
    const Bytes default_row = Random(5).bytes(64);
    cache::Bucket& held = view.buckets[2];
    cache::Hold hold;
    for (const bool is_held : {false, true, false}) {
      if (is_held) hold.take(held);
      const Answer answer = look_up(view, keys, default_row);
      if (is_held) hold.release(held);
      for (size_t i = 0; i < keys.size(); ++i) {
        const bool is_missed = is_held && i % 4 == 2;
        CHECK_EQUAL(answer.states[i], is_missed ? State::kMissed : State::kFound);
        const Bytes expected = is_missed ? default_row : row_of(64, keys[i], 0);
        CHECK(std::equal(expected.begin(), expected.end(), answer.rows.data() + i * 64));
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
      {"buckets in somebody's hands are missed", buckets_in_somebodys_hands_are_missed},
      {"an empty call needs no buffers", empty_calls_need_no_buffers},
  });
}
