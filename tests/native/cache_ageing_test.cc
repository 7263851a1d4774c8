// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// How fast the counters of the frequency policy forget, and how it comes to know how fast they
// should.

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

using cache::adapted_period;
using cache::Ageing;
using cache::Bucket;
using cache::Evidence;
using cache::History;
using cache::kLongestPeriod;
using cache::kShortestPeriod;
using cache::kWays;

Evidence evidence(uint32_t hot, uint32_t dead) {
  Evidence result;
  result.hot = hot;
  result.dead = dead;
  return result;
}

void periods_grow_while_hot_rows_live_and_shrink_while_they_die() {
  constexpr uint32_t kHot = 1000;
  for (uint32_t period = kShortestPeriod; period <= kLongestPeriod; period *= 2) {
    const Scope scope("period ", period);
    uint32_t before = kLongestPeriod;
    for (uint32_t dead = 0; dead <= kHot; ++dead) {
      const uint32_t adapted = adapted_period(period, evidence(kHot, dead));
      CHECK(adapted >= kShortestPeriod && adapted <= kLongestPeriod);
      CHECK(adapted == period || adapted == 2 * period || 2 * adapted == period);
      CHECK(adapted <= before);  // More that die never make for a longer memory.
      before = adapted;
    }
    CHECK_EQUAL(adapted_period(period, evidence(kHot, 0)), std::min(2 * period, kLongestPeriod));
    CHECK_EQUAL(adapted_period(period, evidence(kHot, kHot)),
                std::max(period / 2, kShortestPeriod));
  }
  // Counts of large caches do not overflow.
  CHECK_EQUAL(adapted_period(32, evidence(UINT32_MAX, UINT32_MAX)), 16u);
  CHECK_EQUAL(adapted_period(32, evidence(UINT32_MAX, 0)), 64u);
}

// Insertions between two halvings, of which each `per_batch` are of one batch.
std::vector<int> halvings(uint32_t period, int per_batch, int insertions) {
  Bucket bucket{};
  History history{};
  std::vector<int> gaps;
  int last = 0;
  for (int i = 0; i < insertions; ++i) {
    bucket.set_uses(~uint64_t{0});
    cache::age({period, static_cast<uint8_t>(i / per_batch)}, bucket, history);
    if (bucket.uses() == ~uint64_t{0}) continue;
    gaps.push_back(i - last);
    last = i;
  }
  return gaps;
}

void counters_are_halved_once_in_a_period() {
  for (const uint32_t period : {16u, 32u, 128u, 240u}) {
    const Scope scope("period ", period);
    const std::vector<int> gaps = halvings(period, 1, 5000);
    CHECK(gaps.size() >= 5000 / period - 1);
    for (size_t i = 1; i < gaps.size(); ++i) CHECK_EQUAL(gaps[i], static_cast<int>(period));
  }
}

// Batches that bring more than a period of insertions must not make the counters forget all that
// the batches before have told. Their numbers start again after 255.
void batches_halve_counters_once_in_several() {
  for (const int per_batch : {16, 100, 300}) {
    const Scope scope("insertions per batch ", per_batch);
    const std::vector<int> gaps = halvings(16, per_batch, 300 * per_batch);
    const int batches = static_cast<int>(cache::kBatchesBetween);
    CHECK(gaps.size() > 30);
    for (size_t i = 1; i < gaps.size(); ++i) CHECK_EQUAL(gaps[i], batches * per_batch);
  }
}

void halving_tells_hot_rows_that_died_from_those_that_live() {
  for (uint32_t hits = 0; hits <= 2; ++hits) {
    const Scope scope("hits since ", hits);
    Bucket bucket{};
    History history{};
    for (uint32_t use = 0; use < kWays; ++use) {
      cache::enter({}, bucket, history, {.way = static_cast<int>(use), .use = use, .evidence = {}});
    }
    const Evidence first = cache::halve(bucket, history);
    CHECK_EQUAL(first.hot, 0u);  // Nothing was known before.
    uint32_t hot = 0;
    for (int way = 0; way < kWays; ++way) {
      const uint32_t use = cache::nibble(bucket.uses(), way);
      CHECK_EQUAL(use, static_cast<uint32_t>(way) / 2);
      hot += use > 4;
      for (uint32_t i = 0; i < hits; ++i) cache::touch<cache::Policy::kFrequency>(bucket, way);
    }
    const Evidence second = cache::halve(bucket, history);
    CHECK_EQUAL(second.hot, hot);
    CHECK_EQUAL(second.dead, hits == 0 ? hot : 0);
    for (int way = 0; way < kWays; ++way) {
      const uint32_t use = static_cast<uint32_t>(way) / 2;
      const bool is_dead = hits == 0 && use > 4;
      CHECK_EQUAL(cache::nibble(bucket.uses(), way), is_dead ? 0u : (use + hits) / 2);
    }
  }
}

