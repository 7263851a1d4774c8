// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace jax_hps {

/// What a table has answered since it was opened. Relaxed: a snapshot may mix calls in flight.
struct Counters {
  using Count = std::atomic<int64_t>;

  Count lookups{0};         ///< calls
  Count keys{0};            ///< keys of those calls, duplicates included
  Count row_cache_hits{0};  ///< keys whose row came from the row cache
  Count base_hits{0};       ///< keys whose row came from the base
  Count defaults{0};        ///< keys that answered the default vector because they are unknown
  Count deferred{0};        ///< keys that did because nobody waited for their rows
  Count unavailable{0};     ///< keys that did because their tier failed or was closed
  Count degraded{0};        ///< keys that did because the deadline had passed
  Count failures{0};        ///< failures kept for `take_failures`
  Count bytes{0};           ///< bytes of rows written to outputs

  static void add(Count& counter, int64_t value) {
    if (value != 0) counter.fetch_add(value, std::memory_order_relaxed);
  }
};

}  // namespace jax_hps
