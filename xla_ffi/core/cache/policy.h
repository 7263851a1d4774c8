// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/ageing.h"
#include "core/cache/bucket.h"
#include "core/cache/ranks.h"

namespace jax_hps::cache {

enum class Policy : uint8_t {
  kFrequency,  ///< Counters that age; a key comes in where it has been seen more than the victim.
  kLru,        ///< The row that was not used for longest goes; every key comes in.
  kS3Fifo,     ///< Yang et al., SOSP 2023, within each bucket.
};

struct PolicyOptions {
  Policy policy = Policy::kFrequency;
  bool admit_always = false;  ///< kFrequency: let every key in.
  uint8_t halving = 0;        ///< kFrequency: see Ageing; 0: as the traffic asks for.
};

inline constexpr uint32_t kMaxUse = 15;

// ---- s3fifo: two bits of use, and whether the way is in the main queue --------------------------

inline constexpr uint32_t kS3Uses = 3;
inline constexpr uint32_t kS3Main = 4;
inline constexpr int kS3Small = 2;  ///< ways that new keys may take up: a tenth, rounded up

/// Prepares the books of a bucket whose memory is zeroed.
JAX_HPS_HD void begin(const PolicyOptions& options, Bucket& bucket, History& history) {
  if (options.policy == Policy::kLru) bucket.set_uses(kRanks);
  if (options.policy == Policy::kS3Fifo) history.ghost_use = kRanks;
}

// ---- hits ---------------------------------------------------------------------------------------

/// Whether a hit of the way would change anything.
template <Policy kPolicy>
JAX_HPS_HD bool would_touch(const Bucket& bucket, int way) {
  if (kPolicy == Policy::kLru) return nibble(bucket.uses(), way) != 0;
  const uint32_t most = kPolicy == Policy::kS3Fifo ? kS3Uses : kMaxUse;
  return ((load_hint(&bucket.use[way / 2]) >> ((way & 1) * 4)) & most) != most;
}

/// Remembers a hit. At most one store, none once the way could not stand better; hits that race
/// may lose one another's.
template <Policy kPolicy>
JAX_HPS_HD void touch(Bucket& bucket, int way) {
  if (kPolicy == Policy::kLru) {
    const uint64_t ranks = bucket.uses();
    if (nibble(ranks, way) != 0) bucket.set_uses(moved_to_front(ranks, way));
    return;
  }
  const uint32_t most = kPolicy == Policy::kS3Fifo ? kS3Uses : kMaxUse;
  const int shift = (way & 1) * 4;
  uint8_t* at = &bucket.use[way / 2];
  const uint8_t both = load_hint(at);
  const bool is_full = ((both >> shift) & most) == most;
  if (!is_full) store_hint(at, static_cast<uint8_t>(both + (1 << shift)));
}

JAX_HPS_HD void touch(Policy policy, Bucket& bucket, int way) {
  switch (policy) {
    case Policy::kFrequency:
      return touch<Policy::kFrequency>(bucket, way);
    case Policy::kLru:
      return touch<Policy::kLru>(bucket, way);
    case Policy::kS3Fifo:
      return touch<Policy::kS3Fifo>(bucket, way);
  }
}

// ---- insertions ---------------------------------------------------------------------------------

/// What becomes of a key that its bucket does not hold.
struct Placement {
  int way = -1;            ///< -1: the key is not let in
  uint32_t use = 0;        ///< the way's nibble; of the LRU none
  bool was_ghost = false;  ///< the bucket remembered the key
  Evidence evidence;
};

/// The first way from `hand` on with the least nibble.
JAX_HPS_HD int least(uint64_t uses, int hand) {
  int best = hand & (kWays - 1);
  for (int i = 1; i < kWays; ++i) {
    const int way = (hand + i) & (kWays - 1);
    if (nibble(uses, way) < nibble(uses, best)) best = way;
  }
  return best;
}

/// Bit i: ghost i has this tag, or what remains of it.
JAX_HPS_HD uint32_t match_ghosts(const History& history, uint32_t tag) {
  return match_words(history.ghost_tag, static_cast<uint16_t>(tag));
}

JAX_HPS_HD uint32_t at_most(uint32_t value, uint32_t most) { return value < most ? value : most; }

/// TinyLFU's rule (Einziger et al., 2017) with counters of the bucket alone: residents count their
/// hits, ghosts what came and was not let in, or had to go. All age together.
JAX_HPS_HD Placement place_by_frequency(const PolicyOptions& options, const Ageing& ageing,
                                        Bucket& bucket, History& history, uint32_t tag,
                                        uint32_t count) {
  Placement placement;
  placement.evidence = age(ageing, bucket, history);
  placement.use = at_most(count, kMaxUse);
  const uint64_t uses = bucket.uses();
  const int victim = least(uses, history.victim_hand);
  const uint32_t victim_use = nibble(uses, victim);
  int ghost;
  if (const uint32_t match = match_ghosts(history, tag); match != 0) {
    ghost = first_bit(match);
    const uint32_t ghost_use = nibble(history.ghost_use, ghost);
    placement.was_ghost = ghost_use != 0;
    placement.use = at_most(placement.use + ghost_use, kMaxUse);
  } else {
    ghost = least(history.ghost_use, history.ghost_hand);
    history.ghost_hand = static_cast<uint8_t>((ghost + 1) & (kWays - 1));
  }
  const bool wins_ties = ageing.period <= kShortestPeriod;
  const bool is_let_in = options.admit_always || placement.use > victim_use ||
                         (wins_ties && placement.use == victim_use);
  // Who stays outside is remembered: the newcomer, or the victim in its place.
  history.ghost_tag[ghost] = is_let_in ? bucket.tag_low[victim] : static_cast<uint16_t>(tag);
  history.ghost_use = with_nibble(history.ghost_use, ghost, is_let_in ? victim_use : placement.use);
  if (is_let_in) {
    history.victim_hand = static_cast<uint8_t>((victim + 1) & (kWays - 1));
    placement.way = victim;
  }
  return placement;
}

JAX_HPS_HD int oldest(uint64_t uses, uint64_t ranks, bool is_main) {
  int best = -1;
  for (int way = 0; way < kWays; ++way) {
    if (((nibble(uses, way) & kS3Main) != 0) != is_main) continue;
    if (best < 0 || nibble(ranks, way) > nibble(ranks, best)) best = way;
  }
  return best;
}

JAX_HPS_HD Placement place_by_s3fifo(Bucket& bucket, History& history, uint32_t tag,
                                     uint32_t count) {
  uint64_t uses = bucket.uses();
  uint64_t ranks = history.ghost_use;
  int num_small = 0;
  for (int way = 0; way < kWays; ++way) num_small += (nibble(uses, way) & kS3Main) == 0;
  Placement placement;
  while (placement.way < 0) {  // Every turn takes from a counter, or from the small queue.
    const bool from_small = num_small >= kS3Small;
    const int way = oldest(uses, ranks, !from_small);
    const uint32_t use = nibble(uses, way) & kS3Uses;
    if (from_small && use > 1) {
      --num_small;
      uses = with_nibble(uses, way, kS3Main);
      ranks = moved_to_front(ranks, way);
    } else if (!from_small && use > 0) {
      uses = with_nibble(uses, way, kS3Main | (use - 1));
      ranks = moved_to_front(ranks, way);
    } else {
      placement.way = way;
      if (from_small) {
        history.ghost_tag[history.ghost_hand] = bucket.tag_low[way];
        history.marks |= 1u << history.ghost_hand;
        history.ghost_hand = static_cast<uint8_t>((history.ghost_hand + 1) & (kWays - 1));
      }
    }
  }
  bucket.set_uses(uses);
  history.ghost_use = ranks;
  const uint32_t ghost = match_ghosts(history, tag) & history.marks;
  placement.was_ghost = ghost != 0;
  history.marks &= ~ghost;
  placement.use = at_most(count - 1, kS3Uses) | (placement.was_ghost ? kS3Main : 0);
  return placement;
}

/// Finds room for a key: an empty way, or the way of a victim, or none.
JAX_HPS_HD Placement place(const PolicyOptions& options, const Ageing& ageing, Bucket& bucket,
                           History& history, uint32_t tag, uint32_t count) {
  const uint32_t empty = static_cast<uint16_t>(~bucket.occupied);
  Placement placement;
  if (empty != 0) {
    placement.way = first_bit(empty);
    const uint32_t uses = options.policy == Policy::kS3Fifo ? count - 1 : count;
    placement.use = at_most(uses, options.policy == Policy::kS3Fifo ? kS3Uses : kMaxUse);
    return placement;
  }
  switch (options.policy) {
    case Policy::kFrequency:
      return place_by_frequency(options, ageing, bucket, history, tag, count);
    case Policy::kLru:
      placement.way = way_of_rank(bucket.uses(), kWays - 1);
      return placement;
    case Policy::kS3Fifo:
      break;
  }
  return place_by_s3fifo(bucket, history, tag, count);
}

/// Enters a way into the policy's books.
JAX_HPS_HD void enter(const PolicyOptions& options, Bucket& bucket, History& history,
                      const Placement& placement) {
  const uint64_t uses = bucket.uses();
  if (options.policy == Policy::kLru) {
    bucket.set_uses(moved_to_front(uses, placement.way));
    return;
  }
  bucket.set_uses(with_nibble(uses, placement.way, placement.use));
  if (options.policy == Policy::kS3Fifo) {
    history.ghost_use = moved_to_front(history.ghost_use, placement.way);
  } else {
    history.marks = with_mark(history.marks, placement.way, 0);
  }
}

}  // namespace jax_hps::cache
