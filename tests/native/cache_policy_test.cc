// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Who stays in a bucket and who goes, by lru and s3fifo, against models that keep lists.

#include <deque>
#include <list>
#include <optional>

#include "one_bucket.h"

namespace jax_hps::test {
namespace {

using cache::kWays;
using cache::Policy;

// ---- lru ----------------------------------------------------------------------------------------

class LruModel {
 public:
  bool insert(int64_t key) {
    if (contains(key)) return true;
    if (keys_.size() == kWays) keys_.pop_back();
    keys_.push_front(key);
    return true;
  }
  bool hit(int64_t key) {
    const auto found = std::find(keys_.begin(), keys_.end(), key);
    if (found == keys_.end()) return false;
    keys_.splice(keys_.begin(), keys_, found);
    return true;
  }
  bool erase(int64_t key) { return keys_.remove(key) == 1; }
  bool contains(int64_t key) const {
    return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
  }
  const std::list<int64_t>& keys() const { return keys_; }

 private:
  std::list<int64_t> keys_;  // the one used last in front
};

void lru_evicts_what_was_not_used_for_longest() {
  Random random(1);
  OneBucket bucket({.policy = Policy::kLru});
  LruModel model;
  for (int step = 0; step < 30000; ++step) {
    const int64_t key = static_cast<int64_t>(random.below(step / 1000 % 2 ? 24 : 300));
    const Scope scope("step ", step, ", key ", key);
    switch (random.below(8)) {
      case 0:
        CHECK_EQUAL(bucket.erase(key), model.erase(key));
        break;
      case 1:
        CHECK_EQUAL(bucket.overwrite(key), model.contains(key));  // no use of the key
        break;
      case 2:
      case 3:
        CHECK_EQUAL(bucket.hit(key), model.hit(key));
        break;
      default:
        CHECK_EQUAL(bucket.insert(key), model.insert(key));
    }
    // In the order of the model, each colder than the one before.
    const Uses uses = bucket.uses();
    CHECK_EQUAL(uses.size(), model.keys().size());
    int64_t hotter = kWays;
    for (const int64_t other : model.keys()) {
      CHECK(uses.contains(other));
      CHECK(uses.at(other) < hotter);
      hotter = uses.at(other);
    }
  }
  CHECK(bucket.evictions() > 1000);
}

// ---- s3fifo -------------------------------------------------------------------------------------

// Algorithm 1 of "FIFO queues are all you need for cache eviction", with 2 of 16 rows for the small
// queue, and as many ghosts as rows. Unlike there, keys that find a row empty do not ask the
// ghosts.
class S3FifoModel {
 public:
  void insert(int64_t key, uint32_t count) {
    if (contains(key)) return;
    const uint32_t uses = std::min(count - 1, 3u);
    if (small_.size() + main_.size() < kWays) {
      small_.push_front({key, uses});
      return;
    }
    evict();
    bool was_ghost = false;
    for (std::optional<int64_t>& ghost : ghosts_) {
      if (ghost != key) continue;
      was_ghost = true;
      ghost.reset();
    }
    ghost_hits_ += was_ghost;
    (was_ghost ? main_ : small_).push_front({key, uses});
  }
  bool hit(int64_t key) {
    for (auto* queue : {&small_, &main_}) {
      for (Entry& entry : *queue) {
        if (entry.key != key) continue;
        entry.uses = std::min(entry.uses + 1, 3u);
        return true;
      }
    }
    return false;
  }
  bool erase(int64_t key) {
    const auto is_it = [&](const Entry& entry) { return entry.key == key; };
    return std::erase_if(small_, is_it) + std::erase_if(main_, is_it) == 1;
  }
  bool contains(int64_t key) const { return uses().contains(key); }
  Uses uses() const {
    Uses result;
    for (const Entry& entry : small_) result[entry.key] = entry.uses;
    for (const Entry& entry : main_) result[entry.key] = 4 + entry.uses;
    return result;
  }
  int64_t ghost_hits() const { return ghost_hits_; }

