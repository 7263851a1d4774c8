// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/key_index.h"

#include <numeric>
#include <unordered_map>

#include "fixtures.h"

namespace jax_hps::test {
namespace {

// The key whose hash is `word`: mix64 undone step by step.
int64_t key_with_hash(uint64_t word) {
  constexpr uint64_t kFactor = 0xd6e8feb86659fd93u;
  uint64_t inverse = kFactor;  // right in its low 3 bits; each step of Newton's doubles them
  for (int i = 0; i < 5; ++i) inverse *= 2 - kFactor * inverse;
  word ^= word >> 32;
  word *= inverse;
  word ^= word >> 32;
  word *= inverse;
  word ^= word >> 32;
  return static_cast<int64_t>(word);
}

// `count` keys that all have the same home in an index of `num_lines` lines.
std::vector<int64_t> keys_of_line(uint64_t line, uint64_t num_lines, size_t count) {
  const auto first = (static_cast<unsigned __int128>(line) << 64) / num_lines + 1;
  std::vector<int64_t> keys;
  for (size_t i = 0; i < count; ++i)
    keys.push_back(key_with_hash(static_cast<uint64_t>(first) + i));
  return keys;
}

std::vector<int64_t> random_keys(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int64_t> keys(count);
  for (int64_t& key : keys) key = static_cast<int64_t>(random.word());
  return keys;
}

std::vector<int64_t> sequential_keys(int64_t first, size_t count, int64_t step = 1) {
  std::vector<int64_t> keys(count);
  for (size_t i = 0; i < count; ++i) keys[i] = first + static_cast<int64_t>(i) * step;
  return keys;
}

void insert(KeyIndex& index, const std::vector<int64_t>& keys) {
  index.insert(keys.data(), static_cast<int64_t>(keys.size()));
}

// Everything that is in must be found, and nothing else, singly and in bulk.
void check_index(const KeyIndex& index, const std::vector<int64_t>& keys) {
  CHECK_EQUAL(index.num_keys(), static_cast<int64_t>(keys.size()));
  std::unordered_map<int64_t, int64_t> expected;
  for (size_t row = 0; row < keys.size(); ++row) expected[keys[row]] = static_cast<int64_t>(row);
  std::vector<int64_t> wanted = keys;
  for (const int64_t key : keys) wanted.insert(wanted.end(), {key ^ 1, ~key});
  const std::vector<int64_t> others = random_keys(1000, 99);
  wanted.insert(wanted.end(), others.begin(), others.end());
  wanted.insert(wanted.end(), {0, -1, 1, INT64_MIN, INT64_MAX});
  std::vector<int64_t> rows(wanted.size(), -7);
  index.find(wanted.data(), static_cast<int64_t>(wanted.size()), rows.data());
  const KeyIndexView view = index.view();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Scope scope("key ", wanted[i]);
    const auto found = expected.find(wanted[i]);
    CHECK_EQUAL(rows[i], found == expected.end() ? -1 : found->second);
    CHECK_EQUAL(view.find_from(view.home(wanted[i]), wanted[i]), rows[i]);
  }
}

void agrees_with_unordered_map() {
  for (const size_t count : {0, 1, 2, 3, 4, 5, 6, 23, 24, 25, 26, 1000, 30'000}) {
    const std::vector<int64_t> sets[] = {
        random_keys(count, count), sequential_keys(0, count), sequential_keys(-500, count),
        sequential_keys(INT64_MIN, count), sequential_keys(7, count, int64_t{1} << 40)};
    for (const auto& keys : sets) {
      const Scope scope("set ", &keys - sets, " of ", count);
      KeyIndex index(static_cast<int64_t>(count));
      insert(index, keys);
      check_index(index, keys);
    }
  }
}

void every_value_can_be_a_key() {
  const std::vector<int64_t> keys = {
      INT64_MIN, -1, 0, 1, INT64_MAX, INT64_MIN + 1, key_with_hash(1), key_with_hash(~uint64_t{0})};
  for (size_t count = 0; count <= keys.size(); ++count) {
    const std::vector<int64_t> some(keys.begin(), keys.begin() + count);
    KeyIndex index;
    insert(index, some);
    check_index(index, some);
  }
}

void hash_can_be_inverted() {
  for (const int64_t word : random_keys(1000, 5)) {
    CHECK_EQUAL(mix64(static_cast<uint64_t>(key_with_hash(word))), static_cast<uint64_t>(word));
  }
}

void keys_of_one_line_spill_over_and_wrap() {
  constexpr int64_t kCount = 1000;
  const uint64_t num_lines = KeyIndex(kCount).view().num_lines;
  for (const uint64_t line : {uint64_t{0}, num_lines / 2, num_lines - 2, num_lines - 1}) {
    const Scope scope("line ", line, " of ", num_lines);
    std::vector<int64_t> keys = keys_of_line(line, num_lines, 2 * kCount);
    const std::vector<int64_t> absent(keys.begin() + kCount, keys.end());
    keys.resize(kCount);
    KeyIndex index(kCount);
    for (const int64_t key : keys) {
      CHECK_EQUAL(static_cast<uint64_t>(index.view().home(key) - index.view().lines), line);
    }
    insert(index, keys);
    check_index(index, keys);
    std::vector<int64_t> rows(kCount);
    index.find(absent.data(), kCount, rows.data());
    for (const int64_t row : rows) CHECK_EQUAL(row, -1);
    insert(index, absent);  // grows: the keys spread over twice as many lines
    keys.insert(keys.end(), absent.begin(), absent.end());
    check_index(index, keys);
  }
}

void grows_and_shrinks() {
  const std::vector<int64_t> keys = random_keys(20'000, 6);
  for (const int64_t expected : {0, 1, 15'000, 20'000, 200'000}) {
    const Scope scope("expected ", expected);
    KeyIndex index(expected);
    Random random(7);
    for (size_t at = 0; at < keys.size();) {
      const size_t piece = std::min(keys.size() - at, size_t{random.below(3000)});
      index.insert(keys.data() + at, static_cast<int64_t>(piece));
      at += piece;
    }
    check_index(index, keys);
    index.shrink_to_fit();
    CHECK_EQUAL(index.nbytes(), KeyIndex::planned_bytes(index.num_keys()));
    check_index(index, keys);
    const int64_t one_more = 12345;
    index.insert(&one_more, 1);
    std::vector<int64_t> all = keys;
    all.push_back(one_more);
    check_index(index, all);
  }
}

void planned_bytes_are_exact() {
  for (const int64_t count : {0, 1, 3, 4, 100, 236, 237, 238, 120'000, 121'241, 1'000'003}) {
    const Scope scope("count ", count);
    KeyIndex index(count);
    CHECK_EQUAL(index.nbytes(), KeyIndex::planned_bytes(count));
    insert(index, sequential_keys(0, static_cast<size_t>(count)));
    CHECK_EQUAL(index.nbytes(), KeyIndex::planned_bytes(count));
  }
  CHECK(KeyIndex::planned_bytes(64'000'000) <= 64'000'000 * 17.5);
}

void impossible_sizes_are_refused() {
  // The last of these, times the ten bytes that a key is planned with, overflows to next to none.
  for (const int64_t count :
       {int64_t{-1}, INT64_MIN, INT64_MAX, (int64_t{1} << 37) + 1, int64_t{1844674407370955162}}) {
    const Scope scope("count ", count);
    check_throws(ErrorCode::kInvalidArgument, "2^37", [&] { KeyIndex index(count); });
  }
}

void duplicates_are_named_with_both_rows() {
  std::vector<int64_t> keys = random_keys(1000, 8);
  keys[777] = keys[123];
  check_throws(ErrorCode::kBadData,
               "key " + std::to_string(keys[123]) + " stands in row 123 and again in row 777", [&] {
                 KeyIndex index(1000);
                 insert(index, keys);
               });
  check_throws(ErrorCode::kBadData, "key -5 stands in row 0 and again in row 3", [&] {
    KeyIndex index;
    insert(index, {-5, 0, 7});
    insert(index, {-5});
  });
  check_throws(ErrorCode::kBadData, "stands in row 0 and again in row 500", [&] {
    auto one_line = keys_of_line(3, KeyIndex(501).view().num_lines, 500);
    one_line.push_back(one_line[0]);
    KeyIndex index(501);
    insert(index, one_line);
  });
}

void lines_hold_rows_up_to_37_bits() {
  const int64_t rows[IndexLine::kKeys] = {(int64_t{1} << 37) - 1, int64_t{1} << 32, 0,
                                          0x15'5555'5555, (int64_t{1} << 32) - 1};
  IndexLine line = {};
  for (int i = 0; i < IndexLine::kKeys; ++i) {
    line.append(100 + i, rows[i]);
    CHECK_EQUAL(line.count(), i + 1);
    CHECK(!line.overflows());
  }
  line.meta |= IndexLine::kOverflow;
  for (int i = 0; i < IndexLine::kKeys; ++i) {
    CHECK_EQUAL(line.find(100 + i), i);
    CHECK_EQUAL(line.row(i), rows[i]);
  }
  CHECK_EQUAL(line.find(0), -1);
}

void places_without_a_key_are_not_found() {
  IndexLine line = {};
  CHECK_EQUAL(line.find(0), -1);
  line.append(5, 1);
  CHECK_EQUAL(line.find(0), -1);
  line.append(0, 2);
  CHECK_EQUAL(line.find(0), 1);
}

void inserts_arrays_on_disk() {
  for (const int64_t shard_rows : {512, 33}) {  // flat, scattered
    const Scope scope("shards of ", shard_rows);
    const ArrayLayout layout = {1, 2000, 8, shard_rows, shard_rows == 33 ? 11 : 128, true, true};
    const std::vector<int64_t> keys = random_keys(2000, 9);
    const TempFolder folder;
    Bytes bytes(keys.size() * 8);
    std::memcpy(bytes.data(), keys.data(), bytes.size());
    write_array(folder.path(), layout, bytes);
    KeyIndex index(2000);
    index.insert(MappedArray(folder.path(), layout, {}));
    check_index(index, keys);
  }
  const TempFolder folder;
  const ArrayLayout absent = {1, 2, 8, 2, 1, true, true};
  check_throws(ErrorCode::kBadData, "key 0 stands in row 0 and again in row 1", [&] {
    KeyIndex index;
    index.insert(MappedArray(folder.path(), absent, {}));
  });
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"finds what std::unordered_map finds", agrees_with_unordered_map},
      {"every 64-bit value can be a key", every_value_can_be_a_key},
      {"the hash is a bijection", hash_can_be_inverted},
      {"keys that all hash to one line spill over and wrap", keys_of_one_line_spill_over_and_wrap},
      {"grows by itself, shrinks when told to", grows_and_shrinks},
      {"planned_bytes is exact", planned_bytes_are_exact},
      {"sizes that cannot be are refused", impossible_sizes_are_refused},
      {"duplicate keys are named with both rows", duplicates_are_named_with_both_rows},
      {"lines hold row numbers of 37 bits", lines_hold_rows_up_to_37_bits},
      {"empty places of a line are never found", places_without_a_key_are_not_found},
      {"inserts arrays on disk, absent chunks as zeros", inserts_arrays_on_disk},
  });
}
