// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// The conversions of float_convert.h, as this file is compiled (no F16C) and in the kernels of
// each instruction set, against a reference that searches among all values.

#include "core/float_convert.h"

#include <numeric>

#include "fixtures.h"
#include "float_reference.h"
#include "kernels.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace jax_hps::test {
namespace {

// Runs a conversion kernel over rows of `dim` elements, whatever their number.
template <typename To, typename From>
std::vector<To> convert_by_kernel(DType from, DType to, std::vector<From> values, size_t dim) {
  const size_t size = values.size();
  values.resize((size + dim - 1) / dim * dim);
  std::vector<To> converted(values.size());
  std::vector<const std::byte*> rows;
  for (size_t i = 0; i < values.size(); i += dim) {
    rows.push_back(reinterpret_cast<const std::byte*>(&values[i]));
  }
  GatherJob job;
  job.count = static_cast<int64_t>(rows.size());
  job.dim = static_cast<int64_t>(dim);
  job.stored = from;
  job.output = to;
  job.out = reinterpret_cast<std::byte*>(converted.data());
  std::vector<int64_t> positions(rows.size());
  std::iota(positions.begin(), positions.end(), 0);
  scatter_rows(job, positions, rows.data());
  converted.resize(size);
  return converted;
}

std::vector<uint16_t> all_16_bit_words() {
  std::vector<uint16_t> words(1 << 16);
  for (size_t i = 0; i < words.size(); ++i) words[i] = static_cast<uint16_t>(i);
  return words;
}

void check_float(const Format& format, uint16_t bits, float actual) {
  const float expected = static_cast<float>(format.value(bits));
  const bool negative = (bits & 0x8000) != 0;
  if (format.is_nan(bits) ? std::isnan(actual) && std::signbit(actual) == negative
                          : bits_of(actual) == bits_of(expected)) {
    return;
  }
  const Scope scope("bits ", bits);
  CHECK_EQUAL(actual, expected);
}

template <typename Element>
void check_widening(DType dtype) {
  const Format& format = format_of(dtype);
  const std::vector<uint16_t> words = all_16_bit_words();
  for (const uint16_t bits : words) check_float(format, bits, widen(Element{bits}));
  for (const size_t dim : {64, 37, 1}) {
    const Scope scope("kernel, dim ", dim);
    const auto floats = convert_by_kernel<float>(dtype, DType::kFloat32, words, dim);
    for (const uint16_t bits : words) check_float(format, bits, floats[bits]);
  }
}

std::vector<uint16_t> round_slowly(const Format& format, const std::vector<float>& floats) {
  std::vector<uint16_t> rounded;
  for (const float value : floats) rounded.push_back(format.round(value));
  return rounded;
}

// Of NaN, only that it stays NaN of the same sign.
void check_rounded(const Format& format, float value, uint16_t actual, uint16_t expected) {
  if (format.is_nan(expected) ? format.is_nan(actual) && (actual ^ expected) < 0x8000
                              : actual == expected) {
    return;
  }
  const Scope scope("float with bits ", bits_of(value));
  CHECK_EQUAL(actual, expected);
}

// Every value of the format, every tie and both neighbours of each, special floats, random bits.
std::vector<float> floats_around(const Format& format) {
  std::vector<float> floats;
  for (uint16_t bits = 0; bits < format.infinity(); ++bits) {
    const double low = format.value(bits);
    const double high =
        bits + 1 == format.infinity() ? 2 * low - format.value(bits - 1) : format.value(bits + 1);
    const float value = static_cast<float>(low), tie = static_cast<float>((low + high) / 2);
    floats.insert(floats.end(), {value, tie, std::nextafter(tie, 0.0f),
                                 std::nextafter(tie, std::numeric_limits<float>::infinity())});
  }
  for (const uint32_t bits : {0x00000001u, 0x007fffffu, 0x00800000u, 0x7f7fffffu, 0x7f800000u,
                              0x7f800001u, 0x7fbfffffu, 0x7fc00000u, 0x7fffffffu}) {
    floats.push_back(float_of(bits));
  }
  Random random(1);
  for (int i = 0; i < 50'000; ++i) floats.push_back(float_of(static_cast<uint32_t>(random.word())));
  for (size_t i = 0, n = floats.size(); i < n; ++i) floats.push_back(-floats[i]);
  return floats;
}

template <typename Element>
void check_rounding(DType dtype) {
  const Format& format = format_of(dtype);
  const std::vector<float> floats = floats_around(format);
  const std::vector<uint16_t> expected = round_slowly(format, floats);
  for (size_t i = 0; i < floats.size(); ++i) {
    check_rounded(format, floats[i], narrow<Element>(floats[i]).bits, expected[i]);
  }
  for (const size_t dim : {64, 37}) {
    const Scope scope("kernel, dim ", dim);
    const auto rounded = convert_by_kernel<uint16_t>(DType::kFloat32, dtype, floats, dim);
    for (size_t i = 0; i < floats.size(); ++i) {
      check_rounded(format, floats[i], rounded[i], expected[i]);
    }
  }
}

template <typename Element, typename Other>
void check_crossing(DType from, DType to) {
  const std::vector<uint16_t> words = all_16_bit_words();
  const auto crossed = convert_by_kernel<uint16_t>(from, to, words, 48);
  for (const uint16_t bits : words) {
    const float value = widen(Element{bits});
    const uint16_t expected = format_of(to).round(value);
    check_rounded(format_of(to), value, crossed[bits], expected);
    check_rounded(format_of(to), value, narrow<Other>(value).bits, expected);
  }
}

void half_to_float() { check_widening<Half>(DType::kFloat16); }
void bfloat_to_float() { check_widening<BFloat>(DType::kBFloat16); }
void float_to_half() { check_rounding<Half>(DType::kFloat16); }
void float_to_bfloat() { check_rounding<BFloat>(DType::kBFloat16); }
void half_to_bfloat_and_back() {
  check_crossing<Half, BFloat>(DType::kFloat16, DType::kBFloat16);
  check_crossing<BFloat, Half>(DType::kBFloat16, DType::kFloat16);
}

// Hosts run their kernels in a mode that takes subnormal floats for zero; rows must not change.
void subnormals_in_flushing_mode() {
#if defined(__x86_64__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  std::vector<uint16_t> words = all_16_bit_words();
  const auto widened = [&] {
    return convert_by_kernel<uint32_t>(DType::kFloat16, DType::kFloat32, words, 48);
  };
  const auto crossed = [&] {
    return convert_by_kernel<uint16_t>(DType::kFloat16, DType::kBFloat16, words, 48);
  };
  const auto narrowed = [&] {
    return convert_by_kernel<uint16_t>(DType::kFloat32, DType::kFloat16, widened(), 48);
  };
  const auto expected_floats = widened();
  const auto expected_crossed = crossed(), expected_halves = narrowed();
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | kFlushToZero | kDenormalsAreZero);
  const auto floats = widened();
  const auto bfloats = crossed(), halves = narrowed();
  _mm_setcsr(mode);
  CHECK(floats == expected_floats);
  CHECK(bfloats == expected_crossed);
  CHECK(halves == expected_halves);
#endif
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  if (!has_wanted_kernels()) return kSkipped;
  return run_all({
      {"every half as a float", half_to_float},
      {"every bfloat as a float", bfloat_to_float},
      {"floats as halves: ties to even, subnormals, overflow, NaN", float_to_half},
      {"floats as bfloats: ties to even, subnormals, overflow, NaN", float_to_bfloat},
      {"every half as a bfloat, every bfloat as a half", half_to_bfloat_and_back},
      {"subnormal halves survive where floats are flushed to zero", subnormals_in_flushing_mode},
  });
}
