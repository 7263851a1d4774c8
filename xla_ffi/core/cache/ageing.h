// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/bucket.h"

namespace jax_hps::cache {

/// How fast the counters of kFrequency forget, for the insertions of one batch.
struct Ageing {
  uint32_t period = 128;  ///< A bucket's counters are halved every so many insertions into it,
  uint8_t batch = 0;      ///< and at most once in kBatchesBetween batches, which this numbers.
};

/// A cache whose batches miss more than it holds would otherwise forget everything within one.
inline constexpr uint32_t kBatchesBetween = 8;
/// At this period keys that were seen as often as the victim come in too: nearly every key does,
/// and what was not used lately goes.
inline constexpr uint32_t kShortestPeriod = kWays;
inline constexpr uint32_t kLongestPeriod = 8 * kWays;

/// What halving has shown: rows that were hot when counters were halved before, and how many of
/// them have not been used since.
struct Evidence {
  uint32_t hot = 0;
  uint32_t dead = 0;
  uint32_t halvings = 0;  ///< of how many buckets
};

/// The period that evidence asks for. Hashing gives every bucket the same mix of keys, so one
/// period does for all. Where favourites stay, few hot rows die, and a long memory tells rows
/// apart; where they change, counters of the past keep the new ones out.
///
/// Where next to no row ever gets hot, the period is too short to tell: many rows are then used
/// alike, and seldom.
///
/// The limits are from simulations of Zipf 1.05 and 1.2, stationary and with drifts of 0.001 to
/// 0.01 of the ranks a batch (`python -m benchmarks policies`): growing at more than 10 % of dead
/// rows loses under drift, shrinking at less than 15 % loses where there is none.
JAX_HPS_HD uint32_t adapted_period(uint32_t period, const Evidence& evidence) {
  const uint64_t dead_percent = uint64_t{100} * evidence.dead;
  const bool nothing_is_hot = evidence.hot <= evidence.halvings / 64;
  if (nothing_is_hot && period < kLongestPeriod) return period * 2;
  if (dead_percent > uint64_t{18} * evidence.hot && period > kShortestPeriod) return period / 2;
  if (dead_percent < uint64_t{8} * evidence.hot && period < kLongestPeriod) return period * 2;
  return period;
}

/// Whether there is enough to judge by: hot rows, or halvings that found next to none.
JAX_HPS_HD bool is_enough(const Evidence& evidence, uint32_t num_buckets) {
  const uint32_t wanted = num_buckets / 16 > 256 ? num_buckets / 16 : 256;
  return evidence.hot >= wanted || evidence.halvings / 8 >= num_buckets;
}

/// Marks of a way: 0, or by how much its counter exceeded 4 when it was halved.
JAX_HPS_HD uint32_t mark(uint32_t marks, int way) { return marks >> (2 * way) & 3; }
JAX_HPS_HD uint32_t mark_of(uint32_t use) { return use > 4 ? use - 4 : 0; }
JAX_HPS_HD uint32_t with_mark(uint32_t marks, int way, uint32_t value) {
  return (marks & ~(3u << (2 * way))) | value << (2 * way);
}

JAX_HPS_HD uint64_t halved(uint64_t uses) { return (uses >> 1) & 0x7777777777777777u; }

/// Halves all counters of a bucket; those of hot rows that have died fall to 0 at once.
JAX_HPS_HD Evidence halve(Bucket& bucket, History& history) {
  Evidence evidence;
  evidence.halvings = 1;
  uint64_t uses = bucket.uses();
  for (int way = 0; way < kWays; ++way) {
    const uint32_t was_hot = mark(history.marks, way);
    const bool is_dead = was_hot != 0 && nibble(uses, way) == was_hot + 4;
    evidence.hot += was_hot != 0;
    evidence.dead += is_dead;
    if (is_dead) uses = with_nibble(uses, way, 0);
  }
  uses = halved(uses);
  for (int way = 0; way < kWays; ++way) {
    history.marks = with_mark(history.marks, way, mark_of(nibble(uses, way)));
  }
  bucket.set_uses(uses);
  history.ghost_use = halved(history.ghost_use);
  return evidence;
}

/// Counts an insertion into a full bucket, and halves its counters when it is time.
JAX_HPS_HD Evidence age(const Ageing& ageing, Bucket& bucket, History& history) {
  if (history.attempts < 255) ++history.attempts;
  const uint8_t batches = static_cast<uint8_t>(ageing.batch - history.halved_at);
  if (history.attempts < ageing.period || batches < kBatchesBetween) return {};
  history.attempts = 0;
  history.halved_at = ageing.batch;
  return halve(bucket, history);
}

}  // namespace jax_hps::cache
