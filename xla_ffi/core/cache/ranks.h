// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/bucket.h"

namespace jax_hps::cache {

/// The LRU's nibbles are ranks, 0 for the way used last: at all times a permutation.
inline constexpr uint64_t kRanks = 0xfedcba9876543210u;

/// Adds 1 to every byte that is below the limit; bytes are below 16.
JAX_HPS_HD uint64_t count_up_below(uint64_t bytes, uint64_t limit) {
  const uint64_t high = 0x8080808080808080u;
  const uint64_t at_or_above = ((bytes | high) - limit * 0x0101010101010101u) & high;
  return bytes + ((~at_or_above & high) >> 7);
}

/// Makes a way the first; those that were before it move up by one.
JAX_HPS_HD uint64_t moved_to_front(uint64_t ranks, int way) {
  const uint64_t low = 0x0f0f0f0f0f0f0f0fu;
  const uint64_t rank = nibble(ranks, way);
  const uint64_t even = count_up_below(ranks & low, rank);
  const uint64_t odd = count_up_below(ranks >> 4 & low, rank);
  return with_nibble(even | odd << 4, way, 0);
}

/// The way of a rank.
JAX_HPS_HD int way_of_rank(uint64_t ranks, uint32_t rank) {
  int way = 0;
  while (nibble(ranks, way) != rank) ++way;
  return way;
}

}  // namespace jax_hps::cache
