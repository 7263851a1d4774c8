// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Who stays in a bucket and who goes, by each policy, against models that keep lists.

#include <deque>
#include <list>
#include <map>
#include <optional>

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

using cache::kWays;
using cache::Policy;
using cache::PolicyOptions;

// Keys, and how hot each is.
struct Uses : std::map<int64_t, uint32_t> {};

std::ostream& operator<<(std::ostream& out, const Uses& uses) {
  for (const auto& [key, use] : uses) out << key << ':' << use << ' ';
  return out;
}

// A cache of one bucket. Keys are of 16 bits, so that what is remembered of them tells them apart.
class OneBucket {
 public:
  explicit OneBucket(const PolicyOptions& policy)
      : cache_({.num_rows = kWays, .row_bytes = 2, .key_bits = 16, .exact = {}, .policy = policy}) {
    CHECK_EQUAL(cache_.num_rows(), int64_t{kWays});
  }

  /// Whether the key is there after it was offered.
  bool insert(int64_t key, uint32_t count = 1) {
    insert_one(cache_, key, count);
    return uses().contains(key);
  }
  bool hit(int64_t key) { return look_up_one(cache_, key) == State::kFound; }
  bool erase(int64_t key) { return cache_.erase({&key, 1}) == 1; }
  bool overwrite(int64_t key) {
    return cache_.overwrite({&key, 1}, row_of(2, key, 0).data()) == 1;
  }
  /// Fills the bucket with keys from `first` on that were asked for so often each.
  void fill(int64_t first, uint32_t count) {
    for (int64_t key = first; key < first + kWays; ++key) CHECK(insert(key, count));
  }

  Uses uses() const {
    const RowCache::Contents contents = cache_.contents();
    Uses result;
    for (size_t i = 0; i < contents.keys.size(); ++i) {
      CHECK(result.emplace(contents.keys[i], contents.uses[i]).second);
    }
    return result;
  }
  int64_t ghost_hits() const { return cache_.counters.ghost_hits; }
  int64_t evictions() const { return cache_.counters.replacements; }

 private:
  RowCache cache_;
};

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
// queue, and as many ghosts as rows. Unlike there, keys that find a row empty do not ask the ghosts.
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

// ---- frequency ----------------------------------------------------------------------------------

// Counters that do not age while a case looks.
constexpr PolicyOptions kFrequency = {.policy = Policy::kFrequency, .halving = 32};

void newcomers_come_in_where_they_were_asked_for_more() {
  for (uint32_t resident = 1; resident <= 15; ++resident) {
    for (uint32_t newcomer = 1; newcomer <= 16; ++newcomer) {
      const Scope scope("residents ", resident, ", newcomer ", newcomer);
      OneBucket bucket(kFrequency);
      bucket.fill(0, resident);
      CHECK_EQUAL(bucket.insert(100, newcomer), std::min(newcomer, 15u) > resident);
      CHECK_EQUAL(bucket.evictions(), int64_t{std::min(newcomer, 15u) > resident});
    }
  }
}

void the_row_used_least_goes() {
  for (int64_t coldest = 0; coldest < kWays; ++coldest) {
    OneBucket bucket(kFrequency);
    for (int64_t key = 0; key < kWays; ++key) bucket.insert(key, key == coldest ? 3 : 9);
    CHECK(bucket.insert(100, 4));
    const auto uses = bucket.uses();
    CHECK(!uses.contains(coldest));
    CHECK_EQUAL(uses.at(100), 4u);
    CHECK_EQUAL(uses.size(), size_t{kWays});
  }
}

void hits_protect() {
  OneBucket bucket(kFrequency);
  bucket.fill(0, 2);
  for (int64_t key = 0; key < kWays; ++key) {
    if (key != 5) CHECK(bucket.hit(key));
  }
  CHECK(bucket.insert(100, 3));
  CHECK(!bucket.uses().contains(5));
  CHECK(!bucket.insert(101, 3));  // By now all have 3.
}

void those_who_were_turned_away_are_remembered() {
  for (uint32_t resident = 1; resident <= 14; ++resident) {
    const Scope scope("residents ", resident);
    OneBucket bucket(kFrequency);
    bucket.fill(0, resident);
    for (uint32_t offer = 1; offer <= resident; ++offer) {
      CHECK(!bucket.insert(100));
      CHECK_EQUAL(bucket.ghost_hits(), int64_t{offer} - 1);
    }
    CHECK(bucket.insert(100));
    CHECK_EQUAL(bucket.ghost_hits(), int64_t{resident});
    CHECK_EQUAL(bucket.uses().at(100), resident + 1);
  }
}

