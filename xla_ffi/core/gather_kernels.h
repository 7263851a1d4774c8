// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/gather.h"

namespace jax_hps {

/// Keys go through the kernels in blocks of at most this many.
inline constexpr int kBlockKeys = 32;

/// The inner loops, compiled once per instruction set.
struct GatherKernels {
  std::string_view isa;

  /// Fetches the index lines of keys [begin, begin + count). Sparse tables only.
  using Fetch = void (*)(const GatherJob& job, int64_t begin, int count, const IndexLine** lines);
  /// Finds the row address of each key (default_row where unknown), fetches the rows, fills
  /// `found`; returns how many keys were known.
  using Resolve = int (*)(const GatherJob& job, int64_t begin, int count,
                          const IndexLine* const* lines, const std::byte** rows);
  /// Copies rows to consecutive places, converting them where the dtypes differ.
  using Copy = void (*)(const GatherJob& job, const std::byte* const* rows, int count,
                        std::byte* out);

  Fetch (*fetch)(const GatherJob& job);
  Resolve (*resolve)(const GatherJob& job);
  Copy (*copy)(const GatherJob& job);
};

/// The best kernels for this CPU; JAX_HPS_ISA=baseline|avx2|avx512 in the environment chooses
/// others, where the CPU has them.
const GatherKernels& gather_kernels();

}  // namespace jax_hps
