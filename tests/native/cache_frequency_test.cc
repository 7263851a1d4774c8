// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Who stays in a bucket and who goes, by how often keys were asked for.

#include "one_bucket.h"

namespace jax_hps::test {
namespace {

using cache::kWays;
using cache::Policy;
using cache::PolicyOptions;

// Counters that do not age while a case looks.
constexpr PolicyOptions kFrequency = {.policy = Policy::kFrequency, .halving = 15};

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

// Of those who were asked for equally often, the ones that came first make way.
void the_latest_are_remembered() {
  OneBucket bucket(kFrequency);
  bucket.fill(0, 9);
  for (int64_t key = 100; key < 100 + 3 * kWays; ++key) CHECK(!bucket.insert(key));
  CHECK_EQUAL(bucket.ghost_hits(), 0);
  for (int64_t key = 100 + 2 * kWays; key < 100 + 3 * kWays; ++key) CHECK(!bucket.insert(key));
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
  // Nor does what is remembered of a key carry over it.
  OneBucket other(kFrequency);
  other.fill(0, 14);
  CHECK(!other.insert(100, 14));
  CHECK(other.insert(100, 14));
  CHECK_EQUAL(other.uses().at(100), 15u);
}

// What was hot once does not stay for ever: while newcomers come that nobody asked for before,
// counters halve, or fall to nothing where they stood still, until one gets in.
void counters_age() {
  for (const uint8_t halving : {0, 1, 2, 8, 15}) {
    const Scope scope("halving ", static_cast<int>(halving));
    OneBucket bucket({.policy = Policy::kFrequency, .halving = halving});
    bucket.fill(0, 15);
    uint32_t use = 15;
    int64_t offers = 0;
    while (!bucket.insert(1000 + offers)) {
      CHECK(++offers <= 5000);
      for (const auto& [key, now] : bucket.uses()) {
        CHECK(now == use || now == use / 2 || now == 0);
      }
      use = bucket.uses().at(0);
      CHECK(offers < std::max<int64_t>(1, halving) * kWays || use < 15);
    }
    // With the second halving at the earliest.
    CHECK(offers >= 2 * std::max<int64_t>(1, halving) * kWays - 1);
  }
}

void an_open_door_lets_all_in_and_still_chooses_who_goes() {
  OneBucket bucket({.policy = Policy::kFrequency, .admit_always = true, .halving = 15});
  bucket.fill(0, 9);
  CHECK(bucket.erase(7));
  CHECK(bucket.insert(100));
  for (int64_t key = 101; key < 120; ++key) {
    CHECK(bucket.insert(key));
    CHECK(!bucket.uses().contains(key - 1));
  }
  for (int64_t key = 0; key < kWays; ++key) CHECK_EQUAL(bucket.uses().contains(key), key != 7);
}

void equals_go_in_turn() {
  OneBucket bucket({.policy = Policy::kFrequency, .admit_always = true, .halving = 15});
  bucket.fill(0, 1);
  for (int64_t key = 100; key < 100 + kWays; ++key) {
    CHECK(bucket.insert(key));
    CHECK(!bucket.uses().contains(key - 100));
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"newcomers come in where they were asked for more",
       newcomers_come_in_where_they_were_asked_for_more},
      {"the row used least goes", the_row_used_least_goes},
      {"hits protect", hits_protect},
      {"those who were turned away are remembered", those_who_were_turned_away_are_remembered},
      {"as many are remembered as there are rows", as_many_are_remembered_as_there_are_rows},
      {"the latest are remembered", the_latest_are_remembered},
      {"those who had to go are remembered", those_who_had_to_go_are_remembered},
      {"counters saturate", counters_saturate},
      {"counters age", counters_age},
      {"an open door lets all in, and still chooses who goes",
       an_open_door_lets_all_in_and_still_chooses_who_goes},
      {"equals go in turn", equals_go_in_turn},
  });
}