void as_many_are_remembered_as_there_are_rows() {
  OneBucket bucket(kFrequency);
  bucket.fill(0, 2);
  for (int round = 0; round < 2; ++round) {
    for (int64_t key = 100; key < 100 + kWays; ++key) CHECK(!bucket.insert(key));
    if (round == 0) CHECK_EQUAL(bucket.ghost_hits(), 0);
  }
  CHECK_EQUAL(bucket.ghost_hits(), int64_t{kWays});
}

void those_who_had_to_go_are_remembered() {
  OneBucket bucket(kFrequency);
  bucket.fill(0, 9);
  CHECK(bucket.erase(3));
  CHECK(bucket.insert(50, 4));
  CHECK(bucket.insert(100, 5));  // in the place of 50, which leaves with 4
  CHECK(!bucket.uses().contains(50));
  CHECK(bucket.insert(50, 2));  // 6 > 5
  CHECK_EQUAL(bucket.uses().at(50), 6u);
  CHECK(!bucket.uses().contains(100));
  CHECK_EQUAL(bucket.ghost_hits(), 1);
}

void counters_saturate() {
  OneBucket bucket(kFrequency);
  bucket.insert(1, UINT32_MAX);
  bucket.insert(2, 1);
  for (int i = 0; i < 40; ++i) CHECK(bucket.hit(2));
  CHECK_EQUAL(bucket.uses().at(1), 15u);
  CHECK_EQUAL(bucket.uses().at(2), 15u);
  for (int64_t key = 3; key <= kWays; ++key) bucket.insert(key, 15);
  CHECK(!bucket.insert(100, 1000));  // No count is above the most.
  CHECK(!bucket.insert(100, 1000));
}

// What was hot once does not stay for ever: among newcomers that come once each, counters halve,
// and nothing else happens to them.
void counters_age() {
  for (const uint8_t halving : {2, 8, 32}) {
    const Scope scope("halving ", static_cast<int>(halving));
    OneBucket bucket({.policy = Policy::kFrequency, .halving = halving});
    bucket.fill(0, 15);
    uint32_t use = 15;
    int64_t offers = 0;
    while (use > 1) {
      CHECK(!bucket.insert(1000 + offers));
      CHECK(++offers <= 5000);
      for (const auto& [key, now] : bucket.uses()) {
        CHECK_EQUAL(key < kWays, true);
        CHECK(now == use || now == use / 2);
      }
      use = bucket.uses().at(0);
    }
    CHECK(offers >= 3 * kWays);  // Three halvings: not with every insertion.
    // All are worth no more than somebody who comes twice.
    CHECK(bucket.insert(9000, 2));
  }
}

void an_open_door_lets_all_in_and_still_chooses_who_goes() {
  OneBucket bucket({.policy = Policy::kFrequency, .admit_always = true, .halving = 32});
  bucket.fill(0, 9);
  CHECK(bucket.erase(7));
  CHECK(bucket.insert(100));
  for (int64_t key = 101; key < 120; ++key) {
    CHECK(bucket.insert(key));
    CHECK(!bucket.uses().contains(key - 1));
  }
  for (int64_t key = 0; key < kWays; ++key) CHECK_EQUAL(bucket.uses().contains(key), key != 7);
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

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"lru: what was not used for longest goes", lru_evicts_what_was_not_used_for_longest},
      {"s3fifo does what its paper says", s3fifo_does_what_its_paper_says},
      {"frequency: newcomers come in where they were asked for more",
       newcomers_come_in_where_they_were_asked_for_more},
      {"frequency: the row used least goes", the_row_used_least_goes},
      {"frequency: hits protect", hits_protect},
      {"frequency: those who were turned away are remembered",
       those_who_were_turned_away_are_remembered},
      {"frequency: as many are remembered as there are rows",
       as_many_are_remembered_as_there_are_rows},
      {"frequency: those who had to go are remembered", those_who_had_to_go_are_remembered},
      {"frequency: counters saturate", counters_saturate},
      {"frequency: counters age", counters_age},
      {"frequency: an open door lets all in, and still chooses who goes",
       an_open_door_lets_all_in_and_still_chooses_who_goes},
      {"empty rows come first", empty_rows_come_first},
  });
}
