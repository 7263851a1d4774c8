// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/hash.h"

namespace jax_hps {

/// Tells rows that were resolved before an update of their key from those resolved behind it.
///
/// Who resolves rows for a cache reads the time before; who updates a key first makes the update
/// visible where rows are resolved from, then marks the key, then changes the caches. An insertion
/// asks, while it holds its bucket, whether the key has been marked since: if it has not, the
/// updater will come by that bucket later, and find what is inserted.
class UpdateClock {
 public:
  using Time = uint64_t;

  Time now() const { return now_.load(); }

  void mark(int64_t key) {
    const Time time = now_.fetch_add(1) + 1;
    std::atomic<Time>& stripe = stripes_[stripe_of(key)];
    Time seen = stripe.load();
    while (seen < time && !stripe.compare_exchange_weak(seen, time)) {
    }
  }

  /// Whether the key, or one of its stripe, has been marked after that time.
  bool has_moved(int64_t key, Time since) const { return stripes_[stripe_of(key)].load() > since; }

 private:
  // A false alarm costs one insertion; 32 KiB of stripes make them rare.
  static constexpr size_t kStripes = 4096;

  static size_t stripe_of(int64_t key) {
    return scale_to(mix64(static_cast<uint64_t>(key)), kStripes);
  }

  std::atomic<Time> now_{0};
  std::array<std::atomic<Time>, kStripes> stripes_{};
};

}  // namespace jax_hps
