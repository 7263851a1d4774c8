// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/part_lookup.h"

#include <numeric>
#include <utility>

#include "core/cached_gather.h"

namespace jax_hps {

namespace {

std::vector<int64_t> all_positions(const GatherJob& job) {
  std::vector<int64_t> positions(static_cast<size_t>(job.count));
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

}  // namespace

PartLookup::PartLookup(const LookupPart& part, std::shared_ptr<Table> table)
    : table_(std::move(table)), job_(table_->base->job()) {
  job_.keys = part.keys;
  job_.key_type = part.key_type;
  job_.count = part.count;
  job_.output = part.output;
  job_.out = part.out;
  job_.found = part.found;
  if (table_->row_cache) batch_ = table_->row_cache->begin_batch();
}

size_t PartLookup::bytes_per_key() const {
  const bool has_lines = job_.index.lines || table_->row_cache;
  return job_.row_bytes() + job_.out_row_bytes() + (has_lines ? sizeof(IndexLine) : 0);
}

void PartLookup::gather(int64_t begin, int64_t end) {
  if (!table_->row_cache) {
    const int64_t known = jax_hps::gather(job_, begin, end, &on_disk_);
    tally_.base.fetch_add(known, std::memory_order_relaxed);
    tally_.unknown.fetch_add(end - begin - known, std::memory_order_relaxed);
    return;
  }
  std::vector<int64_t> missed;
  const CachedCounts counts = gather_cached(job_, table_->row_cache->view(), begin, end, missed);
  tally_.cached.fetch_add(counts.hits, std::memory_order_relaxed);
  tally_.unknown.fetch_add(counts.absent, std::memory_order_relaxed);
  if (missed.empty()) return;
  if (!has_resolver()) {
    read_missed(std::move(missed));
    return;
  }
  const std::lock_guard lock(mutex_);
  missed_.insert(missed_.end(), missed.begin(), missed.end());
}

// Reads rows that the cache does not have from the mapped base, each once, and offers them to it.
void PartLookup::read_missed(std::vector<int64_t> positions) {
  const MissBatch misses(job_, std::move(positions));
  const size_t count = misses.keys.size(), row_bytes = job_.row_bytes();
  const auto data = std::make_unique_for_overwrite<std::byte[]>(count * row_bytes);
  const auto found = std::make_unique_for_overwrite<bool[]>(count);
  GatherJob reading = table_->base->job();
  reading.keys = misses.keys.data();
  reading.count = static_cast<int64_t>(count);
  reading.out = data.get();
  reading.found = found.get();
  jax_hps::gather(reading, 0, reading.count, &on_disk_);

  std::vector<const std::byte*> rows(count);
  for (size_t i = 0; i < count; ++i) rows[i] = found[i] ? data.get() + i * row_bytes : nullptr;
  table_->row_cache->insert(misses.keys, rows.data(), misses.counts.data(), batch_);

  std::vector<const std::byte*> wanted;
  wanted.reserve(misses.positions.size());
  int64_t known = 0;
  for (size_t i = 0; i < misses.positions.size(); ++i) {
    const std::byte* row = rows[misses.places[i]];
    wanted.push_back(row ? row : job_.default_row);
    known += row != nullptr;
    if (job_.found) job_.found[misses.positions[i]] = row != nullptr;
  }
  scatter_rows(job_, misses.positions, wanted.data());
  tally_.base.fetch_add(known, std::memory_order_relaxed);
  tally_.unknown.fetch_add(static_cast<int64_t>(misses.positions.size()) - known,
                           std::memory_order_relaxed);
}

void PartLookup::ask() {
  if (!table_->row_cache) missed_ = all_positions(job_);
  resolved_.emplace(*table_, job_, std::move(missed_), batch_);
}

ResolvedMisses::Result PartLookup::finish() {
  const bool leaves = resolved_->num_wanted() > 0 && !resolved_->is_closed() && hits_suffice();
  ResolvedMisses::Result result = leaves ? resolved_->leave(table_) : resolved_->finish();
  tally_.base.fetch_add(result.known, std::memory_order_relaxed);
  tally_.unknown.fetch_add(result.unknown, std::memory_order_relaxed);
  if (leaves) tally_.deferred = std::exchange(result.unanswered, 0);
  return result;
}

// Whether the row cache had so many of the call's distinct keys that the others can come later.
bool PartLookup::hits_suffice() const {
  const int64_t threshold_ppm = table_->options.hit_rate_threshold_ppm;
  if (!table_->row_cache || threshold_ppm >= kAlwaysWait) return false;
  if (threshold_ppm == 0) return true;
  const auto distinct = static_cast<int64_t>(MissBatch(job_, all_positions(job_)).keys.size());
  return (distinct - resolved_->num_wanted()) * kAlwaysWait >= distinct * threshold_ppm;
}

}  // namespace jax_hps