// Or who is offered now and then, and never hit, would come to count as hot.
void those_outside_age_too() {
  Bucket bucket{};
  History history{};
  history.ghost_use = 0xfedcba9876543210u;
  cache::halve(bucket, history);
  for (int ghost = 0; ghost < kWays; ++ghost) {
    CHECK_EQUAL(cache::nibble(history.ghost_use, ghost), static_cast<uint32_t>(ghost) / 2);
  }
}

// Whoever comes to a hot row's place has not been hot, nor died.
void newcomers_inherit_nothing() {
  Bucket bucket{};
  History history{};
  bucket.set_uses(~uint64_t{0});
  cache::halve(bucket, history);
  for (int way = 0; way < kWays; ++way) {
    cache::enter({}, bucket, history, {.way = way, .use = 7, .evidence = {}});
  }
  CHECK_EQUAL(cache::halve(bucket, history).hot, 0u);
}

// Asks for half as many favourites as there are rows, three in four times, and else for any key.
// The favourites change every so many batches.
uint32_t period_after(int batches, int batches_between_changes) {
  constexpr int64_t kRows = 1024, kBatch = 256;
  RowCache cache({.num_rows = kRows, .row_bytes = 4, .exact = {}, .policy = {}});
  const Bytes default_row(4), row(4);
  Random random(1);
  int64_t first = 0;
  for (int i = 0; i < batches; ++i) {
    if (i % batches_between_changes == 0) first += kRows;
    std::vector<int64_t> keys;
    for (int64_t j = 0; j < kBatch; ++j) {
      const bool is_favourite = random.below(4) > 0;
      keys.push_back(is_favourite ? first + static_cast<int64_t>(random.below(kRows / 2))
                                  : static_cast<int64_t>(random.word() >> 1));
    }
    const RowCache::Batch batch = cache.begin_batch();
    const Answer answer = look_up(cache.view(), keys, default_row);
    std::vector<int64_t> missed;
    for (const int64_t at : answer.missed) missed.push_back(keys[static_cast<size_t>(at)]);
    const std::vector<const std::byte*> rows(missed.size(), row.data());
    cache.insert(missed, rows.data(), nullptr, batch);
  }
  return cache.ageing_period();
}

void caches_come_to_know_how_fast_to_forget() {
  CHECK_EQUAL(period_after(3000, 1 << 20), kLongestPeriod);
  CHECK_EQUAL(period_after(3000, 60), kShortestPeriod);
}

void periods_that_are_asked_for_stay() {
  for (const uint8_t halving : {1, 4, 15}) {
    RowCache cache({.num_rows = 16, .row_bytes = 4, .exact = {}, .policy = {.halving = halving}});
    for (int64_t key = 0; key < 20000; ++key) {
      insert_one(cache, key);
      look_up_one(cache, key % 8);
    }
    CHECK_EQUAL(cache.ageing_period(), halving * 16u);
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"periods grow while hot rows live, and shrink while they die",
       periods_grow_while_hot_rows_live_and_shrink_while_they_die},
      {"counters are halved once in a period", counters_are_halved_once_in_a_period},
      {"batches halve counters once in several", batches_halve_counters_once_in_several},
      {"halving tells hot rows that died from those that live",
       halving_tells_hot_rows_that_died_from_those_that_live},
      {"those outside age too", those_outside_age_too},
      {"newcomers inherit nothing", newcomers_inherit_nothing},
      {"caches come to know how fast to forget", caches_come_to_know_how_fast_to_forget},
      {"periods that are asked for stay", periods_that_are_asked_for_stay},
  });
}
