// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "core/cache/view.h"
#include "core/memory.h"
#include "core/row_cache_layout.h"
#include "core/update_clock.h"

namespace jax_hps {

/// A bounded cache of rows in DRAM: the embedding cache's target on a CPU.
///
/// Any number of threads may do anything at any time. Readers (`lookup_cached`) take no locks;
/// insertions, updates and erasures hold one bucket of 16 rows for as long as it takes to copy one.
class RowCache {
 public:
  using Count = std::atomic<int64_t>;

  /// What insertions have come to since the cache was made.
  struct Counters {
    Count attempts{0};      ///< keys offered that the cache did not hold
    Count fills{0};         ///< of those, how many got an empty way
    Count replacements{0};  ///< how many got another key's
    Count rejects{0};       ///< how many were not let in
    Count stale{0};         ///< how many came behind an update of their key
    Count ghost_hits{0};    ///< how many their bucket remembered
    Count absents{0};       ///< of the keys let in, how many are known to have no row
    Count overwrites{0};    ///< updates of keys that the cache held
    Count erasures{0};      ///< deletions of such
  };

  /// Hottest first by `uses`, if the caller sorts them.
  struct Contents {
    std::vector<int64_t> keys;
    std::vector<uint8_t> uses;  ///< 0 to 15; what they count is the policy's
    std::vector<bool> absent;
  };

  /// Throws Error(kInvalidArgument) where the options make no sense or ask for more than the
  /// machine's memory, Error(kIo) where the system gives none.
  explicit RowCache(const RowCacheOptions& options);

  const cache::View& view() const { return view_; }
  int64_t num_rows() const { return layout_.num_rows(); }
  bool is_exact() const { return layout_.is_exact; }
  /// Bytes of memory, metadata included; known beforehand from RowCacheLayout.
  size_t nbytes() const { return layout_.total_bytes; }
  /// What the counters come to: calls under way may be missing.
  int64_t num_cached() const { return counters.fills - counters.erasures; }

  /// What a call that may miss begins with, and hands on with the rows that it resolves.
  struct Batch {
    UpdateClock::Time since = 0;  ///< Updates of later are not in those rows.
    uint8_t number = 0;
  };
  Batch begin_batch() {
    const uint32_t number = batches_.fetch_add(1, std::memory_order_relaxed);
    return {clock_.now(), static_cast<uint8_t>(number)};
  }

  /// Offers keys that were asked for, with their rows as resolved since the batch began.
  ///
  /// `rows[i]` null: key i is known to be absent. `counts[i]`: how often it was asked for (null:
  /// once each).
  void insert(std::span<const int64_t> keys, const std::byte* const* rows, const uint32_t* counts,
              const Batch& batch);

  /// Gives keys new rows, [keys, row_bytes], where it holds them; how many that were. The caller
  /// has made the update visible to whoever resolves the keys.
  int64_t overwrite(std::span<const int64_t> keys, const std::byte* rows);
  /// Forgets keys, and whether they were absent; how many it held.
  int64_t erase(std::span<const int64_t> keys);

  Contents contents() const;

  /// Insertions into a bucket between two halvings of its counters, as it is now.
  uint32_t ageing_period() const { return period_.load(std::memory_order_relaxed); }

  Counters counters;

 private:
  void judge(const cache::Evidence& evidence);

  const RowCacheLayout layout_;
  Mapping memory_;
  cache::View view_;
  UpdateClock clock_;
  std::atomic<uint32_t> batches_{0};
  // Of the frequency policy, as cache/policy.h has it:
  std::atomic<uint32_t> period_;
  std::mutex mutex_;
  cache::Evidence evidence_;
};

}  // namespace jax_hps
