// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/lookup_part.h"
#include "core/resolved_misses.h"
#include "core/table.h"

namespace jax_hps {

/// One table's part of a call under way.
///
/// The call runs `gather` over all keys, in pieces, on any threads; then, where rows come from a
/// resolver, `ask`, does what else there is to do, and `finish`.
class PartLookup {
 public:
  /// How many positions were answered by what.
  struct Tally {
    std::atomic<int64_t> cached{0};   ///< the row cache
    std::atomic<int64_t> base{0};     ///< the base
    std::atomic<int64_t> unknown{0};  ///< the default row, for the key has none
    int64_t deferred = 0;             ///< the default row, for nobody waited for the key's own
  };

  PartLookup(const LookupPart& part, std::shared_ptr<Table> table);

  Table& table() const { return *table_; }
  const GatherJob& job() const { return job_; }
  const Tally& tally() const { return tally_; }
  bool has_resolver() const { return table_->base->resolver() != nullptr; }
  /// Whether `gather` has anything to do: a row cache to ask, or mapped rows to read.
  bool needs_gather() const { return table_->row_cache != nullptr || !has_resolver(); }
  /// What a key costs: its row in and out, and about one line of an index.
  size_t bytes_per_key() const;

  /// Answers keys [begin, end) from the row cache and from what is mapped.
  void gather(int64_t begin, int64_t end);
  /// Asks the resolver for what is left.
  void ask();
  /// Waits for the resolver, unless the row cache had enough of the keys; what `gather` and `ask`
  /// left is then written.
  ResolvedMisses::Result finish();

 private:
  void read_missed(std::vector<int64_t> positions);
  bool hits_suffice() const;

  const std::shared_ptr<Table> table_;
  GatherJob job_;
  RowCache::Batch batch_;  // of the row cache
  std::atomic<bool> on_disk_{false};
  Tally tally_;
  std::mutex mutex_;
  std::vector<int64_t> missed_;  // positions that the row cache did not have
  std::optional<ResolvedMisses> resolved_;
};

}  // namespace jax_hps
