// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Lookups, updates of the row cache and resolvers, all at the same time. Every row says whose it is
// and of which version, so each answer shows by itself whether it can be.

#include <array>
#include <atomic>
#include <optional>

#include "lookup_fixture.h"
#include "resolver_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using Rows = std::vector<int64_t>;

constexpr int64_t kNumRows = 300;
constexpr int64_t kDim = 24;
constexpr size_t kRowBytes = kDim * 4;
// Versions are the seeds of rows; floats hold all elements of so many exactly.
constexpr int kMaxVersion = 150;
const TableShape kShape = {1, kNumRows, kDim, 1 << 20};

// Where rows are resolved from: the version of each.
class Source {
 public:
  Source() {
    for (auto& version : versions_) version = 1;
    for (auto& version : updated_) version = 1;
  }

  Bytes read(const Rows& rows) const {
    Bytes data;
    for (const int64_t row : rows) {
      const Bytes one = rows_of(versions_[static_cast<size_t>(row)], {row}, kDim);
      data.insert(data.end(), one.begin(), one.end());
    }
    return data;
  }
  int version(int64_t row) const { return versions_[static_cast<size_t>(row)]; }
  /// The last version whose update has come to its end.
  int updated(int64_t row) const { return updated_[static_cast<size_t>(row)]; }

  /// The next version of a row: first here, then in the cache. One thread a row.
  void update(RowCache& cache, int64_t row, bool is_erasure) {
    const size_t at = static_cast<size_t>(row);
    if (versions_[at] == kMaxVersion) return;
    const int version = ++versions_[at];
    const Rows keys = {kShape.key(row)};
    is_erasure ? cache.erase(keys) : cache.overwrite(keys, rows_of(version, {row}, kDim).data());
    updated_[at] = version;
  }

 private:
  std::array<std::atomic<int>, kNumRows> versions_, updated_;
};

// Some rows are wanted far more often than others; a few keys are unknown.
Rows some_keys(Random& random) {
  Rows keys(1 + random.below(80));
  for (int64_t& key : keys) {
    const uint64_t range = random.below(3) == 0 ? kNumRows : kNumRows / 10;
    key = kShape.key(static_cast<int64_t>(random.below(range)));
    if (random.below(8) == 0) key = -8 - static_cast<int64_t>(random.below(20));
  }
  return keys;
}

// The version that a position answers; 0: the default row. None where it is no row at all.
std::optional<int> version_at(const PartBuffers& buffers, size_t i) {
  const float* row = buffers.out.data() + i * kDim;
  const int64_t number = kShape.row(buffers.keys[i]);
  if (!buffers.found[i]) {
    return std::all_of(row, row + kDim, [](float value) { return value == kDefault; })
               ? std::optional(0)
               : std::nullopt;
  }
  const int version = static_cast<int>(row[0]) / 100'000;
  if (number < 0 || version < 1) return std::nullopt;
  for (int64_t j = 0; j < kDim; ++j) {
    if (row[j] != element(version, number, j)) return std::nullopt;
  }
  return version;
}

// Resolvers that take their time between reading and answering, and do not always answer.
class Resolvers {
 public:
  Resolvers(const Source& source, int count, bool fail) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, &source, i, fail] {
        Random random(static_cast<uint64_t>(i));
        while (const auto request = queue->take()) {
          Bytes rows = source.read(request->rows);
          for (uint64_t turns = random.below(4); turns > 0; --turns) std::this_thread::yield();
          const uint64_t fate = fail ? random.below(20) : 2;
          if (fate == 0) rows.pop_back();
          if (fate == 1) request->fail("unlucky", random.below(2) == 0);
          request->answer(std::move(rows));
        }
      });
    }
  }
  ~Resolvers() {
    queue->close();
    for (std::thread& thread : threads_) thread.join();
  }

  const std::shared_ptr<ResolverQueue> queue = std::make_shared<ResolverQueue>();

 private:
  std::vector<std::thread> threads_;
};

// In the end the cache has no row but the last of each key.
void check_cache(const std::shared_ptr<RowCache>& cache, const Source& source) {
  const auto closed = std::make_shared<ResolverQueue>();
  closed->close();
  const OpenTable table("s/m/end", make_base(kShape, closed), {}, cache);
  Rows keys;
  for (int64_t row = 0; row < kNumRows; ++row) keys.push_back(kShape.key(row));
  PartBuffers buffers("s/m/end", keys, kDim);
  lookup_parts({&buffers});
  CHECK(table.counters().row_cache_hits > 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    const Scope scope("row ", i);
    const std::optional<int> version = version_at(buffers, i);
    CHECK(version.has_value());
    if (*version > 0) CHECK_EQUAL(*version, source.version(static_cast<int64_t>(i)));
  }
}

std::shared_ptr<RowCache> small_cache(cache::Policy policy) {
  RowCacheOptions options;
  options.policy.policy = policy;
  return make_row_cache(kRowBytes, 128, options);
}

constexpr cache::Policy kAllPolicies[] = {cache::Policy::kFrequency, cache::Policy::kLru,
                                          cache::Policy::kS3Fifo};

