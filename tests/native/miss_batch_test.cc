// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/miss_batch.h"

#include <map>
#include <numeric>
#include <utility>

#include "core/hash.h"
#include "gather_fixture.h"

namespace jax_hps::test {
namespace {

constexpr KeyType kKeyTypes[] = {KeyType::kInt32, KeyType::kUInt32, KeyType::kInt64};

// Checks a batch against one that looks each key up in a map; how many keys it has.
size_t check_batch(const std::vector<int64_t>& keys, KeyType type,
                   const std::vector<int64_t>& positions, size_t shift = 0) {
  const Scope scope("key type ", static_cast<int>(type), ", ", positions.size(), " positions of ",
                    keys.size(), ", shift ", shift);
  Bytes packed(shift + keys.size() * key_bytes(type));
  for (size_t i = 0; i < keys.size(); ++i) {
    std::memcpy(packed.data() + shift + i * key_bytes(type), &keys[i], key_bytes(type));
  }
  GatherJob job;
  job.keys = packed.data() + shift;
  job.key_type = type;
  job.count = static_cast<int64_t>(keys.size());
  const MissBatch batch(job, positions);

  const KeyUniverse as_typed(0, false, type);
  std::map<int64_t, uint32_t> places;
  std::vector<int64_t> expected_keys;
  std::vector<uint32_t> expected_places, expected_counts;
  for (const int64_t position : positions) {
    const int64_t key = as_typed.narrowed(keys[static_cast<size_t>(position)]);
    const auto [entry, is_new] = places.try_emplace(key, expected_keys.size());
    if (is_new) {
      expected_keys.push_back(key);
      expected_counts.push_back(0);
    }
    expected_places.push_back(entry->second);
    ++expected_counts[entry->second];
  }
  CHECK(batch.positions == positions);
  CHECK(batch.keys == expected_keys);
  CHECK(batch.places == expected_places);
  CHECK(batch.counts == expected_counts);
  return batch.keys.size();
}

std::vector<int64_t> all_positions(size_t count) {
  std::vector<int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

void nothing() {
  for (const KeyType type : kKeyTypes) {
    CHECK_EQUAL(check_batch({}, type, {}), size_t{0});
    CHECK_EQUAL(check_batch({1, 2, 3}, type, {}), size_t{0});
  }
}

void one_key_and_all_different() {
  for (const KeyType type : kKeyTypes) {
    for (const size_t count : {1, 2, 3, 31, 1000}) {
      const std::vector<int64_t> same(count, -1);
      CHECK_EQUAL(check_batch(same, type, all_positions(count)), size_t{1});
      CHECK_EQUAL(check_batch(all_positions(count), type, all_positions(count)), count);
    }
  }
}

// Some of the positions, in any order, of keys that come many times; ends of the domain included.
void random_keys() {
  Random random(1);
  for (const KeyType type : kKeyTypes) {
    for (int round = 0; round < 300; ++round) {
      const size_t count = 1 + random.below(round % 50 == 0 ? 20'000 : 200);
      const uint64_t range = 1 + random.below(2 * count);
      const uint64_t first = random.word();
      std::vector<int64_t> keys(count);
      for (int64_t& key : keys) key = static_cast<int64_t>(first + random.below(range));
      for (const int64_t end : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
        if (random.below(2) == 0) keys[random.below(count)] = end;
      }
      std::vector<int64_t> positions = all_positions(count);
      for (size_t i = count; i > 1; --i) std::swap(positions[i - 1], positions[random.below(i)]);
      positions.resize(1 + random.below(count));
      check_batch(keys, type, positions, random.below(8));
    }
  }
}

// Keys whose hashes end alike: each is looked for along all that came before it.
void keys_that_collide() {
  std::vector<int64_t> keys;
  for (int64_t key = 0; keys.size() < 500; ++key) {
    if ((mix64(static_cast<uint64_t>(key)) & 0x7ff) == 0x7fe) keys.push_back(key);
  }
  keys.insert(keys.end(), keys.begin(), keys.begin() + 12);
  CHECK_EQUAL(check_batch(keys, KeyType::kInt64, all_positions(keys.size())), size_t{500});
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"nothing", nothing},
      {"one key at all positions, and another at each", one_key_and_all_different},
      {"random keys, against a map", random_keys},
      {"keys that collide", keys_that_collide},
  });
}
