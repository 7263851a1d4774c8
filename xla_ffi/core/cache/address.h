// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/bucket.h"

namespace jax_hps::cache {

/// Where a key belongs.
struct Address {
  uint32_t bucket;
  uint32_t tag;
  bool in_domain;  ///< False: no key of this cache; bucket and tag mean nothing.
};

inline constexpr uint64_t kFirstFactor = 0xd6e8feb86659fd93u;
inline constexpr uint64_t kSecondFactor = 0xa0761d6478bd642fu;

/// A bijection of [0, 2^bits), 1 <= bits <= 64: odd multiplications modulo 2^bits, and xors with
/// the upper half, which undo themselves.
JAX_HPS_HD uint64_t permute(uint64_t key, int bits, uint64_t first = kFirstFactor,
                            uint64_t second = kSecondFactor) {
  const uint64_t mask = ~uint64_t{0} >> (64 - bits);
  const int half = (bits + 1) / 2;
  uint64_t hash = key & mask;
  hash ^= hash >> half;
  hash = (hash * first) & mask;
  hash ^= hash >> half;
  hash = (hash * second) & mask;
  hash ^= hash >> half;
  return hash;
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each step doubles the bits.
JAX_HPS_HD constexpr uint64_t inverse(uint64_t odd) {
  uint64_t result = odd;  // right in its three lowest bits
  for (int bits = 3; bits < 64; bits *= 2) result *= 2 - odd * result;
  return result;
}

JAX_HPS_HD uint64_t unpermute(uint64_t hash, int bits) {
  return permute(hash, bits, inverse(kSecondFactor), inverse(kFirstFactor));
}

/// Buckets take consecutive ranges of the permuted keys, tags their low bits. So where a range is
/// no longer than the tags are many, bucket and tag together are the key.
JAX_HPS_HD Address address_of(uint64_t key, int key_bits, uint32_t num_buckets) {
  const uint64_t hash = permute(key, key_bits);
  Address address;
  address.bucket = static_cast<uint32_t>(multiply_high(hash << (64 - key_bits), num_buckets));
  address.tag = static_cast<uint32_t>(hash & ((1u << kTagBits) - 1));
  address.in_domain = key <= ~uint64_t{0} >> (64 - key_bits);
  return address;
}

/// Whether tags of this many buckets tell all keys of `key_bits` bits apart.
JAX_HPS_HD bool tags_are_exact(int key_bits, uint32_t num_buckets) {
  if (key_bits <= kTagBits) return true;
  // num_buckets is below 2^32: more bits than that and the tags' never are.
  if (key_bits > kTagBits + 32) return false;
  const uint64_t longest_range = ((uint64_t{1} << key_bits) - 1) / num_buckets + 1;
  return longest_range <= uint64_t{1} << kTagBits;
}

/// The key of a bucket's tag, where tags are exact.
JAX_HPS_HD uint64_t key_of(uint32_t bucket, uint32_t tag, int key_bits, uint32_t num_buckets) {
  // The bucket's first hash, ceil(bucket * 2^key_bits / num_buckets) without overflow.
  const uint64_t domain = uint64_t{1} << key_bits;
  const uint64_t whole = domain / num_buckets, rest = domain % num_buckets;
  const uint64_t first = bucket * whole + (bucket * rest + num_buckets - 1) / num_buckets;
  return unpermute(first + ((tag - first) & ((1u << kTagBits) - 1)), key_bits);
}

}  // namespace jax_hps::cache
