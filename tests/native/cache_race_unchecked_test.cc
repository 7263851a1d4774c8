// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// The race of cache_race_test with kernels that were built without a look at the sequences of
// buckets. It must find wrong rows: a race that these survive would prove nothing of the others.

#include <cstdio>

#include "cache_race.h"

namespace jax_hps {
namespace unchecked {
extern const CacheKernels kCacheKernels;
}

namespace test {
namespace {

void wrong_rows_are_found(cache::Policy policy, bool is_exact) {
  const Scope scope(name_of(policy), is_exact ? ", exact" : ", verified");
  CacheRace race({.policy = policy,
                  .is_exact = is_exact,
                  .row_bytes = 2048,
                  .num_buckets = 1,
                  .lookups = 50'000'000,
                  .stops_at_first = true},
                 unchecked::kCacheKernels);
  const CacheRace::Result& result = race.run(2, 2);
  std::printf("       %ld torn and %ld foreign rows in %ld lookups\n", result.torn.load(),
              result.foreign.load(), result.lookups.load());
  CHECK(result.torn + result.foreign > 0);
}

void exact_caches() {
  for (const cache::Policy policy : kPolicies) wrong_rows_are_found(policy, true);
}

void caches_that_keep_keys() {
  for (const cache::Policy policy : kPolicies) wrong_rows_are_found(policy, false);
}

}  // namespace
}  // namespace test
}  // namespace jax_hps

int main() {
  using namespace jax_hps::test;
  if (std::thread::hardware_concurrency() < 2) return kSkipped;  // Little overlaps on one core.
  return run_all({
      {"without sequences, exact caches answer wrong rows", exact_caches},
      {"without sequences, caches that keep keys answer wrong rows", caches_that_keep_keys},
  });
}
