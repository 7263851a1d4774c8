// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/address.h"
#include "core/cache/policy.h"

namespace jax_hps::cache {

/// A cache as kernels see it; copied into them by value.
struct View {
  Bucket* buckets = nullptr;
  History* history = nullptr;
  uint64_t* keys = nullptr;  ///< Of each slot, to verify matching tags; null where tags are exact.
  std::byte* rows = nullptr;
  uint32_t num_buckets = 0;
  uint32_t row_bytes = 0;
  uint32_t row_stride = 0;
  int key_bits = 64;
  PolicyOptions policy;

  JAX_HPS_HD Address address(uint64_t key) const { return address_of(key, key_bits, num_buckets); }
  JAX_HPS_HD uint64_t slot(uint32_t bucket, int way) const {
    return uint64_t{bucket} * kWays + static_cast<uint32_t>(way);
  }
  JAX_HPS_HD std::byte* row(uint32_t bucket, int way) const {
    return rows + slot(bucket, way) * row_stride;
  }

  /// The way of the key among those whose tags match, -1 if it is none of them.
  JAX_HPS_HD int verify(uint64_t key, const Address& address, uint32_t match) const {
    if (keys == nullptr) return match != 0 && address.in_domain ? first_bit(match) : -1;
    for (; match != 0; match &= match - 1) {
      const int way = first_bit(match);
      if (keys[slot(address.bucket, way)] == key) return way;
    }
    return -1;
  }

  /// The key that a way holds.
  JAX_HPS_HD uint64_t key_in(uint32_t bucket, int way) const {
    if (keys != nullptr) return keys[slot(bucket, way)];
    const uint32_t high = buckets[bucket].tag_high[way];
    return key_of(bucket, high << 16 | buckets[bucket].tag_low[way], key_bits, num_buckets);
  }

  /// The way of the key, -1 if the cache does not have it.
  JAX_HPS_HD int find(uint64_t key, const Address& address) const {
    return verify(key, address, buckets[address.bucket].match(address.tag));
  }
};

}  // namespace jax_hps::cache
