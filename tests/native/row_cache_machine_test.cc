// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Caches of every shape against a map of what the rows are: whatever is done in whatever order, a
// cache may forget, but never says what is not so.

#include <unordered_map>

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr int kSteps = 600;
#else
constexpr int kSteps = 2000;
#endif

// What the store behind the cache holds: versions of rows, odd ones for keys without a row.
class Store {
 public:
  uint64_t version(int64_t key) const {
    const auto found = versions_.find(key);
    return found == versions_.end() ? 0 : found->second;
  }
  bool has_row(int64_t key) const { return version(key) % 2 == 0; }
  void set(int64_t key, bool has_row) {
    versions_[key] = (version(key) / 2 + 1) * 2 + (has_row ? 0 : 1);
  }

 private:
  std::unordered_map<int64_t, uint64_t> versions_;
};

// A random user of a cache.
class Machine {
 public:
  Machine(const CacheShape& shape, uint64_t seed)
      : cache_(options_of(shape)),
        row_bytes_(static_cast<size_t>(shape.row_bytes)),
        random_(seed),
        default_row_(random_.bytes(row_bytes_)) {
    CHECK_EQUAL(cache_.is_exact(), shape.is_exact);
    // Thrice as many keys as fit, half of them in few buckets, and half of these of the same tag
    // where the cache can tell them apart.
    const cache::View& view = cache_.view();
    for (int64_t i = 0; i < 3 * cache_.num_rows(); ++i) {
      const uint32_t bucket = static_cast<uint32_t>(random_.below(std::min(view.num_buckets, 3u)));
      const uint64_t at = random_.below(1000);
      const bool is_twin = !shape.is_exact && i % 4 == 1;
      keys_.push_back(i % 2 == 0 ? static_cast<int64_t>(random_.word() >> (64 - view.key_bits))
                      : is_twin  ? twin_of_bucket(view, bucket, at)
                                 : key_of_bucket(view, bucket, at));
    }
  }

  void step() {
    ++steps_;
    switch (random_.below(10)) {
      case 0:
        return update(true);
      case 1:
        return update(false);
      case 2:
        return forget();
      case 3:
        return resolve();
      case 4:
        return offer_late();
      case 5:
      case 6:
        resolve();
        return offer_late();
      default:
        return look();
    }
  }

  void check_all() {
    CHECK(cache_.num_cached() <= cache_.num_rows());
    const RowCache::Contents contents = cache_.contents();
    std::unordered_map<int64_t, bool> held;
    for (size_t i = 0; i < contents.keys.size(); ++i) {
      CHECK(held.emplace(contents.keys[i], contents.absent[i]).second);
      CHECK_EQUAL(contents.absent[i], !store_.has_row(contents.keys[i]));
      CHECK(contents.uses[i] < 16);
    }
    CHECK_EQUAL(static_cast<int64_t>(held.size()), cache_.num_cached());
    const Answer answer = look_up(cache_.view(), keys_, default_row_);
    check(keys_, answer);
    for (size_t i = 0; i < keys_.size(); ++i) {
      CHECK_EQUAL(answer.states[i] != State::kMissed, held.contains(keys_[i]));
    }
    check_counters();
  }

  /// So that a run that never did anything is seen.
  int64_t found() const { return found_; }
  const RowCache& cache() const { return cache_; }

 private:
  struct Resolved {
    std::vector<int64_t> keys;
    std::vector<Bytes> rows;  // empty: the key has none
    RowCache::Batch batch;
    int64_t at;  // step of the machine
  };

  std::vector<int64_t> some_keys() {
    std::vector<int64_t> keys(random_.below(40));
    for (int64_t& key : keys) key = random_.any_of(keys_);
    return keys;
  }

  // First where rows are resolved from, then in the cache.
  void update(bool to_rows) {
    const std::vector<int64_t> keys = some_keys();
    for (const int64_t key : keys) {
      store_.set(key, to_rows);
      moved_[key] = steps_;
    }
    Bytes rows;
    for (const int64_t key : keys) {
      const Bytes row = row_of(row_bytes_, key, store_.version(key));
      rows.insert(rows.end(), row.begin(), row.end());
    }
    int64_t held = 0;
    for (size_t i = 0; i < keys.size(); ++i)
      held += !to_rows && is_first(keys, i) && holds(keys[i]);
    if (to_rows) {
      for (const int64_t key : keys) held += holds(key);
      CHECK_EQUAL(cache_.overwrite(keys, rows.data()), held);
    } else {
      CHECK_EQUAL(cache_.erase(keys), held);
    }
  }

  static bool is_first(const std::vector<int64_t>& keys, size_t at) {
    const auto end = keys.begin() + static_cast<std::ptrdiff_t>(at);
    return std::find(keys.begin(), end, keys[at]) == end;
  }

  // Forgets keys whose rows have not changed.
  void forget() {
    const std::vector<int64_t> keys = some_keys();
    cache_.erase(keys);
    for (const int64_t key : keys) {
      CHECK(!holds(key));
      moved_[key] = steps_;
    }
  }

