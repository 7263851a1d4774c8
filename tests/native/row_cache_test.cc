// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Caches of every shape against a map of what the rows are: whatever is done in whatever order, a
// cache may forget, but never says what is not so.

#include <limits>
#include <unordered_map>

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

using cache::kWays;

struct Shape {
  cache::Policy policy;
  bool is_exact;
  int64_t row_bytes;
  int64_t num_buckets;
};

// 2^26 keys are told apart by tags from four buckets on.
RowCacheOptions options_of(const Shape& shape) {
  return {.num_rows = shape.num_buckets * kWays,
          .row_bytes = shape.row_bytes,
          .key_bits = !shape.is_exact ? 64 : shape.num_buckets >= 4 ? 26 : 24,
          .exact = shape.is_exact,
          .policy = {.policy = shape.policy}};
}

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
  Machine(const Shape& shape, uint64_t seed)
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
    UpdateClock::Time since;
  };

  std::vector<int64_t> some_keys() {
    std::vector<int64_t> keys(random_.below(40));
    for (int64_t& key : keys) key = random_.any_of(keys_);
    return keys;
  }

  // First where rows are resolved from, then in the cache.
  void update(bool to_rows) {
    const std::vector<int64_t> keys = some_keys();
    for (const int64_t key : keys) store_.set(key, to_rows);
    Bytes rows;
    for (const int64_t key : keys) {
      const Bytes row = row_of(row_bytes_, key, store_.version(key));
      rows.insert(rows.end(), row.begin(), row.end());
    }
    int64_t held = 0;
    for (size_t i = 0; i < keys.size(); ++i) held += !to_rows && is_first(keys, i) && holds(keys[i]);
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
    for (const int64_t key : keys) CHECK(!holds(key));
  }

  // Reads rows from the store, for an insertion that comes sooner or later.
  void resolve() {
    Resolved resolved;
    resolved.since = cache_.now();
    resolved.keys = some_keys();
    for (const int64_t key : resolved.keys) {
      resolved.rows.push_back(
          store_.has_row(key) ? row_of(row_bytes_, key, store_.version(key)) : Bytes());
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
      const bool is_late = cache_.has_moved(resolved.keys[i], resolved.since);
      if (is_late && !holds(resolved.keys[i])) dropped.push_back(resolved.keys[i]);
    }
    cache_.insert(resolved.keys, rows.data(), random_.below(2) ? counts.data() : nullptr,
                  resolved.since);
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
  int64_t found_ = 0;
};

// Calls check(shape) for every policy, way to tell keys, and size.
template <typename Check>
void for_each_shape(std::initializer_list<int64_t> row_sizes,
                    std::initializer_list<int64_t> bucket_counts, Check check) {
  for (const cache::Policy policy : kPolicies) {
    for (const bool is_exact : {true, false}) {
      for (const int64_t row_bytes : row_sizes) {
        for (const int64_t num_buckets : bucket_counts) {
          const Scope scope(name_of(policy), is_exact ? ", exact" : ", verified", ", rows of ",
                            row_bytes, " bytes, buckets ", num_buckets);
          check(Shape{policy, is_exact, row_bytes, num_buckets});
        }
      }
    }
  }
}

