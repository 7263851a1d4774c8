// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "core/dtype.h"

/// Conversions of floats the slow way: 16-bit formats by arithmetic on their fields, and rounding
/// by a search among all values of the format.
namespace jax_hps::test {

/// A 16-bit format of sign, exponent and mantissa.
struct Format {
  int mantissa_bits;
  int bias;

  int exponent_bits() const { return 15 - mantissa_bits; }
  uint16_t infinity() const {
    return static_cast<uint16_t>(((1 << exponent_bits()) - 1) << mantissa_bits);
  }
  bool is_nan(uint16_t bits) const { return (bits & 0x7fff) > infinity(); }

  double value(uint16_t bits) const {
    const int exponent = (bits & 0x7fff) >> mantissa_bits;
    const int mantissa = bits & ((1 << mantissa_bits) - 1);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (is_nan(bits)) return std::numeric_limits<double>::quiet_NaN();
    if ((bits & 0x7fff) == infinity()) return sign * std::numeric_limits<double>::infinity();
    const int hidden = exponent > 0 ? 1 << mantissa_bits : 0;
    return sign * std::ldexp(hidden + mantissa, std::max(exponent, 1) - bias - mantissa_bits);
  }

  /// Nearest value, of two the even one. What would come after the largest counts as infinity.
  uint16_t round(float value) const {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return sign | infinity() | 1;
    const double magnitude = std::abs(static_cast<double>(value));
    if (std::isinf(value)) return sign | infinity();
    uint16_t below = 0, above = infinity();
    while (above - below > 1) {
      const uint16_t middle = static_cast<uint16_t>((below + above) / 2);
      (this->value(middle) <= magnitude ? below : above) = middle;
    }
    const double top = above == infinity()
                           ? 2 * this->value(below) - this->value(static_cast<uint16_t>(below - 1))
                           : this->value(above);
    const double down = magnitude - this->value(below), up = top - magnitude;
    const bool take_above = up < down || (up == down && below % 2 == 1);
    return sign | (take_above ? above : below);
  }
};

inline constexpr Format kHalf = {10, 15};
inline constexpr Format kBFloat = {7, 127};

inline const Format& format_of(DType dtype) { return dtype == DType::kFloat16 ? kHalf : kBFloat; }

/// One element of a row, converted from one dtype to the other.
inline void convert_element(DType from, const std::byte* in, DType to, std::byte* out) {
  if (from == to) {
    std::memcpy(out, in, itemsize(from));
    return;
  }
  float value;
  uint16_t bits;
  if (from == DType::kFloat32) {
    std::memcpy(&value, in, 4);
  } else {
    std::memcpy(&bits, in, 2);
    value = static_cast<float>(format_of(from).value(bits));
  }
  if (to == DType::kFloat32) {
    std::memcpy(out, &value, 4);
  } else {
    bits = format_of(to).round(value);
    std::memcpy(out, &bits, 2);
  }
}

}  // namespace jax_hps::test
