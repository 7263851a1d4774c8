// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace jax_hps {

/// A bijection of 64-bit words that spreads every bit of the input over the whole word: two
/// rounds of xor-shift and multiply.
JAX_HPS_INLINE constexpr uint64_t mix64(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  return x;
}

/// Maps a uniform 64-bit word to [0, range) without a division (Lemire's multiply-shift).
JAX_HPS_INLINE constexpr uint64_t scale_to(uint64_t word, uint64_t range) {
  return static_cast<uint64_t>((static_cast<__uint128_t>(word) * range) >> 64);
}

}  // namespace jax_hps
