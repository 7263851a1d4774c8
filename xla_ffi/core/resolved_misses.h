// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/miss_batch.h"
#include "core/resolver_queue.h"
#include "core/table.h"

namespace jax_hps {

/// Keys of a call whose rows come from a resolver: asked for on construction, waited for and
/// written to their places by `finish`. What comes is offered to the table's row cache by the
/// resolver's thread, whether or not anybody still waits for it.
class ResolvedMisses {
 public:
  struct Result {
    int64_t known = 0;       ///< positions whose rows were written
    int64_t unknown = 0;     ///< positions whose keys have no row
    int64_t unanswered = 0;  ///< positions that the resolver did not answer, and why:
    ResolverRequest::Outcome outcome = ResolverRequest::Outcome::kAnswered;
    std::string message;
    bool is_damage = false;
  };

  /// `batch`: of the row cache, begun before anything was looked up. The table and what the job
  /// points to must outlive this.
  ResolvedMisses(const Table& table, const GatherJob& job, std::vector<int64_t> positions,
                 const RowCache::Batch& batch);

  /// Distinct keys whose rows are to come.
  int64_t num_wanted() const { return static_cast<int64_t>(wanted_.size()); }

  /// Waits until the table's deadline at the longest. Positions without a row get the default one.
  Result finish();
  /// Whether nothing is to come: the resolver was closed before it was asked.
  bool is_closed() const {
    return own_ && own_->wait(ResolverRequest::Time()) == ResolverRequest::Outcome::kClosed;
  }
  /// Waits for nothing: all positions get the default row, and `unanswered` counts those whose
  /// keys have another.
  /// What fails behind that is kept in the table's log.
  Result leave(std::weak_ptr<Table> table);

 private:
  void find_rows();
  void ask(const std::vector<size_t>& wanted);
  std::vector<size_t> collect(const std::vector<size_t>& wanted, Result& result);
  Result written(Result result) const;

  const Table& table_;
  const GatherJob& job_;
  const RowCache::Batch batch_;
  const ResolverRequest::Time deadline_;
  const MissBatch misses_;
  // Of each key of the batch:
  std::vector<int64_t> numbers_;              // row number, -1: it has none
  std::vector<ResolverQueue::Place> places_;  // where its row will be
  std::vector<const std::byte*> rows_;        // its row, once it is there
  std::vector<size_t> wanted_;                // those that have a row
  std::shared_ptr<ResolverRequest> own_;      // what this call was the first to ask for
};

}  // namespace jax_hps
