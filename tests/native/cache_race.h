// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <thread>

#include "cache_fixture.h"

namespace jax_hps::test {

/// A race of lookups, promotions, updates, deletions and listings of a cache so small that all of
/// them meet in its buckets, and what the lookups saw that cannot be.
///
/// A key's version grows with each update; odd ones say that it has no row. Its rows carry key and
/// version in every word. Where rows are resolved from ("the store") an update shows before it gets
/// to the cache. So a lookup must find a version between the last one whose update had returned
/// when it began, and the one that the store has when it ends.
class CacheRace {
 public:
  struct Options {
    cache::Policy policy = cache::Policy::kFrequency;
    bool is_exact = true;
    int64_t row_bytes = 64;  ///< a multiple of 8, from 16 on
    int64_t num_buckets = 8;
    int64_t lookups = 0;
    bool stops_at_first = false;  ///< ends once a torn or foreign row was found
  };

  /// Counts of what happened, and of what must not have.
  struct Result {
    using Count = std::atomic<int64_t>;
    Count lookups{0}, hits{0}, absent{0};
    Count torn{0};        ///< rows of words that do not belong together
    Count foreign{0};     ///< rows of another key, or where there should be the default one
    Count outdated{0};    ///< rows, and absences, from before an update that had returned
    Count invented{0};    ///< rows and absences that the store has never had
    Count miscounted{0};  ///< listings of more than fits, or of a key twice
  };

  explicit CacheRace(const Options& options, const CacheKernels& kernels = cache_kernels())
      : options_(options),
        kernels_(kernels),
        cache_({.num_rows = options.num_buckets * cache::kWays,
                .row_bytes = options.row_bytes,
                .key_bits = options.is_exact ? 24 : 64,
                .exact = options.is_exact,
                .policy = {.policy = options.policy}}),
        row_words_(static_cast<size_t>(options.row_bytes) / 8),
        keys_(static_cast<size_t>(options.num_buckets) * kKeysPerBucket),
        store_(keys_.size()),
        floors_(keys_.size()) {
    const cache::View& view = cache_.view();
    for (size_t i = 0; i < keys_.size(); ++i) {
      const uint32_t bucket = static_cast<uint32_t>(i / kKeysPerBucket);
      const uint64_t at = i % kKeysPerBucket;
      // Of those that a cache tells apart by their keys, half have one tag.
      keys_[i] = !options.is_exact && at % 2 ? twin_of_bucket(view, bucket, at / 2 + 1)
                                             : key_of_bucket(view, bucket, at);
    }
  }

  /// Runs readers, which promote what they miss, and updaters, each of keys of its own.
  const Result& run(size_t readers, size_t updaters) {
    std::vector<std::thread> reading, changing;
    for (size_t i = 0; i < readers; ++i) reading.emplace_back([this, i] { read(i); });
    for (size_t i = 0; i < updaters; ++i) {
      changing.emplace_back([this, i, updaters] { update(i, updaters); });
    }
    changing.emplace_back([this] { list(); });
    for (std::thread& thread : reading) thread.join();
    is_over_ = true;
    for (std::thread& thread : changing) thread.join();
    return result_;
  }

  const RowCache& cache() const { return cache_; }

 private:
  static constexpr size_t kKeysPerBucket = 48;
  static constexpr size_t kBatch = 256;

  static uint64_t seed_of(int64_t key, uint64_t version) {
    return mix64(static_cast<uint64_t>(key)) ^ version * 0xa0761d6478bd642fu;
  }
  void write(uint64_t* words, int64_t key, uint64_t version) const {
    words[0] = static_cast<uint64_t>(key);
    words[1] = version;
    const uint64_t seed = seed_of(key, version);
    for (size_t i = 2; i < row_words_; ++i) words[i] = seed + i;
  }
  // Whether the words agree with the first two.
  bool is_whole(const uint64_t* words) const {
    const uint64_t seed = seed_of(static_cast<int64_t>(words[0]), words[1]);
    uint64_t differ = 0;
    for (size_t i = 2; i < row_words_; ++i) differ |= words[i] ^ (seed + i);
    return differ == 0;
  }

  // A key's number; every seventh key is asked for more often than the others together, so that
  // some stay while others come and go.
  size_t choose(Random& random) const {
    const uint64_t word = random.word();
    const bool is_hot = (word & 3) != 0;
    return static_cast<size_t>(is_hot ? scale_to(word, keys_.size() / 7) * 7
                                      : scale_to(word, keys_.size()));
  }