void caches_never_say_what_is_not_so() {
  uint64_t seed = 0;
  int64_t stale = 0, absents = 0, rejects = 0, ghosts = 0;
  const auto run = [&](const Shape& shape) {
    Machine machine(shape, ++seed);
    for (int i = 0; i < 2000; ++i) {
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

void a_row_that_is_there_stays_as_it_is() {
  for_each_shape({4, 100}, {1, 3}, [](const Shape& shape) {
    RowCache cache(options_of(shape));
    insert_one(cache, 7);
    insert_one(cache, 7, 1, 8);
    CHECK_EQUAL(look_up_one(cache, 7, 0), State::kFound);
    CHECK_EQUAL(cache.counters.attempts.load(), 1);
    // Nor does the news that there is none undo it: deletions erase.
    const std::byte* none[] = {nullptr};
    const int64_t key = 7;
    cache.insert({&key, 1}, none, nullptr, cache.now());
    CHECK_EQUAL(look_up_one(cache, 7, 0), State::kFound);
    CHECK_EQUAL(cache.counters.absents.load(), 0);
  });
}

void a_row_is_news_where_the_key_was_absent() {
  for_each_shape({4, 100}, {1, 3}, [](const Shape& shape) {
    RowCache cache(options_of(shape));
    const std::byte* none[] = {nullptr, nullptr};
    const int64_t keys[] = {7, 9};
    cache.insert(keys, none, nullptr, cache.now());
    CHECK_EQUAL(look_up_one(cache, 7), State::kAbsent);
    insert_one(cache, 7, 1, 4);
    CHECK_EQUAL(look_up_one(cache, 7, 4), State::kFound);
    CHECK_EQUAL(cache.overwrite({&keys[1], 1}, row_of(cache.view().row_bytes, 9, 6).data()), 1);
    CHECK_EQUAL(look_up_one(cache, 9, 6), State::kFound);
    CHECK_EQUAL(cache.counters.absents.load(), 2);
    CHECK_EQUAL(cache.num_cached(), 2);
  });
}

// Whoever resolved a row before an update of its key comes too late with it.
void insertions_from_before_an_update_are_dropped() {
  for_each_shape({4, 100}, {1, 3}, [](const Shape& shape) {
    RowCache cache(options_of(shape));
    const int64_t keys[] = {1, 2, 3, 4};
    const Bytes old = row_of(cache.view().row_bytes, 1, 0);
    const std::byte* rows[] = {old.data(), old.data(), nullptr, nullptr};
    const UpdateClock::Time since = cache.now();
    // The cache holds none of them: nothing but the clock remembers.
    CHECK_EQUAL(cache.overwrite({keys, 1}, old.data()), 0);
    CHECK_EQUAL(cache.erase({keys + 1, 1}), 0);
    CHECK_EQUAL(cache.overwrite({keys + 2, 1}, old.data()), 0);
    cache.insert(keys, rows, nullptr, since);
    CHECK_EQUAL(cache.counters.stale.load(), 3);
    CHECK_EQUAL(look_up_one(cache, 1), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 2), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 3), State::kMissed);
    CHECK_EQUAL(look_up_one(cache, 4), State::kAbsent);
    cache.insert({keys, 1}, rows, nullptr, cache.now());
    CHECK_EQUAL(look_up_one(cache, 1, 0), State::kFound);
    CHECK_EQUAL(cache.counters.stale.load(), 3);
  });
}

// All keys in one bucket: what a bucket cannot hold is evicted, and others lose nothing.
void adversaries_fill_one_bucket_alone() {
  for_each_shape({4}, {64}, [](const Shape& shape) {
    RowCache cache(options_of(shape));
    const cache::View& view = cache.view();
    std::vector<int64_t> neighbours;
    for (uint32_t bucket = 0; bucket < view.num_buckets; ++bucket) {
      if (bucket != 17) neighbours.push_back(key_of_bucket(view, bucket, 5));
    }
    for (const int64_t key : neighbours) insert_one(cache, key);
    std::vector<int64_t> keys;
    for (uint64_t i = 0; i < 2000; ++i) {
      keys.push_back(key_of_bucket(view, 17, i));
      if (!shape.is_exact) keys.push_back(twin_of_bucket(view, 17, i + 1));
    }
    for (int round = 0; round < 3; ++round) {
      for (const int64_t key : keys) {
        CHECK_EQUAL(view.address(static_cast<uint64_t>(key)).bucket, 17u);
        insert_one(cache, key);
      }
      int held = 0;
      for (const int64_t key : keys) held += look_up_one(cache, key) == State::kFound;
      CHECK_EQUAL(held, kWays);
    }
    for (const int64_t key : neighbours) CHECK_EQUAL(look_up_one(cache, key), State::kFound);
    CHECK_EQUAL(cache.num_cached(), static_cast<int64_t>(neighbours.size()) + kWays);
  });
}

void keys_beyond_the_domain_are_never_cached() {
  for (int bits = 1; bits <= 64; ++bits) {
    for (const bool exact : {true, false}) {
      if (exact && bits > 27) continue;
      const Scope scope("bits ", bits, exact ? ", exact" : ", verified");
      RowCache cache(
          {.num_rows = 8 * kWays, .row_bytes = 4, .key_bits = bits, .exact = exact, .policy = {}});
      const uint64_t most = ~uint64_t{0} >> (64 - bits);
      for (const uint64_t key : {uint64_t{0}, most, most + 1, most + 2, uint64_t{1} << 32,
                                 uint64_t{1} << 63, ~(uint64_t{1} << 63), ~uint64_t{0}}) {
        const Scope of("key ", key);
        const int64_t signed_key = static_cast<int64_t>(key);
        const bool is_one = key <= most;
        const Bytes row = row_of(4, signed_key, 0);
        const int64_t rejects = cache.counters.rejects;
        insert_one(cache, signed_key);
        CHECK_EQUAL(cache.counters.rejects.load(), rejects + !is_one);
        CHECK_EQUAL(look_up_one(cache, signed_key), is_one ? State::kFound : State::kMissed);
        CHECK_EQUAL(cache.overwrite({&signed_key, 1}, row.data()), int64_t{is_one});
      }
      // Those within are still themselves.
      CHECK_EQUAL(look_up_one(cache, 0), State::kFound);
      CHECK_EQUAL(look_up_one(cache, static_cast<int64_t>(most)), State::kFound);
      const RowCache::Contents contents = cache.contents();
      for (const int64_t key : contents.keys) CHECK(static_cast<uint64_t>(key) <= most);
      const int64_t beyond = static_cast<int64_t>(most + 1);
      if (bits < 64) CHECK_EQUAL(cache.erase({&beyond, 1}), 0);
      CHECK_EQUAL(cache.num_cached(), static_cast<int64_t>(contents.keys.size()));
    }
  }
}

void caches_are_as_large_as_their_layouts() {
  for_each_shape({6, 4096}, {1, 300}, [](const Shape& shape) {
    const RowCacheOptions options = options_of(shape);
    const RowCacheLayout layout(options);
    const RowCache cache(options);
    CHECK_EQUAL(cache.nbytes(), layout.total_bytes);
    CHECK_EQUAL(cache.num_rows(), layout.num_rows());
    CHECK_EQUAL(cache.num_cached(), 0);
    CHECK(cache.contents().keys.empty());
  });
  const RowCache cache({.bytes = 5 << 20, .row_bytes = 64, .exact = {}, .policy = {}});
  CHECK(cache.nbytes() <= 5 << 20);
  CHECK_EQUAL(cache.is_exact(), false);
}

void more_than_the_memory_is_refused() {
  check_throws(ErrorCode::kInvalidArgument, "more than this machine's", [] {
    RowCache cache({.num_rows = int64_t{1} << 35, .row_bytes = 4096, .exact = {}, .policy = {}});
  });
  check_throws(ErrorCode::kInvalidArgument, "Make the cache smaller.", [] {
    RowCache cache({.bytes = std::numeric_limits<size_t>::max() / 2,
                    .row_bytes = 1 << 24,
                    .exact = {},
                    .policy = {}});
  });
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"caches never say what is not so", caches_never_say_what_is_not_so},
      {"a row that is there stays as it is", a_row_that_is_there_stays_as_it_is},
      {"a row is news where the key was absent", a_row_is_news_where_the_key_was_absent},
      {"insertions from before an update are dropped",
       insertions_from_before_an_update_are_dropped},
      {"adversaries fill one bucket alone", adversaries_fill_one_bucket_alone},
      {"keys beyond the domain are never cached", keys_beyond_the_domain_are_never_cached},
      {"caches are as large as their layouts", caches_are_as_large_as_their_layouts},
      {"more than the memory is refused", more_than_the_memory_is_refused},
  });
}
