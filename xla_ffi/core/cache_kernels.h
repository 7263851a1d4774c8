// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "core/cache/view.h"
#include "core/gather_kernels.h"

namespace jax_hps {

/// A block of keys on its way through a cache.
struct CacheBlock {
  GatherBlock rows;  ///< begin, count, and where each row is copied from
  uint32_t buckets[kBlockKeys];
  uint32_t tags[kBlockKeys];
  uint32_t sequences[kBlockKeys];
  uint16_t matches[kBlockKeys];  ///< ways whose tags match; none for keys out of the domain
  int8_t ways[kBlockKeys];       ///< -1: not in the cache
  // Masks, bit i for key i:
  uint32_t in_domain = 0;
  uint32_t present = 0;    ///< in the cache
  uint32_t absent = 0;     ///< known to have no row
  uint32_t disturbed = 0;  ///< the bucket changed while the row was copied
};

/// The inner loops of lookups in a cache, compiled once per instruction set.
struct CacheKernels {
  std::string_view isa;

  /// Finds the bucket and tag of each key.
  using Hash = void (*)(const GatherJob& job, const cache::View& view, CacheBlock& block);
  /// Finds rows in buckets that were probed: the default row where the cache has none.
  using Resolve = void (*)(const GatherJob& job, const cache::View& view, CacheBlock& block);
  /// All that waits for memory, of four blocks that follow one another: asks for the buckets of
  /// `hashed`, reads those of `probed`, asks for the rows of `resolved`, copies those of `copied`
  /// and sees whether they stand. In turns, one key of each: requests in bursts found the core's
  /// queue full. `copy` is for rows of sizes that there is no loop for.
  using Step = void (*)(const GatherJob& job, const cache::View& view, GatherKernels::Copy copy,
                        CacheBlock& copied, const CacheBlock& resolved, CacheBlock& probed,
                        const CacheBlock& hashed);

  Hash (*hash)(const GatherJob& job);
  Resolve (*resolve)(const GatherJob& job);
  Step (*step)(const GatherJob& job, const cache::View& view);
};

/// The best kernels for this CPU, as for gather_kernels().
const CacheKernels& cache_kernels();

}  // namespace jax_hps