  void read(size_t seed) {
    Random random(seed);
    std::array<size_t, kBatch> numbers;
    std::array<int64_t, kBatch> keys;
    std::array<uint64_t, kBatch> floors;
    std::array<bool, kBatch> found;
    std::vector<uint64_t> rows(kBatch * row_words_), promoted(kBatch * row_words_);
    const Bytes default_row(static_cast<size_t>(options_.row_bytes));
    GatherJob job;
    job.keys = keys.data();
    job.count = kBatch;
    job.default_row = default_row.data();
    job.dim = options_.row_bytes / 4;
    job.out = reinterpret_cast<std::byte*>(rows.data());
    job.found = found.data();
    while (result_.lookups.fetch_add(kBatch) < options_.lookups && !is_over_) {
      for (size_t i = 0; i < kBatch; ++i) {
        numbers[i] = choose(random);
        keys[i] = keys_[numbers[i]];
        floors[i] = floors_[numbers[i]].load(std::memory_order_acquire);
      }
      std::vector<int64_t> missed;
      const CachedCounts counts = gather_cached(job, cache_.view(), 0, kBatch, missed, kernels_);
      result_.hits += counts.hits;
      result_.absent += counts.absent;
      size_t next = 0;
      for (size_t i = 0; i < kBatch; ++i) {
        const uint64_t* words = rows.data() + i * row_words_;
        if (found[i]) {
          check_row(numbers[i], floors[i], words);
          continue;
        }
        if (std::memcmp(words, default_row.data(), default_row.size()) != 0) {
          found_wrong_row(result_.foreign);
        }
        if (next < missed.size() && missed[next] == static_cast<int64_t>(i)) {
          ++next;
        } else {
          check_absence(numbers[i], floors[i]);
        }
      }
      if (random.below(2) == 0) promote(missed, numbers.data(), promoted);
    }
  }

  void check_row(size_t number, uint64_t floor, const uint64_t* words) {
    const uint64_t ceiling = store_[number].load(std::memory_order_acquire);
    if (!is_whole(words)) {
      found_wrong_row(result_.torn);
    } else if (static_cast<int64_t>(words[0]) != keys_[number]) {
      found_wrong_row(result_.foreign);
    } else if (words[1] < floor) {
      ++result_.outdated;
    } else if (words[1] > ceiling || words[1] % 2 != 0) {
      ++result_.invented;
    }
  }
  void found_wrong_row(Result::Count& count) {
    ++count;
    if (options_.stops_at_first) is_over_ = true;
  }

  void check_absence(size_t number, uint64_t floor) {
    const uint64_t ceiling = store_[number].load(std::memory_order_acquire);
    if (floor == ceiling && floor % 2 == 0) ++result_.outdated;
  }

  void promote(const std::vector<int64_t>& missed, const size_t* numbers,
               std::vector<uint64_t>& rows) {
    const RowCache::Batch batch = cache_.begin_batch();
    std::vector<int64_t> keys;
    std::vector<const std::byte*> places;
    for (const int64_t at : missed) {
      const size_t number = numbers[at];
      const uint64_t version = store_[number].load(std::memory_order_acquire);
      uint64_t* words = rows.data() + keys.size() * row_words_;
      keys.push_back(keys_[number]);
      write(words, keys.back(), version);
      places.push_back(version % 2 ? nullptr : reinterpret_cast<const std::byte*>(words));
    }
    cache_.insert(keys, places.data(), nullptr, batch);
  }

  // Updates, deletes and forgets keys of its own: updates of one key come one after the other.
  void update(size_t updater, size_t updaters) {
    Random random(1000 + updater);
    std::vector<uint64_t> row(row_words_);
    while (!is_over_) {
      const size_t number = choose(random) / updaters * updaters + updater;
      if (number >= keys_.size()) continue;
      const uint64_t kind = random.below(40);  // Seldom anything but updates, or little is cached.
      if (kind == 0) {
        cache_.erase({&keys_[number], 1});  // Nothing has changed; the cache may forget.
        continue;
      }
      const uint64_t version = store_[number].load(std::memory_order_relaxed) / 2 * 2 + 2;
      const bool deletes = kind == 1;
      const uint64_t now = deletes ? version + 1 : version;
      write(row.data(), keys_[number], now);
      store_[number].store(now, std::memory_order_release);
      if (deletes) {
        cache_.erase({&keys_[number], 1});
      } else {
        cache_.overwrite({&keys_[number], 1}, reinterpret_cast<const std::byte*>(row.data()));
      }
      floors_[number].store(now, std::memory_order_release);
    }
  }

  void list() {
    while (!is_over_) {
      if (cache_.num_cached() > cache_.num_rows()) ++result_.miscounted;
      std::vector<int64_t> keys = cache_.contents().keys;
      if (static_cast<int64_t>(keys.size()) > cache_.num_rows()) ++result_.miscounted;
      std::sort(keys.begin(), keys.end());
      if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) ++result_.miscounted;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  const Options options_;
  const CacheKernels& kernels_;
  RowCache cache_;
  const size_t row_words_;
  std::vector<int64_t> keys_;
  std::vector<std::atomic<uint64_t>> store_;   // version of each key
  std::vector<std::atomic<uint64_t>> floors_;  // the last one whose update has returned
  std::atomic<bool> is_over_ = false;
  Result result_;
};

}  // namespace jax_hps::test
