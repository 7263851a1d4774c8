// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/lane_group.h"
#include "core/cache/view.h"

namespace jax_hps::cache {

/// What became of an insertion.
enum class Insertion : uint8_t {
  kPresent,   ///< The cache had the key; a row stays as it is.
  kFilled,    ///< It got an empty way.
  kReplaced,  ///< It got the way of another key.
  kRejected,  ///< The policy did not let it in, or it is no key of this cache.
  kStale,     ///< The caller's guard said no.
};

/// One thread's hold on a bucket. Readers that come across an odd sequence, or find it changed
/// behind them, read again.
class Hold {
 public:
  JAX_HPS_HD void take(Bucket& bucket) {
    for (;;) {
      begun_ = load_acquire(&bucket.sequence);
      if ((begun_ & 1) == 0 && exchange_acquire(&bucket.sequence, begun_, begun_ + 1)) break;
      relax();
    }
    fence();
  }
  JAX_HPS_HD void release(Bucket& bucket) const {
    fence();
    store_release(&bucket.sequence, begun_ + 2);
  }

 private:
  uint32_t begun_ = 0;
};

JAX_HPS_HD uint16_t with_bit(uint16_t bits, int bit, bool value) {
  return static_cast<uint16_t>((bits & ~(1u << bit)) | uint32_t{value} << bit);
}

/// For insertions that no update can overtake.
struct NoGuard {
  JAX_HPS_HD bool operator()() const { return true; }
};

/// What is to be done to a bucket, as its lane 0 has decided.
struct Decision {
  Insertion what = Insertion::kRejected;
  bool writes_row = false;
  Placement placement;
};

JAX_HPS_HD Decision decide(const View& view, const Ageing& ageing, uint64_t key,
                           const Address& address, bool has_row, uint32_t count) {
  Bucket& bucket = view.buckets[address.bucket];
  Decision decision;
  decision.placement.way = view.find(key, address);
  if (decision.placement.way >= 0) {
    decision.what = Insertion::kPresent;
    // A row is news where the key was known to be absent. The reverse is not: deletions tell.
    decision.writes_row = has_row && (bucket.absent >> decision.placement.way & 1) != 0;
    return decision;
  }
  const bool was_full = bucket.occupied == 0xffff;
  decision.placement =
      place(view.policy, ageing, bucket, view.history[address.bucket], address.tag, count);
  if (decision.placement.way < 0) return decision;
  decision.what = was_full ? Insertion::kReplaced : Insertion::kFilled;
  decision.writes_row = has_row;
  // The way is nobody's until its row stands: whoever stops in between leaves no foreign row.
  bucket.occupied = with_bit(bucket.occupied, decision.placement.way, false);
  return decision;
}

JAX_HPS_HD void publish(const View& view, uint64_t key, const Address& address, bool has_row,
                        const Placement& placement) {
  Bucket& bucket = view.buckets[address.bucket];
  const int way = placement.way;
  enter(view.policy, bucket, view.history[address.bucket], placement);
  bucket.tag_low[way] = static_cast<uint16_t>(address.tag);
  bucket.tag_high[way] = static_cast<uint8_t>(address.tag >> 16);
  if (view.keys != nullptr) view.keys[view.slot(address.bucket, way)] = key;
  bucket.absent = with_bit(bucket.absent, way, !has_row);
  bucket.occupied = with_bit(bucket.occupied, way, true);
}

struct InsertionResult {
  Insertion what;
  bool was_ghost;     ///< The bucket remembered the key.
  Evidence evidence;  ///< To be summed up over batches, for adapted_period().
};

/// Offers a key with its row, or (null) the knowledge that it has none.
///
/// `count`: how often the key has just been asked for, 1 or more. `guard` is asked while the
/// bucket is held: an update that it does not know of yet will find what is inserted here.
template <typename Group, typename Guard = NoGuard>
JAX_HPS_HD InsertionResult insert(const Group& group, const View& view, const Ageing& ageing,
                                  uint64_t key, const std::byte* row, uint32_t count,
                                  const Guard& guard = Guard()) {
  const Address address = view.address(key);
  if (!address.in_domain) return {Insertion::kRejected, false, {}};
  Bucket& bucket = view.buckets[address.bucket];
  Hold hold;
  Decision decision;
  decision.what = Insertion::kStale;
  if (group.rank() == 0) {
    hold.take(bucket);
    if (guard()) decision = decide(view, ageing, key, address, row != nullptr, count);
  }
  decision = group.broadcast(decision);
  if (decision.writes_row) {
    copy_row(group, view.row(address.bucket, decision.placement.way), row, view.row_bytes);
  }
  group.sync();
  if (group.rank() == 0) {
    if (decision.what == Insertion::kFilled || decision.what == Insertion::kReplaced) {
      publish(view, key, address, row != nullptr, decision.placement);
    } else if (decision.writes_row) {
      bucket.absent = with_bit(bucket.absent, decision.placement.way, false);
    }
    hold.release(bucket);
  }
  return {decision.what, decision.placement.was_ghost, decision.placement.evidence};
}

/// Gives a key that the cache holds another row; false where it does not.
template <typename Group>
JAX_HPS_HD bool overwrite(const Group& group, const View& view, uint64_t key,
                          const std::byte* row) {
  const Address address = view.address(key);
  if (!address.in_domain) return false;
  Bucket& bucket = view.buckets[address.bucket];
  Hold hold;
  int way = -1;
  if (group.rank() == 0) {
    hold.take(bucket);
    way = view.find(key, address);
  }
  way = group.broadcast(way);
  if (way >= 0) copy_row(group, view.row(address.bucket, way), row, view.row_bytes);
  group.sync();
  if (group.rank() == 0) {
    if (way >= 0) bucket.absent = with_bit(bucket.absent, way, false);
    hold.release(bucket);
  }
  return way >= 0;
}

/// Forgets a key, and whether it was absent; false where the cache does not hold it. One thread's.
JAX_HPS_HD bool erase(const View& view, uint64_t key) {
  const Address address = view.address(key);
  if (!address.in_domain) return false;
  Bucket& bucket = view.buckets[address.bucket];
  Hold hold;
  hold.take(bucket);
  const int way = view.find(key, address);
  if (way >= 0) bucket.occupied = with_bit(bucket.occupied, way, false);
  hold.release(bucket);
  return way >= 0;
}

}  // namespace jax_hps::cache
