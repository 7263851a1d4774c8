// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolved_misses.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace jax_hps {
namespace {

using Outcome = ResolverRequest::Outcome;

ResolverRequest::Time deadline_after(double seconds) {
  // A century is for ever, and still fits the clock.
  const std::chrono::duration<double> patience(std::min(seconds, 3e9));
  return ResolverRequest::Clock::now() +
         std::chrono::duration_cast<ResolverRequest::Clock::duration>(patience);
}

// Of several reasons why rows did not come, which one to tell: damage is raised by whoever can, and
// what only took too long may be over.
int gravity(Outcome outcome, bool is_damage) {
  if (outcome == Outcome::kFailed) return is_damage ? 4 : 2;
  return outcome == Outcome::kClosed ? 3 : outcome == Outcome::kTimedOut ? 1 : 0;
}

// Offers the rows of a request to a cache.
struct Promotion {
  std::shared_ptr<RowCache> cache;
  RowCache::Batch batch;
  size_t row_bytes;
  std::vector<int64_t> keys;
  std::vector<uint32_t> counts;

  void operator()(std::span<const size_t> which, const std::byte* data) const {
    std::vector<int64_t> asked;
    std::vector<uint32_t> how_often;
    std::vector<const std::byte*> rows;
    for (const size_t i : which) {
      asked.push_back(keys[i]);
      how_often.push_back(counts[i]);
      rows.push_back(data + rows.size() * row_bytes);
    }
    cache->insert(asked, rows.data(), how_often.data(), batch);
  }
};

}  // namespace

ResolvedMisses::ResolvedMisses(const Table& table, const GatherJob& job,
                               std::vector<int64_t> positions, const RowCache::Batch& batch)
    : table_(table),
      job_(job),
      batch_(batch),
      deadline_(deadline_after(table.options.deadline_s)),
      misses_(job, std::move(positions)),
      places_(misses_.keys.size()),
      rows_(misses_.keys.size(), nullptr) {
  find_rows();
  if (!wanted_.empty()) ask(wanted_);
}

// Keys without a row need nobody's answer.
void ResolvedMisses::find_rows() {
  numbers_ = table_.base->row_numbers(misses_.keys);
  std::vector<int64_t> absent;
  std::vector<uint32_t> counts;
  for (size_t i = 0; i < numbers_.size(); ++i) {
    if (numbers_[i] >= 0) {
      wanted_.push_back(i);
    } else {
      absent.push_back(misses_.keys[i]);
      counts.push_back(misses_.counts[i]);
    }
  }
  if (!table_.row_cache || absent.empty()) return;
  const std::vector<const std::byte*> no_rows(absent.size(), nullptr);
  table_.row_cache->insert(absent, no_rows.data(), counts.data(), batch_);
}

void ResolvedMisses::ask(const std::vector<size_t>& wanted) {
  std::vector<int64_t> numbers;
  for (const size_t i : wanted) numbers.push_back(numbers_[i]);
  ResolverQueue::Promote promote;
  if (table_.row_cache) {
    Promotion promotion{table_.row_cache, batch_, job_.row_bytes(), {}, {}};
    for (const size_t i : wanted) {
      promotion.keys.push_back(misses_.keys[i]);
      promotion.counts.push_back(misses_.counts[i]);
    }
    promote = std::move(promotion);
  }
  auto asked =
      table_.base->resolver()->ask(numbers, job_.row_bytes(), deadline_, std::move(promote));
  for (size_t i = 0; i < wanted.size(); ++i) places_[wanted[i]] = std::move(asked.places[i]);
  own_ = std::move(asked.own);
}

ResolvedMisses::Result ResolvedMisses::finish() {
  Result result;
  std::vector<size_t> left = wanted_;
  while (!(left = collect(left, result)).empty()) ask(left);
  return written(std::move(result));
}

ResolvedMisses::Result ResolvedMisses::leave(std::weak_ptr<Table> table) {
  if (own_) {
    own_->on_failure([table = std::move(table)](const ResolverRequest& request) {
      const auto open = table.lock();
      if (!open) return;
      const auto code = request.is_damage() ? Failure::Code::kCorrupt : Failure::Code::kUnavailable;
      Counters::add(open->counters.failures, 1);
      open->failures.add({code,
                          "hps.lookup(table='" + open->name + "'): " + request.message() + "; " +
                              std::to_string(request.rows.size()) +
                              " rows that were to come behind a call did not.",
                          open->name});
    });
  }
  return written({});
}

// Waits for the rows of some keys. Returns those that are worth asking for again: another call's
// request may have failed for want of that call's time.
std::vector<size_t> ResolvedMisses::collect(const std::vector<size_t>& wanted, Result& result) {
  std::vector<size_t> again;
  const ResolverRequest* waited_for = nullptr;
  Outcome outcome = Outcome::kAnswered;
  for (const size_t i : wanted) {
    ResolverRequest* request = places_[i].request.get();
    if (request != waited_for) outcome = request->wait(deadline_);
    waited_for = request;
    if (outcome == Outcome::kAnswered) {
      rows_[i] = request->row(places_[i].index);
      continue;
    }
    const bool is_final = request == own_.get() || outcome == Outcome::kClosed ||
                          (outcome == Outcome::kFailed && request->is_damage());
    if (!is_final && ResolverRequest::Clock::now() < deadline_) {
      again.push_back(i);
      continue;
    }
    // Of a request that is under way there is nothing to read yet.
    const bool has_failed = outcome == Outcome::kFailed;
    const bool is_damage = has_failed && request->is_damage();
    if (gravity(outcome, is_damage) < gravity(result.outcome, result.is_damage)) continue;
    result.outcome = outcome;
    result.is_damage = is_damage;
    if (has_failed) result.message = request->message();
  }
  return again;
}

ResolvedMisses::Result ResolvedMisses::written(Result result) const {
  std::vector<const std::byte*> rows;
  rows.reserve(misses_.positions.size());
  for (size_t i = 0; i < misses_.positions.size(); ++i) {
    const uint32_t place = misses_.places[i];
    const std::byte* row = rows_[place];
    rows.push_back(row ? row : job_.default_row);
    if (job_.found) job_.found[misses_.positions[i]] = row != nullptr;
    result.known += row != nullptr;
    result.unknown += numbers_[place] < 0;
  }
  result.unanswered =
      static_cast<int64_t>(misses_.positions.size()) - result.known - result.unknown;
  scatter_rows(job_, misses_.positions, rows.data());
  return result;
}

}  // namespace jax_hps
