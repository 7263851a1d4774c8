// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/target.h"

namespace jax_hps::cache {

/// Rows that share a bucket. 16 are within 1 % of the hit rate of 64, and fit one line.
inline constexpr int kWays = 16;
inline constexpr int kTagBits = 24;

/// Sixteen 4-bit numbers in a word, one a way: use counters, ranks, flags, as the policy has it.
JAX_HPS_HD uint32_t nibble(uint64_t word, int way) { return (word >> (4 * way)) & 15; }

JAX_HPS_HD uint64_t with_nibble(uint64_t word, int way, uint32_t value) {
  return (word & ~(uint64_t{15} << (4 * way))) | uint64_t{value} << (4 * way);
}

/// What a lookup reads of sixteen rows: one line of a CPU, two sectors of a GPU.
struct alignas(64) Bucket {
  uint16_t tag_low[kWays];
  uint8_t tag_high[kWays];
  alignas(8) uint8_t use[kWays / 2];  ///< The policy's nibbles; hints that anybody may write.
  uint32_t sequence;                  ///< Odd while somebody changes the bucket.
  uint16_t occupied;                  ///< Bit i: way i holds something.
  uint16_t absent;                    ///< Bit i: way i says that its key is unknown; it has no row.

  /// Bit i: way i holds this tag.
  JAX_HPS_HD uint32_t match(uint32_t tag) const {
    return match_words(tag_low, static_cast<uint16_t>(tag)) &
           match_bytes(tag_high, static_cast<uint8_t>(tag >> 16)) & occupied;
  }

  JAX_HPS_HD uint64_t uses() const { return load_hints(use); }
  JAX_HPS_HD void set_uses(uint64_t word) { store_hints(use, word); }
};
static_assert(sizeof(Bucket) == 64);

/// What only insertions read: what the bucket remembers of keys that it does not hold.
struct alignas(16) History {
  uint16_t ghost_tag[kWays];
  uint64_t ghost_use;  ///< frequency: a counter each. s3fifo: ranks of the ways, 0 the newest.
  uint32_t marks;  ///< frequency: two bits a way, how hot it was. s3fifo: bit i: ghost i is there.
  uint8_t attempts;     ///< frequency: insertions since the counters were halved, 255 for more
  uint8_t halved_at;    ///< frequency: the batch that halved them, modulo 256
  uint8_t ghost_hand;   ///< where the next ghost goes, or the search for its place begins
  uint8_t victim_hand;  ///< where the search for a victim begins
};
static_assert(sizeof(History) == 48);

}  // namespace jax_hps::cache
