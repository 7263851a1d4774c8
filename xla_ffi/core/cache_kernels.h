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
  uint32_t in_domain = 0;        ///< bit i: so is key i. These three are masks of the block.
  uint32_t absent = 0;           ///< known to have no row
  uint32_t disturbed = 0;        ///< the bucket changed while the row was copied
};

/// The inner loops of lookups in a cache, compiled once per instruction set. As in GatherKernels,
/// those that wait for memory ask for what the block behind theirs will read.
struct CacheKernels {
  std::string_view isa;

  /// Finds the bucket and tag of each key.
  using Hash = void (*)(const GatherJob& job, const cache::View& view, CacheBlock& block);
  /// Reads buckets. Meanwhile asks for those of `ahead`.
  using Probe = void (*)(const cache::View& view, CacheBlock& block, const CacheBlock& ahead);
  /// Finds rows: the default row where the cache has none.
  using Resolve = void (*)(const GatherJob& job, const cache::View& view, CacheBlock& block);
  /// Behind the copy: sees whether what was copied stands, and remembers hits.
  using Settle = void (*)(const cache::View& view, CacheBlock& block);

  Hash (*hash)(const GatherJob& job);
  Probe probe;
  Resolve (*resolve)(const GatherJob& job);
  Settle (*settle)(const cache::View& view);
};

/// The best kernels for this CPU, as for gather_kernels().
const CacheKernels& cache_kernels();

}  // namespace jax_hps
