// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/row_cache.h"

#include <algorithm>
#include <string>

#include "core/cache/change.h"
#include "core/error.h"

namespace jax_hps {
namespace {

using cache::Insertion;

// Insertions ask for the lines of those so far ahead.
constexpr size_t kAhead = 8;

void ask_for(const cache::View& view, int64_t key) {
  const cache::Address address = view.address(static_cast<uint64_t>(key));
  const char* bucket = reinterpret_cast<const char*>(view.buckets + address.bucket);
  __builtin_prefetch(bucket, 1);
  __builtin_prefetch(view.history + address.bucket, 1);
}

// Calls each(i) for all keys, their lines asked for ahead.
template <typename Each>
void for_each_key(const cache::View& view, std::span<const int64_t> keys, Each each) {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i + kAhead < keys.size()) ask_for(view, keys[i + kAhead]);
    each(i);
  }
}

// Adaptive caches begin with what suits one that still learns what is hot.
uint32_t first_period(const cache::PolicyOptions& options) {
  return options.halving == 0 ? cache::kShortestPeriod : options.halving * cache::kWays;
}

uint32_t hotness(cache::Policy policy, uint32_t use) {
  // The rank of the row used last is 0.
  return policy == cache::Policy::kLru ? cache::kWays - 1 - use : use;
}

}  // namespace

RowCache::RowCache(const RowCacheOptions& options)
    : layout_(options), period_(first_period(options.policy)) {
  check_memory(layout_);
  memory_ = Mapping::allocate(layout_.total_bytes);
  std::byte* data = memory_.data();
  view_.buckets = reinterpret_cast<cache::Bucket*>(data);
  view_.history = reinterpret_cast<cache::History*>(data + layout_.history_offset);
  if (!layout_.is_exact) view_.keys = reinterpret_cast<uint64_t*>(data + layout_.keys_offset);
  view_.rows = data + layout_.rows_offset;
  view_.num_buckets = layout_.num_buckets;
  view_.row_bytes = layout_.row_bytes;
  view_.row_stride = layout_.row_stride;
  view_.key_bits = options.key_bits;
  view_.policy = options.policy;
  for (uint32_t i = 0; i < view_.num_buckets; ++i) {
    cache::begin(view_.policy, view_.buckets[i], view_.history[i]);
  }
}

void RowCache::insert(std::span<const int64_t> keys, const std::byte* const* rows,
                      const uint32_t* counts, const Batch& batch) {
  const cache::Ageing ageing{ageing_period(), batch.number};
  cache::Evidence evidence;
  int64_t outcomes[5] = {}, ghost_hits = 0, absents = 0;
  for_each_key(view_, keys, [&](size_t i) {
    const auto guard = [&] { return !clock_.has_moved(keys[i], batch.since); };
    const cache::InsertionResult result =
        cache::insert(cache::OneLane(), view_, ageing, static_cast<uint64_t>(keys[i]), rows[i],
                      counts ? counts[i] : 1, guard);
    const bool is_in = result.what == Insertion::kFilled || result.what == Insertion::kReplaced;
    ++outcomes[static_cast<int>(result.what)];
    ghost_hits += result.was_ghost;
    absents += rows[i] == nullptr && is_in;
    evidence.hot += result.evidence.hot;
    evidence.dead += result.evidence.dead;
    evidence.halvings += result.evidence.halvings;
  });
  const auto outcome = [&](Insertion what) { return outcomes[static_cast<int>(what)]; };
  const auto add = [](Count& count, int64_t value) {
    if (value != 0) count.fetch_add(value, std::memory_order_relaxed);
  };
  const int64_t total = static_cast<int64_t>(keys.size());
  add(counters.attempts, total - outcome(Insertion::kPresent));
  add(counters.fills, outcome(Insertion::kFilled));
  add(counters.replacements, outcome(Insertion::kReplaced));
  add(counters.rejects, outcome(Insertion::kRejected));
  add(counters.stale, outcome(Insertion::kStale));
  add(counters.ghost_hits, ghost_hits);
  add(counters.absents, absents);
  if (view_.policy.halving == 0 && evidence.halvings != 0) judge(evidence);
}

void RowCache::judge(const cache::Evidence& evidence) {
  const std::lock_guard lock(mutex_);
  evidence_.hot += evidence.hot;
  evidence_.dead += evidence.dead;
  evidence_.halvings += evidence.halvings;
  if (!cache::is_enough(evidence_, view_.num_buckets)) return;
  period_ = cache::adapted_period(period_, evidence_);
  evidence_ = {};
}

int64_t RowCache::overwrite(std::span<const int64_t> keys, const std::byte* rows) {
  int64_t held = 0;
  for_each_key(view_, keys, [&](size_t i) {
    clock_.mark(keys[i]);
    held += cache::overwrite(cache::OneLane(), view_, static_cast<uint64_t>(keys[i]),
                             rows + i * view_.row_bytes);
  });
  counters.overwrites.fetch_add(held, std::memory_order_relaxed);
  return held;
}

int64_t RowCache::erase(std::span<const int64_t> keys) {
  int64_t held = 0;
  for_each_key(view_, keys, [&](size_t i) {
    clock_.mark(keys[i]);
    held += cache::erase(view_, static_cast<uint64_t>(keys[i]));
  });
  counters.erasures.fetch_add(held, std::memory_order_relaxed);
  return held;
}

RowCache::Contents RowCache::contents() const {
  Contents contents;
  for (uint32_t at = 0; at < view_.num_buckets; ++at) {
    // The hold keeps the keys of a bucket in step with its tags.
    cache::Bucket& bucket = view_.buckets[at];
    cache::Hold hold;
    hold.take(bucket);
    for (uint32_t left = bucket.occupied; left != 0; left &= left - 1) {
      const int way = cache::first_bit(left);
      contents.keys.push_back(static_cast<int64_t>(view_.key_in(at, way)));
      contents.uses.push_back(
          static_cast<uint8_t>(hotness(view_.policy.policy, cache::nibble(bucket.uses(), way))));
      contents.absent.push_back((bucket.absent >> way & 1) != 0);
    }
    hold.release(bucket);
  }
  return contents;
}

}  // namespace jax_hps
