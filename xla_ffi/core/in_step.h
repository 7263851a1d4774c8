// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/inline.h"

namespace jax_hps {

/// Calls each(i) for the things of a block, and fetch(i) for those of the one ahead, in turns.
template <typename Each, typename Fetch>
JAX_HPS_INLINE void in_step(int count, int ahead, Each each, Fetch fetch) {
  const int both = count < ahead ? count : ahead;
  for (int i = 0; i < both; ++i) {
    fetch(i);
    each(i);
  }
  for (int i = both; i < count; ++i) each(i);
  for (int i = both; i < ahead; ++i) fetch(i);
}

}  // namespace jax_hps
