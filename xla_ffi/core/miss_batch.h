// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/gather.h"

namespace jax_hps {

/// The keys at some positions of a call, each once.
struct MissBatch {
  MissBatch() = default;
  MissBatch(const GatherJob& job, std::vector<int64_t> positions);

  std::vector<int64_t> positions;
  std::vector<uint32_t> places;  ///< of each position: where its key is in `keys`
  std::vector<int64_t> keys;
  std::vector<uint32_t> counts;  ///< of each key: how many positions have it
};

}  // namespace jax_hps
