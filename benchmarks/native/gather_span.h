// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// The least that a gather of rows by number does: prefetch ahead, then copy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

constexpr int64_t kAhead = 16;
constexpr int64_t kLine = 64;
constexpr int64_t kMostAhead = 1024;  // bytes of a row; the hardware follows by itself

// Inlined by force: to GCC 12 a function that only prefetches does nothing, and it drops the calls.
__attribute__((always_inline)) inline void FetchRow(const float* row, int64_t dim) {
  const char* bytes = reinterpret_cast<const char*>(row);
  for (int64_t at = 0; at < std::min(dim * 4, kMostAhead); at += kLine) {
    __builtin_prefetch(bytes + at);
  }
}

// kDim as a constant turns memcpy into a few moves; 0: only known when it runs.
template <int64_t kDim>
void GatherSpan(const float* table, const int32_t* rows, int64_t begin, int64_t end, int64_t dim,
                float* out) {
  if (kDim != 0) dim = kDim;
  for (int64_t i = begin; i < begin + kAhead && i < end; ++i) {
    FetchRow(table + rows[i] * dim, dim);
  }
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) FetchRow(table + rows[i + kAhead] * dim, dim);
    std::memcpy(out + i * dim, table + rows[i] * dim, dim * sizeof(float));
  }
}

inline auto ChooseGatherSpan(int64_t dim) {
  switch (dim) {
    case 4:
      return GatherSpan<4>;
    case 16:
      return GatherSpan<16>;
    case 64:
      return GatherSpan<64>;
    case 128:
      return GatherSpan<128>;
    case 256:
      return GatherSpan<256>;
    default:
      return GatherSpan<0>;
  }
}