  // Reads rows from the store, for an insertion that comes sooner or later.
  void resolve() {
    Resolved resolved;
    resolved.batch = cache_.begin_batch();
    resolved.at = steps_;
    resolved.keys = some_keys();
    for (const int64_t key : resolved.keys) {
      resolved.rows.push_back(store_.has_row(key) ? row_of(row_bytes_, key, store_.version(key))
                                                  : Bytes());
    }
    resolved_.push_back(std::move(resolved));
  }

  void offer_late() {
    if (resolved_.empty()) return;
    std::swap(random_.any_of(resolved_), resolved_.back());
    const Resolved resolved = std::move(resolved_.back());
    resolved_.pop_back();
    std::vector<const std::byte*> rows;
    std::vector<uint32_t> counts;
    std::vector<int64_t> dropped;  // what may not come in
    for (size_t i = 0; i < resolved.keys.size(); ++i) {
      rows.push_back(resolved.rows[i].empty() ? nullptr : resolved.rows[i].data());
      counts.push_back(1 + static_cast<uint32_t>(random_.below(20)));
      const auto moved = moved_.find(resolved.keys[i]);
      const bool is_late = moved != moved_.end() && moved->second > resolved.at;
      if (is_late && !holds(resolved.keys[i])) dropped.push_back(resolved.keys[i]);
    }
    cache_.insert(resolved.keys, rows.data(), random_.below(2) ? counts.data() : nullptr,
                  resolved.batch);
    for (const int64_t key : dropped) CHECK(!holds(key));
  }

  void look() {
    const std::vector<int64_t> keys = some_keys();
    check(keys, look_up(cache_.view(), keys, default_row_));
  }

  void check(const std::vector<int64_t>& keys, const Answer& answer) {
    int64_t hits = 0, absent = 0;
    std::vector<int64_t> missed;
    for (size_t i = 0; i < keys.size(); ++i) {
      const Scope scope("key ", keys[i], ", ", answer.states[i]);
      const bool is_found = answer.states[i] == State::kFound;
      if (answer.states[i] != State::kMissed) CHECK_EQUAL(is_found, store_.has_row(keys[i]));
      const Bytes row =
          is_found ? row_of(row_bytes_, keys[i], store_.version(keys[i])) : default_row_;
      CHECK(std::equal(row.begin(), row.end(), answer.rows.data() + i * row_bytes_));
      hits += is_found;
      absent += answer.states[i] == State::kAbsent;
      if (answer.states[i] == State::kMissed) missed.push_back(static_cast<int64_t>(i));
    }
    CHECK_EQUAL(answer.counts.hits, hits);
    CHECK_EQUAL(answer.counts.absent, absent);
    CHECK(answer.missed == missed);
    found_ += hits;
  }

  bool holds(int64_t key) const {
    const cache::View& view = cache_.view();
    return view.find(static_cast<uint64_t>(key), view.address(static_cast<uint64_t>(key))) >= 0;
  }

  void check_counters() const {
    const RowCache::Counters& counters = cache_.counters;
    CHECK_EQUAL(counters.attempts.load(),
                counters.fills + counters.replacements + counters.rejects + counters.stale);
    CHECK_EQUAL(counters.fills - counters.erasures, cache_.num_cached());
    CHECK(counters.absents <= counters.fills + counters.replacements);
  }

  RowCache cache_;
  const size_t row_bytes_;
  Random random_;
  const Bytes default_row_;
  std::vector<int64_t> keys_;
  Store store_;
  std::vector<Resolved> resolved_;
  std::unordered_map<int64_t, int64_t> moved_;  // the last step that updated or forgot a key
  int64_t steps_ = 0;
  int64_t found_ = 0;
};

void caches_never_say_what_is_not_so() {
  uint64_t seed = 0;
  int64_t stale = 0, absents = 0, rejects = 0, ghosts = 0;
  const auto run = [&](const CacheShape& shape) {
    Machine machine(shape, ++seed);
    for (int i = 0; i < kSteps; ++i) {
      machine.step();
      if (i % 200 == 199) machine.check_all();
    }
    CHECK(machine.found() > 100);
    const RowCache::Counters& counters = machine.cache().counters;
    stale += counters.stale;
    absents += counters.absents;
    rejects += counters.rejects;
    ghosts += counters.ghost_hits;
    CHECK(counters.replacements > 0);
    CHECK(counters.overwrites > 0);
    CHECK(counters.erasures > 0);
  };
  for_each_shape({2, 4, 6, 16, 64, 100, 512, 4096}, {1, 2, 5}, run);
  for_each_shape({4, 100}, {33, 200}, run);
  CHECK(stale > 0);
  CHECK(absents > 0);
  CHECK(rejects > 0);
  CHECK(ghosts > 0);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"caches never say what is not so", caches_never_say_what_is_not_so},
  });
}
