// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Compiled once per instruction set, each time under another name (JAX_HPS_ISA).

#include "core/cache_kernels.h"

#include "core/in_step.h"
#include "core/load_key.h"

namespace jax_hps {
namespace JAX_HPS_ISA {
namespace {

using cache::Address;
using cache::Bucket;
using cache::Policy;
using cache::View;

template <typename Key>
void hash_keys(const GatherJob& job, const View& view, CacheBlock& block) {
  block.in_domain = 0;
  for (int i = 0; i < block.rows.count; ++i) {
    const int64_t key = load_key<Key>(job, block.rows.begin + i);
    const Address address = view.address(static_cast<uint64_t>(key));
    block.buckets[i] = address.bucket;
    block.tags[i] = address.tag;
    block.in_domain |= uint32_t{address.in_domain} << i;
  }
}

void probe_buckets(const View& view, CacheBlock& block, const CacheBlock& ahead) {
  block.absent = 0;
  const auto probe = [&](int i) {
    const Bucket& bucket = view.buckets[block.buckets[i]];
    block.sequences[i] = cache::load_acquire(&bucket.sequence);
    const uint32_t match = bucket.match(block.tags[i]) & (0 - (block.in_domain >> i & 1));
    block.matches[i] = static_cast<uint16_t>(match);
    block.absent |= static_cast<uint32_t>((match & bucket.absent) != 0) << i;
    if (view.keys != nullptr && match != 0) {
      cache::prefetch(view.keys + view.slot(block.buckets[i], cache::first_bit(match)));
    }
  };
  in_step(block.rows.count, ahead.rows.count, probe,
          [&](int i) { cache::prefetch(view.buckets + ahead.buckets[i]); });
}

template <typename Key>
void resolve_rows(const GatherJob& job, const View& view, CacheBlock& block) {
  const bool is_exact = view.keys == nullptr;
  for (int i = 0; i < block.rows.count; ++i) {
    int way;
    if (is_exact) {
      way = block.matches[i] != 0 ? cache::first_bit(block.matches[i]) : -1;
    } else {
      const int64_t key = load_key<Key>(job, block.rows.begin + i);
      way = view.verify(static_cast<uint64_t>(key), {block.buckets[i], 0, true}, block.matches[i]);
      // Another key's tag may have matched, and been marked absent.
      const Bucket& bucket = view.buckets[block.buckets[i]];
      const bool is_absent = way >= 0 && (bucket.absent >> way & 1) != 0;
      block.absent = (block.absent & ~(1u << i)) | uint32_t{is_absent} << i;
    }
    block.ways[i] = static_cast<int8_t>(way);
    const bool has_row = way >= 0 && (block.absent >> i & 1) == 0;
    block.rows.rows[i] = has_row ? view.row(block.buckets[i], way) : job.default_row;
  }
}

template <Policy kPolicy>
void settle(const View& view, CacheBlock& block) {
  cache::fence();
  block.disturbed = 0;
  for (int i = 0; i < block.rows.count; ++i) {
    Bucket& bucket = view.buckets[block.buckets[i]];
    const uint32_t begun = block.sequences[i];
#if defined(JAX_HPS_WITHOUT_SEQUENCES)  // what the test of their worth is built with
    const bool stands = true;
#else
    const bool stands = (begun & 1) == 0 && cache::load_acquire(&bucket.sequence) == begun;
#endif
    block.disturbed |= uint32_t{!stands} << i;
    if (block.ways[i] >= 0) cache::touch<kPolicy>(bucket, block.ways[i]);
  }
}

CacheKernels::Hash choose_hash(const GatherJob& job) {
  constexpr CacheKernels::Hash kByKey[] = {hash_keys<int32_t>, hash_keys<uint32_t>,
                                           hash_keys<int64_t>};
  return kByKey[static_cast<int>(job.key_type)];
}

CacheKernels::Resolve choose_resolve(const GatherJob& job) {
  constexpr CacheKernels::Resolve kByKey[] = {resolve_rows<int32_t>, resolve_rows<uint32_t>,
                                              resolve_rows<int64_t>};
  return kByKey[static_cast<int>(job.key_type)];
}

CacheKernels::Settle choose_settle(const View& view) {
  constexpr CacheKernels::Settle kByPolicy[] = {settle<Policy::kFrequency>, settle<Policy::kLru>,
                                                settle<Policy::kS3Fifo>};
  return kByPolicy[static_cast<int>(view.policy.policy)];
}

#define JAX_HPS_STRING_(x) #x
#define JAX_HPS_STRING(x) JAX_HPS_STRING_(x)

}  // namespace

extern const CacheKernels kCacheKernels;
const CacheKernels kCacheKernels = {JAX_HPS_STRING(JAX_HPS_ISA), choose_hash, probe_buckets,
                                    choose_resolve, choose_settle};

}  // namespace JAX_HPS_ISA
}  // namespace jax_hps
