// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Where keys belong, against arithmetic on 128 bits, and by trying all keys of small domains.

#include "cache_fixture.h"
#include "core/cache/address.h"

namespace jax_hps::test {
namespace {

using cache::Address;
using cache::address_of;
using cache::key_of;
using cache::kTagBits;
using cache::permute;
using cache::tags_are_exact;
using cache::unpermute;

uint64_t largest(int bits) { return ~uint64_t{0} >> (64 - bits); }

// The longest range of hashes that one bucket takes.
bool longest_range_fits_tags(int bits, uint32_t num_buckets) {
  return ((Wide{1} << bits) + num_buckets - 1) / num_buckets <= Wide{1} << kTagBits;
}

void permute_is_a_bijection_of_small_domains() {
  for (int bits = 1; bits <= 16; ++bits) {
    const Scope scope("bits ", bits);
    std::vector<bool> taken(size_t{1} << bits);
    for (uint64_t key = 0; key <= largest(bits); ++key) {
      const uint64_t hash = permute(key, bits);
      CHECK(hash <= largest(bits));
      CHECK(!taken[hash]);
      taken[hash] = true;
      CHECK_EQUAL(unpermute(hash, bits), key);
    }
  }
}

void unpermute_inverts_permute_of_every_width() {
  Random random(1);
  for (int bits = 1; bits <= 64; ++bits) {
    const Scope scope("bits ", bits);
    std::vector<uint64_t> keys = {0, 1, largest(bits), largest(bits) - 1, largest(bits) / 2};
    while (keys.size() < 20000) keys.push_back(random.word() & largest(bits));
    for (const uint64_t key : keys) {
      CHECK(permute(key, bits) <= largest(bits));
      CHECK_EQUAL(unpermute(permute(key, bits), bits), key);
      CHECK_EQUAL(permute(unpermute(key, bits), bits), key);
    }
  }
}

// One, few and many buckets, around powers of two, and more than there are keys.
std::vector<uint32_t> bucket_counts(int bits) {
  std::vector<uint32_t> counts = {1, 2, 3, 5, 7, 1000003, UINT32_MAX};
  for (const int power : {4, 8, 10, bits - 1, bits, bits + 1}) {
    const uint32_t count = uint32_t{1} << power;
    counts.insert(counts.end(), {count - 1, count, count + 1});
  }
  std::erase(counts, 0u);
  return counts;
}

// All keys of a domain have addresses of their own, for they can be told from them.
void check_all_keys(int bits, uint32_t num_buckets) {
  const Scope scope("bits ", bits, ", buckets ", num_buckets);
  CHECK(tags_are_exact(bits, num_buckets));
  for (uint64_t key = 0; key <= largest(bits); ++key) {
    const Address address = address_of(key, bits, num_buckets);
    CHECK(address.in_domain);
    CHECK(address.bucket < num_buckets);
    CHECK(address.tag < 1u << kTagBits);
    CHECK_EQUAL(key_of(address.bucket, address.tag, bits, num_buckets), key);
  }
}

void keys_of_small_domains_have_their_own_addresses() {
  for (int bits = 1; bits <= 20; ++bits) {
    for (const uint32_t num_buckets : bucket_counts(bits)) check_all_keys(bits, num_buckets);
  }
}

// Above 24 bits tags are cut; the fewest buckets that make up for it.
void keys_of_domains_beyond_tags_have_their_own_addresses() {
  check_all_keys(25, 2);
  check_all_keys(25, 3);
}

void buckets_take_consecutive_hashes() {
  Random random(2);
  for (int bits = 1; bits <= 64; ++bits) {
    for (int i = 0; i < 3000; ++i) {
      const uint32_t num_buckets = static_cast<uint32_t>(random.word() >> random.below(32) | 1);
      const uint64_t key = random.word() & largest(bits);
      const Scope scope("bits ", bits, ", buckets ", num_buckets, ", key ", key);
      const Address address = address_of(key, bits, num_buckets);
      const uint64_t hash = permute(key, bits);
      CHECK_EQUAL(address.bucket, static_cast<uint32_t>(Wide{hash} * num_buckets >> bits));
      CHECK_EQUAL(address.tag, static_cast<uint32_t>(hash % (1u << kTagBits)));
      CHECK(address.in_domain);
    }
  }
}

void exact_tags_end_where_arithmetic_says() {
  Random random(3);
  int exact = 0;
  for (int bits = 1; bits <= 64; ++bits) {
    std::vector<uint64_t> counts = {1, 2, 3, UINT32_MAX, UINT32_MAX - 1};
    // The limit: 2^24 hashes a bucket.
    const uint64_t limit = uint64_t{1} << std::clamp(bits - kTagBits, 1, 32);
    counts.insert(counts.end(), {limit - 1, limit, limit + 1});
    for (int i = 0; i < 300; ++i) counts.push_back(random.word() >> (32 + random.below(32)));
    for (const uint64_t count : counts) {
      if (count == 0 || count > UINT32_MAX) continue;
      const uint32_t num_buckets = static_cast<uint32_t>(count);
      const Scope scope("bits ", bits, ", buckets ", num_buckets);
      CHECK_EQUAL(tags_are_exact(bits, num_buckets), longest_range_fits_tags(bits, num_buckets));
      exact += tags_are_exact(bits, num_buckets);
    }
  }
  CHECK(exact > 0);
}

// The other way round: where they are not exact, two keys do share an address.
void tags_that_are_not_exact_are_shared() {
  const std::pair<int, uint32_t> kShapes[] = {{25, 1},          {26, 3},          {40, 65535},
                                              {56, UINT32_MAX}, {57, UINT32_MAX}, {64, 1 << 20}};
  for (const auto& [bits, num_buckets] : kShapes) {
    const Scope scope("bits ", bits, ", buckets ", num_buckets);
    CHECK(!tags_are_exact(bits, num_buckets));
    bool is_shared = false;
    for (uint32_t bucket = 0; bucket < std::min(num_buckets, 1000u) && !is_shared; ++bucket) {
      const uint64_t hash =
          static_cast<uint64_t>(((Wide{bucket} << bits) + num_buckets - 1) / num_buckets);
      const Address one = address_of(unpermute(hash, bits), bits, num_buckets);
      const Address other =
          address_of(unpermute(hash + (uint64_t{1} << kTagBits), bits), bits, num_buckets);
      is_shared = one.bucket == other.bucket && one.tag == other.tag;
    }
    CHECK(is_shared);
  }
}

// Exact at the very limit, with numbers that hardly fit 64 bits on the way.
void keys_come_back_in_large_domains() {
  const std::pair<int, uint32_t> kShapes[] = {
      {24, 1},          {32, 256},        {40, 1u << 16},   {40, 65537},          {44, 1048577},
      {50, 0x4000001u}, {55, 1u << 31},   {55, 0x80000001}, {55, UINT32_MAX - 1}, {55, UINT32_MAX},
      {33, UINT32_MAX}, {32, UINT32_MAX}, {1, UINT32_MAX}};
  Random random(4);
  for (const auto& [bits, num_buckets] : kShapes) {
    const Scope scope("bits ", bits, ", buckets ", num_buckets);
    CHECK(tags_are_exact(bits, num_buckets));
    std::vector<uint64_t> hashes = {0, largest(bits)};
    for (int i = 0; i < 20000; ++i) {
      hashes.push_back(random.word() & largest(bits));
      // The ends of a bucket's range.
      const uint64_t bucket = random.below(num_buckets);
      const Wide first = ((Wide{bucket} << bits) + num_buckets - 1) / num_buckets;
      for (const Wide hash : {first, first == 0 ? first : first - 1}) {
        if (hash <= largest(bits)) hashes.push_back(static_cast<uint64_t>(hash));
      }
    }
    for (const uint64_t hash : hashes) {
      const uint64_t key = unpermute(hash, bits);
      const Address address = address_of(key, bits, num_buckets);
      CHECK_EQUAL(key_of(address.bucket, address.tag, bits, num_buckets), key);
    }
  }
}

void keys_beyond_the_domain_are_told() {
  for (int bits = 1; bits <= 64; ++bits) {
    const Scope scope("bits ", bits);
    for (const uint32_t num_buckets : {1u, 3u, 1u << 20, UINT32_MAX}) {
      for (const uint64_t key : {uint64_t{0}, largest(bits) / 2, largest(bits)}) {
        CHECK(address_of(key, bits, num_buckets).in_domain);
      }
      if (bits == 64) continue;
      for (const uint64_t key : {largest(bits) + 1, largest(bits) + 2, ~uint64_t{0} - 1,
                                 ~uint64_t{0}, uint64_t{1} << 63}) {
        const Address address = address_of(key, bits, num_buckets);
        CHECK(!address.in_domain);
        CHECK(address.bucket < num_buckets);  // for who reads the bucket before he looks
      }
    }
  }
}

// Sums up the squares of what a count is off the mean, in means: as many as buckets, were the keys
// thrown at random. Twice that would cost hits.
double unevenness(const std::vector<uint64_t>& keys, int bits, uint32_t num_buckets) {
  std::vector<int64_t> counts(num_buckets);
  for (const uint64_t key : keys) ++counts[address_of(key, bits, num_buckets).bucket];
  const double mean = static_cast<double>(keys.size()) / num_buckets;
  double sum = 0;
  for (const int64_t count : counts) {
    const double off = static_cast<double>(count) - mean;
    sum += off * off / mean;
  }
  return sum / num_buckets;
}

void keys_spread_evenly_over_buckets() {
  struct Pattern {
    const char* name;
    int bits;
    uint64_t first, step;
  };
  const Pattern kPatterns[] = {
      {"ids", 64, 0, 1},
      {"ids of a small domain", 24, 0, 1},
      {"ids of a middling domain", 40, 0, 1},
      {"ids from far away", 64, 0x7fff'ffff'0000'0000, 1},
      {"negative ids", 64, ~uint64_t{0} - (1 << 20), 1},
      {"even ids", 40, 0, 2},
      {"a stride", 48, 12345, 1000003},
      {"pages", 64, 0, 4096},
      {"upper halves", 64, 7, uint64_t{1} << 32},
      {"top bits alone", 64, 0, uint64_t{1} << 44},
      {"top bits of 40", 40, 0, uint64_t{1} << 20},
      {"upper halves of 48", 48, 0, uint64_t{1} << 24},
  };
  for (const Pattern& pattern : kPatterns) {
    for (const uint32_t num_buckets : {61u, 1024u, 1500u, 10007u}) {
      const Scope scope(pattern.name, ", buckets ", num_buckets);
      std::vector<uint64_t> keys;
      for (uint64_t i = 0; i < 64u * num_buckets; ++i) {
        keys.push_back((pattern.first + i * pattern.step) & largest(pattern.bits));
      }
      // Six standard deviations of what chance would give.
      const double most = 1 + 6 * std::sqrt(2.0 / num_buckets);
      const double measured = unevenness(keys, pattern.bits, num_buckets);
      if (measured > most) CHECK_EQUAL(measured, most);
    }
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"permute is a bijection of small domains", permute_is_a_bijection_of_small_domains},
      {"unpermute inverts permute of every width", unpermute_inverts_permute_of_every_width},
      {"keys of small domains have their own addresses",
       keys_of_small_domains_have_their_own_addresses},
      {"keys of domains beyond tags have their own addresses",
       keys_of_domains_beyond_tags_have_their_own_addresses},
      {"buckets take consecutive hashes", buckets_take_consecutive_hashes},
      {"exact tags end where arithmetic says", exact_tags_end_where_arithmetic_says},
      {"tags that are not exact are shared", tags_that_are_not_exact_are_shared},
      {"keys come back in large domains", keys_come_back_in_large_domains},
      {"keys beyond the domain are told", keys_beyond_the_domain_are_told},
      {"keys spread evenly over buckets", keys_spread_evenly_over_buckets},
  });
}
