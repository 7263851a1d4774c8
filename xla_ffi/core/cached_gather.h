// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "core/cache_kernels.h"
#include "core/gather.h"

namespace jax_hps {

/// What a cache had of some keys.
struct CachedCounts {
  int64_t hits = 0;    ///< rows
  int64_t absent = 0;  ///< keys known to have none
};

/// Answers keys [begin, end) of the job from a cache, and appends the positions of those that it
/// does not have, in order, to `missed`. All of them are written: those without a row get the
/// default one.
///
/// Takes no locks. A row that is changed while it is copied is copied again; one that will not
/// stand still counts as missed.
CachedCounts gather_cached(const GatherJob& job, const cache::View& view, int64_t begin,
                           int64_t end, std::vector<int64_t>& missed,
                           const CacheKernels& kernels = cache_kernels());

}  // namespace jax_hps
