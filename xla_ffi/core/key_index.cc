// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/key_index.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/mapped_array.h"

namespace jax_hps {
namespace {

// Keys of lines are fetched this many keys ahead, enough to hide a read from memory.
constexpr int64_t kAhead = 24;

// Keys on disk are copied and placed this many at a time.
constexpr int64_t kScanKeys = 4096;

// 3.7 of 5 places used: 64 / 3.7 = 17.3 bytes a key.
uint64_t lines_for(int64_t num_keys) {
  return std::max<uint64_t>(1, (static_cast<uint64_t>(num_keys) * 10 + 36) / 37);
}

void check_size(int64_t num_keys) {
  if (num_keys < 0 || num_keys > int64_t{1} << 37) {
    throw Error(ErrorCode::kInvalidArgument,
                "a key index holds at most 2^37 keys, not " + std::to_string(num_keys) + ".");
  }
}

}  // namespace

void IndexLine::append(int64_t key, int64_t row) {
  const int place = count();
  keys[place] = key;
  rows[place] = static_cast<uint32_t>(row);
  const uint32_t high = static_cast<uint32_t>(static_cast<uint64_t>(row) >> 32);
  meta = (meta | high << (kHighShift + kHighBits * place)) + 1;
}

KeyIndex::KeyIndex(int64_t expected_keys) {
  check_size(expected_keys);
  rebuild(expected_keys);
}

size_t KeyIndex::planned_bytes(int64_t num_keys) {
  check_size(num_keys);
  return allocation_bytes(lines_for(num_keys) * sizeof(IndexLine));
}

void KeyIndex::insert(const int64_t* keys, int64_t count) {
  check_size(num_keys_ + count);
  if (num_keys_ + count > capacity_) rebuild(std::max(num_keys_ + count, 2 * capacity_));
  const KeyIndexView index = view();
  for (int64_t i = 0; i < std::min(count, kAhead); ++i) __builtin_prefetch(index.home(keys[i]), 1);
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) __builtin_prefetch(index.home(keys[i + kAhead]), 1);
    const int64_t earlier = place(keys[i], num_keys_);
    if (earlier >= 0) {
      throw Error(ErrorCode::kBadData, "key " + std::to_string(keys[i]) + " stands in row " +
                                           std::to_string(earlier) + " and again in row " +
                                           std::to_string(num_keys_) +
                                           ": every key needs one row. Drop one of them.");
    }
    ++num_keys_;
  }
}

void KeyIndex::insert(const MappedArray& keys) {
  const int64_t num_keys = keys.layout().num_rows;
  int64_t block[kScanKeys];
  keys.begin_scan();
  for (int64_t first = 0; first < num_keys; first += kScanKeys) {
    const int64_t count = std::min(kScanKeys, num_keys - first);
    // A chunk need not be aligned to 8 bytes, and an absent one has no address.
    for (int64_t i = 0; i < count; ++i) std::memcpy(&block[i], keys.row(first + i), 8);
    insert(block, count);
  }
  keys.end_scan();
}

void find_rows(const KeyIndexView& index, const int64_t* keys, int64_t count, int64_t* rows) {
  for (int64_t i = 0; i < std::min(count, kAhead); ++i) __builtin_prefetch(index.home(keys[i]));
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) __builtin_prefetch(index.home(keys[i + kAhead]));
    rows[i] = index.find_from(index.home(keys[i]), keys[i]);
  }
}

void KeyIndex::shrink_to_fit() {
  if (lines_for(num_keys_) != num_lines_) rebuild(num_keys_);
}

int64_t KeyIndex::place(int64_t key, int64_t row) {
  IndexLine* line = const_cast<IndexLine*>(view().home(key));
  for (;;) {
    const int found = line->find(key);
    if (found >= 0) return line->row(found);
    if (line->count() < IndexLine::kKeys) break;  // A line with room never overflowed.
    line->meta |= IndexLine::kOverflow;
    line = const_cast<IndexLine*>(view().next(line));
  }
  line->append(key, row);
  return -1;
}

void KeyIndex::rebuild(int64_t capacity) {
  const Mapping old = std::exchange(memory_, Mapping::allocate(planned_bytes(capacity)));
  const IndexLine* old_lines = reinterpret_cast<const IndexLine*>(old.data());
  const uint64_t old_num_lines = std::exchange(num_lines_, lines_for(capacity));
  capacity_ = capacity;
  for (uint64_t i = 0; i < old_num_lines; ++i) {
    for (int j = 0; j < old_lines[i].count(); ++j) {
      place(old_lines[i].keys[j], old_lines[i].row(j));
    }
  }
}

}  // namespace jax_hps
