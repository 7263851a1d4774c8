// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

#include "core/gather.h"
#include "core/inline.h"

namespace jax_hps {

/// The key at a position of a job whose keys are of that type, widened; of any alignment.
template <typename Key>
JAX_HPS_INLINE int64_t load_key(const GatherJob& job, int64_t position) {
  Key key;
  std::memcpy(&key, static_cast<const std::byte*>(job.keys) + position * int64_t{sizeof(Key)},
              sizeof(Key));
  return static_cast<int64_t>(key);
}

}  // namespace jax_hps