void lookups_updates_and_resolvers() {
  constexpr int kReaders = 3, kUpdaters = 2, kCalls = 250;
  for (const cache::Policy policy : kAllPolicies) {
    const Scope scope("policy ", static_cast<int>(policy));
    Source source;
    const auto cache = small_cache(policy);
    std::optional<Resolvers> resolvers(std::in_place, source, 2, true);
    const auto base = make_base(kShape, resolvers->queue);
    const OpenTable patient("s/m/patient", base, {.deadline_s = 60}, cache);
    const OpenTable hasty("s/m/hasty", base, {.deadline_s = 50e-6}, cache);
    std::atomic<int> wrong = 0, reading = kReaders;
    run_threads(kReaders + kUpdaters, [&](size_t thread) {
      Random random(thread);
      if (thread >= kReaders) {
        while (reading > 0) {
          const uint64_t turn = random.below(kNumRows / kUpdaters);
          const uint64_t row = turn * kUpdaters + thread - kReaders;
          source.update(*cache, static_cast<int64_t>(row), random.below(2) == 0);
          std::this_thread::yield();
        }
        return;
      }
      for (int call = 0; call < kCalls; ++call) {
        PartBuffers a("s/m/patient", some_keys(random), kDim);
        PartBuffers b("s/m/hasty", some_keys(random), kDim);
        lookup_parts({&a, &b});
        for (const PartBuffers* buffers : {&a, &b}) {
          for (size_t i = 0; i < buffers->keys.size(); ++i) {
            const int64_t row = kShape.row(buffers->keys[i]);
            const std::optional<int> version = version_at(*buffers, i);
            wrong += !version || (*version > 0 && *version > source.version(row));
          }
        }
      }
      --reading;
    });
    resolvers.reset();
    CHECK_EQUAL(wrong, 0);
    for (const OpenTable* table : {&patient, &hasty}) {
      table->check_counters();
      CHECK(table->counters().row_cache_hits > 0);
      CHECK(table->counters().base_hits > 0);
      CHECK(table->counters().defaults > 0);
    }
    CHECK(cache->counters.overwrites > 0);
    CHECK(cache->counters.erasures > 0);
    check_cache(cache, source);
  }
}

// Who asks alone joins nobody's request: a call never answers what was before an update that had
// come to its end when the call began.
void a_call_behind_an_update_answers_it() {
  for (const cache::Policy policy : kAllPolicies) {
    const Scope scope("policy ", static_cast<int>(policy));
    Source source;
    const auto cache = small_cache(policy);
    Resolvers resolvers(source, 1, false);
    const OpenTable table("s/m/t", make_base(kShape, resolvers.queue), {.deadline_s = 60}, cache);
    std::atomic<bool> done = false;
    std::thread updater([&] {
      Random random(1);
      while (!done) {
        const auto row = static_cast<int64_t>(random.below(kNumRows / 4));
        source.update(*cache, row, random.below(2) == 0);
        std::this_thread::yield();
      }
    });
    Random random(2);
    int too_old = 0, wrong = 0, newer = 0;
    for (int call = 0; call < 500; ++call) {
      PartBuffers buffers("s/m/t", some_keys(random), kDim);
      std::vector<int> at_least;
      for (const int64_t key : buffers.keys) {
        const int64_t row = kShape.row(key);
        at_least.push_back(row < 0 ? 0 : source.updated(row));
      }
      wrong += lookup_parts({&buffers}, true).has_value();
      for (size_t i = 0; i < at_least.size(); ++i) {
        const std::optional<int> version = version_at(buffers, i);
        wrong += !version;
        too_old += version && *version < at_least[i];
        newer += version && *version > 1;
      }
    }
    done = true;
    updater.join();
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(too_old, 0);
    CHECK(newer > 0);
    check_cache(cache, source);
  }
}

// Mapped rows do not change; what the cache has of them comes and goes.
void lookups_and_erasures_over_mapped_rows() {
  ThreadPool pool(2);
  for (const cache::Policy policy : kAllPolicies) {
    const Scope scope("policy ", static_cast<int>(policy));
    const auto cache = small_cache(policy);
    const OpenTable table("s/m/t", make_base(kShape), {}, cache);
    std::atomic<int> wrong = 0, reading = 3;
    run_threads(4, [&](size_t thread) {
      Random random(thread);
      while (thread == 3 && reading > 0) {
        cache->erase(some_keys(random));
        std::this_thread::yield();
      }
      if (thread == 3) return;
      for (int call = 0; call < 150; ++call) {
        Rows keys = some_keys(random);
        // The first one's calls are large enough for the pool.
        if (thread == 0) keys.resize(3000, keys[0]);
        PartBuffers buffers("s/m/t", keys, kDim);
        wrong += lookup_parts({&buffers}, true, &pool).has_value();
        for (size_t i = 0; i < keys.size(); ++i) {
          wrong += version_at(buffers, i) != (kShape.row(keys[i]) >= 0 ? 1 : 0);
        }
      }
      --reading;
    });
    CHECK_EQUAL(wrong, 0);
    table.check_counters();
    CHECK(table.counters().row_cache_hits > 0);
    CHECK(cache->counters.erasures > 0);
    CHECK_EQUAL(table.counters().unavailable + table.counters().degraded, 0);
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"lookups, updates and resolvers at any time", lookups_updates_and_resolvers},
      {"a call behind an update answers it", a_call_behind_an_update_answers_it},
      {"lookups and erasures over mapped rows", lookups_and_erasures_over_mapped_rows},
  });
}
