// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// The words of a bucket: tags, nibbles, ranks, each against a loop over sixteen ways.

#include <array>
#include <atomic>
#include <numeric>
#include <thread>

#include "cache_fixture.h"
#include "core/cache/policy.h"

namespace jax_hps::test {
namespace {

using cache::Bucket;
using cache::kWays;
using Ways = std::array<uint32_t, kWays>;

uint64_t packed(const Ways& ways) {
  uint64_t word = 0;
  for (int way = 0; way < kWays; ++way) word |= uint64_t{ways[way]} << (4 * way);
  return word;
}

Ways unpacked(uint64_t word) {
  Ways ways;
  for (int way = 0; way < kWays; ++way) ways[way] = word >> (4 * way) & 15;
  return ways;
}

Ways random_ranks(Random& random) {
  Ways ranks;
  std::iota(ranks.begin(), ranks.end(), 0);
  for (int way = kWays - 1; way > 0; --way) std::swap(ranks[way], ranks[random.below(way + 1)]);
  return ranks;
}

bool is_permutation_of_ranks(uint64_t word) {
  uint32_t seen = 0;
  for (const uint32_t rank : unpacked(word)) seen |= 1u << rank;
  return seen == 0xffff;
}

void tags_match_as_a_loop_says() {
  Random random(1);
  int matches = 0;
  for (int round = 0; round < 20000; ++round) {
    Bucket bucket{};
    bucket.occupied = static_cast<uint16_t>(random.word());
    // Few values each, so that halves of tags match without the other.
    for (int way = 0; way < kWays; ++way) {
      bucket.tag_low[way] = static_cast<uint16_t>(0xfffe + random.below(4));
      bucket.tag_high[way] = static_cast<uint8_t>(0xff + random.below(3));
    }
    const uint32_t tag = static_cast<uint32_t>((0xff + random.below(3)) % 256 << 16 |
                                               (0xfffe + random.below(4)) % 65536);
    uint32_t expected = 0;
    for (int way = 0; way < kWays; ++way) {
      const bool is_equal = (uint32_t{bucket.tag_high[way]} << 16 | bucket.tag_low[way]) == tag;
      expected |= uint32_t{is_equal} << way;
    }
    CHECK_EQUAL(bucket.match(tag), expected & bucket.occupied);
    matches += bucket.match(tag) != 0;
  }
  CHECK(matches > 1000);
}

void words_of_any_alignment_match() {
  alignas(16) uint16_t words[17];
  for (int i = 0; i < 17; ++i) words[i] = static_cast<uint16_t>(i * 0x0111);
  for (int shift : {0, 1}) {
    for (int i = 0; i < 16; ++i) {
      CHECK_EQUAL(cache::match_words(words + shift, words[shift + i]), 1u << i);
    }
  }
  CHECK_EQUAL(cache::match_words(words, 0xffff), 0u);
}

void nibbles_are_set_one_at_a_time() {
  Random random(2);
  for (int round = 0; round < 2000; ++round) {
    const uint64_t word = random.word();
    Ways ways = unpacked(word);
    const int way = static_cast<int>(random.below(kWays));
    const uint32_t value = static_cast<uint32_t>(random.below(16));
    CHECK_EQUAL(cache::nibble(word, way), ways[way]);
    ways[way] = value;
    CHECK_EQUAL(cache::with_nibble(word, way, value), packed(ways));
  }
}

// Every byte and every limit, with all the others beside it.
void bytes_count_up_below_a_limit() {
  Random random(3);
  for (uint64_t limit = 0; limit < 16; ++limit) {
    for (int round = 0; round < 2000; ++round) {
      uint64_t bytes = 0, expected = 0;
      for (int i = 0; i < 8; ++i) {
        const uint64_t byte = round < 16 ? static_cast<uint64_t>(round) : random.below(16);
        bytes |= byte << (8 * i);
        expected |= (byte + (byte < limit)) << (8 * i);
      }
      CHECK_EQUAL(cache::count_up_below(bytes, limit), expected);
    }
  }
}

void ways_move_to_the_front() {
  Random random(4);
  for (int round = 0; round < 20000; ++round) {
    const Ways ranks = random_ranks(random);
    const int way = round % kWays;
    Ways expected = ranks;
    for (uint32_t& rank : expected) rank += rank < ranks[way];
    expected[way] = 0;
    CHECK_EQUAL(cache::moved_to_front(packed(ranks), way), packed(expected));
    CHECK_EQUAL(ranks[cache::way_of_rank(packed(ranks), way)], static_cast<uint32_t>(way));
  }
  CHECK(is_permutation_of_ranks(cache::kRanks));
}

void the_least_is_found_from_the_hand_on() {
  Random random(5);
  for (int round = 0; round < 20000; ++round) {
    Ways ways;
    for (uint32_t& value : ways) value = static_cast<uint32_t>(random.below(1 + round % 16));
    const int hand = static_cast<int>(random.below(kWays));
    int expected = hand;
    for (int i = 0; i < kWays; ++i) {
      const int way = (hand + i) % kWays;
      if (ways[way] < ways[expected]) expected = way;
    }
    CHECK_EQUAL(cache::least(packed(ways), hand), expected);
  }
}

void halving_halves_each() {
  Random random(6);
  for (int round = 0; round < 2000; ++round) {
    Ways ways = unpacked(random.word());
    const uint64_t halved = cache::halved(packed(ways));
    for (uint32_t& value : ways) value /= 2;
    CHECK_EQUAL(halved, packed(ways));
  }
}

// A hit changes its own way's nibble, and no more than it says.
void touches_stop_at_the_most() {
  struct Limit {
    cache::Policy policy;
    uint32_t flags, most;
  };
  // In s3fifo's nibbles the third bit tells the queue.
  for (const Limit& limit : {Limit{cache::Policy::kFrequency, 0, cache::kMaxUse},
                             Limit{cache::Policy::kS3Fifo, 0, cache::kS3Uses},
                             Limit{cache::Policy::kS3Fifo, cache::kS3Main, cache::kS3Uses}}) {
    const Scope scope(name_of(limit.policy), ", flags ", limit.flags);
    for (int way = 0; way < kWays; ++way) {
      Bucket bucket{};
      Ways expected;
      for (int i = 0; i < kWays; ++i) expected[i] = limit.flags | (static_cast<uint32_t>(i) & 3);
      expected[way] = limit.flags;
      bucket.set_uses(packed(expected));
      for (uint32_t hits = 1; hits <= 20; ++hits) {
        cache::touch(limit.policy, bucket, way);
        expected[way] = limit.flags | std::min(hits, limit.most);
        CHECK_EQUAL(bucket.uses(), packed(expected));
      }
    }
  }
}

// Hits take no lock: of two that race one may get lost, but the ranks stay ranks, for the search
// for a victim relies on it.
void ranks_stay_ranks_when_hits_race() {
  Bucket bucket{};
  bucket.set_uses(cache::kRanks);
  std::atomic<bool> is_sound = true;
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&, seed] {
      Random random(seed);
      for (int i = 0; i < 2000000 && is_sound; ++i) {
        cache::touch<cache::Policy::kLru>(bucket, static_cast<int>(random.below(kWays)));
        if (!is_permutation_of_ranks(bucket.uses())) is_sound = false;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(is_sound);
  CHECK(bucket.uses() != cache::kRanks);
}

// The counters of two ways share a byte: a hit that gets lost must not become another's, nor carry.
void counters_stay_in_bounds_when_hits_race() {
  constexpr uint32_t kHits = 1000000;
  Bucket bucket{};
  std::vector<std::thread> threads;
  for (int way : {6, 7}) {
    threads.emplace_back([&, way] {
      for (uint32_t i = 0; i < kHits; ++i) cache::touch<cache::Policy::kFrequency>(bucket, way);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Ways uses = unpacked(bucket.uses());
  CHECK(uses[6] + uses[7] > 0);
  for (int way = 0; way < kWays; ++way) {
    if (way != 6 && way != 7) CHECK_EQUAL(uses[way], 0u);
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"tags match as a loop says", tags_match_as_a_loop_says},
      {"words of any alignment match", words_of_any_alignment_match},
      {"nibbles are set one at a time", nibbles_are_set_one_at_a_time},
      {"bytes count up below a limit", bytes_count_up_below_a_limit},
      {"ways move to the front", ways_move_to_the_front},
      {"the least is found, from the hand on", the_least_is_found_from_the_hand_on},
      {"halving halves each counter", halving_halves_each},
      {"touches stop at the most", touches_stop_at_the_most},
      {"ranks stay ranks when hits race", ranks_stay_ranks_when_hits_race},
      {"counters stay in bounds when hits race", counters_stay_in_bounds_when_hits_race},
  });
}
