// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/hash.h"
#include "core/inline.h"
#include "core/memory.h"

namespace jax_hps {

class MappedArray;

/// One cache line of the key index: five keys and their row numbers.
///
/// `meta`, from bit 0: 3 bits how many keys; 1 bit set where a key that hashes here may lie in
/// the next line; then 5 bits for each key, bits 32 to 36 of its row number. So rows go to 2^37,
/// and since the count tells what is there, every 64-bit value can be a key.
struct alignas(64) IndexLine {
  static constexpr int kKeys = 5;
  static constexpr uint32_t kCountMask = 7;
  static constexpr uint32_t kOverflow = 8;
  static constexpr int kHighShift = 4;
  static constexpr int kHighBits = 5;

  int64_t keys[kKeys];
  uint32_t rows[kKeys];
  uint32_t meta;

  JAX_HPS_INLINE int count() const { return static_cast<int>(meta & kCountMask); }
  JAX_HPS_INLINE bool overflows() const { return (meta & kOverflow) != 0; }

  /// Place of the key in this line, -1 if it is not here.
  JAX_HPS_INLINE int find(int64_t key) const {
    const uint32_t match = matches(key) & ((1u << count()) - 1);
    return match ? __builtin_ctz(match) : -1;
  }

  JAX_HPS_INLINE int64_t row(int place) const {
    const uint64_t high = (meta >> (kHighShift + kHighBits * place)) & ((1u << kHighBits) - 1);
    return static_cast<int64_t>(high << 32 | rows[place]);
  }

  /// Adds a key behind the others; the line must have room.
  void append(int64_t key, int64_t row);

 private:
  // Bit i: place i holds the key, or did not hold any and looks like it.
  JAX_HPS_INLINE uint32_t matches(int64_t key) const {
    uint32_t match = static_cast<uint32_t>(keys[4] == key) << 4;
#if defined(__AVX2__)
    const __m256i four = _mm256_load_si256(reinterpret_cast<const __m256i*>(keys));
    const __m256i equal = _mm256_cmpeq_epi64(four, _mm256_set1_epi64x(key));
    match |= static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(equal)));
#else
    for (int i = 0; i < 4; ++i) match |= static_cast<uint32_t>(keys[i] == key) << i;
#endif
    return match;
  }
};
static_assert(sizeof(IndexLine) == 64);

/// Where a lookup finds the lines; copied into the kernels.
struct KeyIndexView {
  const IndexLine* lines = nullptr;
  uint64_t num_lines = 0;

  JAX_HPS_INLINE const IndexLine* home(int64_t key) const {
    return lines + scale_to(mix64(static_cast<uint64_t>(key)), num_lines);
  }

  JAX_HPS_INLINE const IndexLine* next(const IndexLine* line) const {
    return line + 1 == lines + num_lines ? lines : line + 1;
  }

  /// Row of a key, -1 if it has none. `line` is home(key), or a later one if it is known not to
  /// be in those before.
  JAX_HPS_INLINE int64_t find_from(const IndexLine* line, int64_t key) const {
    for (;;) {
      const int place = line->find(key);
      if (place >= 0) return line->row(place);
      if (!line->overflows()) return -1;
      line = next(line);
    }
  }
};

/// Row of each key, -1 where it has none.
void find_rows(const KeyIndexView& index, const int64_t* keys, int64_t count, int64_t* rows);

/// The map from keys to row numbers of a sparse table: lines of five keys, filled to 74 %, the
/// keys that find their line full in the next one (bucketed linear probing). A lookup touches one
/// cache line, now and then two; 17.3 bytes a key.
///
/// Built by one thread; then read by any number. Keys cannot be removed.
class KeyIndex {
 public:
  /// An index sized for `expected_keys`; it grows when there are more.
  explicit KeyIndex(int64_t expected_keys = 0);

  /// Adds keys, numbering rows on from num_keys(). Throws Error(kBadData) naming a key that is
  /// there already; some of the call's keys are then in and the index is only fit to be dropped.
  void insert(const int64_t* keys, int64_t count);
  /// The same for an array of int64 on disk.
  void insert(const MappedArray& keys);

  void find(const int64_t* keys, int64_t count, int64_t* rows) const {
    find_rows(view(), keys, count, rows);
  }
  KeyIndexView view() const { return {lines(), num_lines_}; }

  /// Rebuilds for exactly the keys that are there.
  void shrink_to_fit();

  int64_t num_keys() const { return num_keys_; }
  size_t nbytes() const { return memory_.size(); }
  /// nbytes() of an index made for `num_keys`.
  static size_t planned_bytes(int64_t num_keys);

 private:
  IndexLine* lines() const { return reinterpret_cast<IndexLine*>(memory_.data()); }
  /// Places the key; the row that has it already, or -1.
  int64_t place(int64_t key, int64_t row);
  void rebuild(int64_t capacity);

  Mapping memory_;
  uint64_t num_lines_ = 0;
  int64_t capacity_ = 0;
  int64_t num_keys_ = 0;
};

}  // namespace jax_hps
