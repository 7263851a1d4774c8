// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/inline.h"

namespace jax_hps {

// The hardware follows a row's first lines by itself; more requests than this only queue up.
inline constexpr size_t kFetchBytes = 1024;

/// Asks memory for a row. `kLevel`: 3 into the first level of caches, 2 into the second, which
/// takes more requests at a time.
template <int kLevel = 3>
JAX_HPS_INLINE void fetch_row(const std::byte* row, size_t row_bytes) {
  const size_t end = row_bytes < kFetchBytes ? row_bytes : kFetchBytes;
  for (size_t at = 0; at < end; at += 64) __builtin_prefetch(row + at, 0, kLevel);
  // A row that does not start at a line's beginning may reach into one more.
  if (row_bytes % 64 != 0) __builtin_prefetch(row + end - 1, 0, kLevel);
}

}  // namespace jax_hps