 private:
  struct Entry {
    int64_t key;
    uint32_t uses;
  };

  void evict() {
    for (;;) {
      std::deque<Entry>& queue = small_.size() >= 2 ? small_ : main_;
      const Entry oldest = queue.back();
      queue.pop_back();
      if (&queue == &small_ && oldest.uses > 1) {
        main_.push_front({oldest.key, 0});
      } else if (&queue == &main_ && oldest.uses > 0) {
        main_.push_front({oldest.key, oldest.uses - 1});
      } else {
        if (&queue == &small_) remember(oldest.key);
        return;
      }
    }
  }
  void remember(int64_t key) {
    ghosts_.push_back(key);
    if (ghosts_.size() > kWays) ghosts_.pop_front();
  }

  std::deque<Entry> small_, main_;  // the newest in front
  std::deque<std::optional<int64_t>> ghosts_;
  int64_t ghost_hits_ = 0;
};

void s3fifo_does_what_its_paper_says() {
  Random random(2);
  OneBucket bucket({.policy = Policy::kS3Fifo});
  S3FifoModel model;
  for (int step = 0; step < 30000; ++step) {
    // Seldom more keys than ghosts remember, seldom hardly more than there is room for.
    const uint64_t range = step / 1000 % 3 == 0 ? 18 : step / 1000 % 3 == 1 ? 40 : 300;
    const int64_t key = static_cast<int64_t>(random.below(range));
    const uint32_t count = random.below(4) == 0 ? 1 + static_cast<uint32_t>(random.below(6)) : 1;
    const Scope scope("step ", step, ", key ", key, ", count ", count);
    switch (random.below(8)) {
      case 0:
        CHECK_EQUAL(bucket.erase(key), model.erase(key));
        break;
      case 1:
        CHECK_EQUAL(bucket.overwrite(key), model.contains(key));
        break;
      case 2:
      case 3:
        CHECK_EQUAL(bucket.hit(key), model.hit(key));
        break;
      default:
        CHECK(bucket.insert(key, count));
        model.insert(key, count);
    }
    CHECK_EQUAL(bucket.uses(), model.uses());
    CHECK_EQUAL(bucket.ghost_hits(), model.ghost_hits());
  }
  CHECK(bucket.ghost_hits() > 100);
  CHECK(bucket.evictions() > 1000);
}

// ---- all ----------------------------------------------------------------------------------------

// A bucket fills up before anybody has to go, and its erased rows are the next to be filled.
void empty_rows_come_first() {
  for (const Policy policy : kPolicies) {
    const Scope scope(name_of(policy));
    OneBucket bucket({.policy = policy});
    bucket.fill(0, 1);
    CHECK_EQUAL(bucket.uses().size(), size_t{kWays});
    for (int64_t key = 0; key < kWays; ++key) {
      CHECK(bucket.erase(key));
      CHECK(bucket.insert(1000 + key));
    }
    CHECK_EQUAL(bucket.uses().size(), size_t{kWays});
    CHECK_EQUAL(bucket.evictions(), 0);
  }
}

// Memory begins as zeros, which are also what remains of the first key's hash.
void nobody_is_remembered_at_first() {
  for (const Policy policy : kPolicies) {
    const Scope scope(name_of(policy));
    OneBucket bucket({.policy = policy});
    bucket.fill(1, 9);
    bucket.insert(static_cast<int64_t>(cache::unpermute(0, 16)));
    CHECK_EQUAL(bucket.ghost_hits(), 0);
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"lru: what was not used for longest goes", lru_evicts_what_was_not_used_for_longest},
      {"s3fifo does what its paper says", s3fifo_does_what_its_paper_says},
      {"nobody is remembered at first", nobody_is_remembered_at_first},
      {"empty rows come first", empty_rows_come_first},
  });
}
