// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Readers take no locks: a hundred million lookups beside everything that can change a cache.
// JAX_HPS_RACE_LOOKUPS in the environment is another number of them.

#include "cache_race.h"

#include <cstdio>
#include <cstdlib>

namespace jax_hps::test {
namespace {

using cache::Policy;

int64_t total_lookups() {
  if (const char* number = std::getenv("JAX_HPS_RACE_LOOKUPS")) return std::atoll(number);
#if defined(__SANITIZE_THREAD__)
  return 5'000'000;
#elif defined(__SANITIZE_ADDRESS__)
  return 10'000'000;
#else
  return 100'000'000;
#endif
}

// One of ten races, as they differ in what they cost.
void race(CacheRace::Options options, int64_t tenths) {
  options.lookups = total_lookups() * tenths / 10;
  const Scope scope(name_of(options.policy), options.is_exact ? ", exact" : ", verified",
                    ", rows of ", options.row_bytes, " bytes");
  CacheRace race(options);
  const CacheRace::Result& result = race.run(2, 1);
  const RowCache::Counters& counters = race.cache().counters;
  std::printf("       %ld lookups: %ld rows, %ld absent; %ld insertions, %ld updates, %ld stale\n",
              result.lookups.load(), result.hits.load(), result.absent.load(),
              counters.fills + counters.replacements, counters.overwrites + counters.erasures,
              counters.stale.load());
  CHECK_EQUAL(result.torn.load(), 0);
  CHECK_EQUAL(result.foreign.load(), 0);
  CHECK_EQUAL(result.outdated.load(), 0);
  CHECK_EQUAL(result.invented.load(), 0);
  CHECK_EQUAL(result.miscounted.load(), 0);
  // Or nothing has been tried.
  CHECK(result.lookups >= options.lookups);
  CHECK(result.hits > options.lookups / 20);
  CHECK(result.absent > 0);
  CHECK(counters.replacements > 0);
  CHECK(counters.overwrites > 0);
  CHECK(counters.erasures > 0);
  CHECK_EQUAL(counters.attempts.load(),
              counters.fills + counters.replacements + counters.rejects + counters.stale);
  CHECK_EQUAL(counters.fills - counters.erasures, race.cache().num_cached());
}

void exact_caches() {
  race({.policy = Policy::kFrequency, .is_exact = true, .row_bytes = 64}, 2);
  race({.policy = Policy::kLru, .is_exact = true, .row_bytes = 32}, 1);
  race({.policy = Policy::kS3Fifo, .is_exact = true, .row_bytes = 128}, 1);
}

void caches_that_keep_keys() {
  race({.policy = Policy::kFrequency, .is_exact = false, .row_bytes = 32}, 2);
  race({.policy = Policy::kLru, .is_exact = false, .row_bytes = 64}, 1);
  race({.policy = Policy::kS3Fifo, .is_exact = false, .row_bytes = 16}, 1);
}

void long_rows() { race({.policy = Policy::kLru, .row_bytes = 1024, .num_buckets = 2}, 1); }

void one_bucket() { race({.policy = Policy::kLru, .row_bytes = 256, .num_buckets = 1}, 1); }

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"exact caches", exact_caches},
      {"caches that keep keys", caches_that_keep_keys},
      {"long rows", long_rows},
      {"one bucket", one_bucket},
  });
}
