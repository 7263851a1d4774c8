// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "core/inline.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace jax_hps {

// Storage types: bits only, so that no compiler support for half floats is needed.
struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

JAX_HPS_INLINE uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

JAX_HPS_INLINE float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

JAX_HPS_INLINE float widen(float value) { return value; }
JAX_HPS_INLINE float widen(BFloat value) { return float_of(uint32_t{value.bits} << 16); }

JAX_HPS_INLINE float widen(Half value) {
#if defined(__F16C__)
  return _cvtsh_ss(value.bits);
#else
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00) {  // infinity, NaN (made quiet)
    return float_of(sign | 0x7f800000 | (magnitude & 0x3ff) << 13 |
                    (magnitude > 0x7c00 ? 0x400000 : 0));
  }
  if (magnitude < 0x400) {  // subnormal: by normal floats, for the host may flush others to zero
    return float_of(sign | bits_of(float_of(0x38800000 | magnitude << 13) - 0x1p-14f));
  }
  return float_of(sign | ((magnitude << 13) + 0x38000000));
#endif
}

/// Rounds to nearest, ties to even, as every astype does; NaN stays NaN.
template <typename To>
JAX_HPS_INLINE To narrow(float value);

template <>
JAX_HPS_INLINE float narrow<float>(float value) {
  return value;
}

template <>
JAX_HPS_INLINE BFloat narrow<BFloat>(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t quiet_nan = (bits >> 16 & 0x8000) | 0x7fc0;
  return {static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded)};
}

template <>
JAX_HPS_INLINE Half narrow<Half>(float value) {
#if defined(__F16C__)
  return {static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT))};
#else
  const uint32_t bits = bits_of(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= 0x477ff000) {  // rounds to 65536 or more
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {  // below the smallest normal half: let the adder round
    half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000;
  } else {
    half = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
#endif
}

}  // namespace jax_hps
