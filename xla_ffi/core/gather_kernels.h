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

/// A block of keys on its way through the kernels.
struct GatherBlock {
  int64_t begin = 0;
  int count = 0;
  const IndexLine* lines[kBlockKeys];  ///< where the index says something of each key
  int64_t numbers[kBlockKeys];         ///< row number of each key, -1: unknown
  uint32_t further = 0;                ///< bit i: key i may be in the line after its home line
  const std::byte* rows[kBlockKeys];   ///< address of each row
};

/// The inner loops, compiled once per instruction set.
///
/// Those that wait for memory ask for what the block behind theirs will read, one request for each
/// thing they read themselves: requests in bursts found the core's queue full, and cost a third.
struct GatherKernels {
  std::string_view isa;

  /// Sparse tables only: finds the home line of each key.
  using Hash = void (*)(const GatherJob& job, GatherBlock& block);
  /// Sparse tables only: looks into the home lines, and asks for the next line for the tenth of the
  /// keys that had no room in theirs. Meanwhile asks for the home lines of `ahead`.
  using Probe = void (*)(const GatherJob& job, GatherBlock& block, const GatherBlock& ahead);
  /// Finds the row of each key (default_row where unknown) and fills `found`; returns how many
  /// keys were known.
  using Resolve = int (*)(const GatherJob& job, GatherBlock& block);
  /// Copies rows to consecutive places, converting them where the dtypes differ. Meanwhile asks
  /// for the rows of `ahead`.
  using Copy = void (*)(const GatherJob& job, const GatherBlock& block, const GatherBlock& ahead,
                        std::byte* out);

  Hash (*hash)(const GatherJob& job);
  Probe (*probe)(const GatherJob& job);
  Resolve (*resolve)(const GatherJob& job);
  Copy (*copy)(const GatherJob& job);
};

/// The best kernels for this CPU; JAX_HPS_ISA=baseline|avx2|avx512 in the environment chooses
/// others, where the CPU has them.
const GatherKernels& gather_kernels();

}  // namespace jax_hps
