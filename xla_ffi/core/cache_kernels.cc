// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Compiled once per instruction set, each time under another name (JAX_HPS_ISA).

#include "core/cache_kernels.h"

#include <cstring>

#include "core/fetch_row.h"
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

template <typename Key>
void resolve_rows(const GatherJob& job, const View& view, CacheBlock& block) {
  const bool is_exact = view.keys == nullptr;
  block.present = 0;
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
    block.present |= uint32_t{way >= 0} << i;
    const bool has_row = way >= 0 && (block.absent >> i & 1) == 0;
    block.rows.rows[i] = has_row ? view.row(block.buckets[i], way) : job.default_row;
  }
}

// Reads the bucket of key i.
JAX_HPS_INLINE void probe(const View& view, CacheBlock& block, int i) {
  const Bucket& bucket = view.buckets[block.buckets[i]];
  block.sequences[i] = cache::load_acquire(&bucket.sequence);
  const uint32_t match = bucket.match(block.tags[i]) & (0 - (block.in_domain >> i & 1));
  block.matches[i] = static_cast<uint16_t>(match);
  block.absent |= static_cast<uint32_t>((match & bucket.absent) != 0) << i;
  if (view.keys != nullptr && match != 0) {
    cache::prefetch(view.keys + view.slot(block.buckets[i], cache::first_bit(match)));
  }
}

// Whether nobody has changed the bucket of key i since it was read.
JAX_HPS_INLINE bool stands(const Bucket& bucket, uint32_t begun) {
#if defined(JAX_HPS_WITHOUT_SEQUENCES)  // what the test of their worth is built with
  return true;
#else
  return (begun & 1) == 0 && cache::load_acquire(&bucket.sequence) == begun;
#endif
}

// Copies rows as they are; their size is known beforehand.
template <size_t kBytes>
struct FixedCopy {
  static void copy(const GatherJob& job, GatherKernels::Copy, const CacheBlock& block, int i) {
    constexpr size_t kStep = kBytes < 64 ? kBytes : 64;
    std::byte* out = job.out + static_cast<size_t>(block.rows.begin + i) * kBytes;
    for (size_t at = 0; at < kBytes; at += kStep) {
      std::memcpy(out + at, block.rows.rows[i] + at, kStep);
    }
  }
};

// Copies rows of any size, and converts them where the dtypes differ.
struct AnyCopy {
  static void copy(const GatherJob& job, GatherKernels::Copy copy_rows, const CacheBlock& block,
                   int i) {
    GatherBlock one;
    one.count = 1;
    one.rows[0] = block.rows.rows[i];
    std::byte* out = job.out + static_cast<size_t>(block.rows.begin + i) * job.out_row_bytes();
    copy_rows(job, one, GatherBlock(), out);
  }
};

template <Policy kPolicy, typename Copy>
void step(const GatherJob& job, const View& view, GatherKernels::Copy copy_rows, CacheBlock& copied,
          const CacheBlock& resolved, CacheBlock& probed, const CacheBlock& hashed) {
  const size_t row_bytes = job.row_bytes();
  uint32_t disturbed = 0, counting = 0;
  probed.absent = 0;
  const auto copy = [&](int i) {
    Copy::copy(job, copy_rows, copied, i);
    cache::fence();
    const Bucket& bucket = view.buckets[copied.buckets[i]];
    disturbed |= uint32_t{!stands(bucket, copied.sequences[i])} << i;
    counting |= uint32_t{cache::would_touch<kPolicy>(bucket, copied.ways[i] & 15)} << i;
  };
  const auto ask_bucket = [&](int i) { cache::prefetch(view.buckets + hashed.buckets[i]); };
  // Into the second level: a fifth less time for rows of 256 bytes, a third for 512, on an EPYC.
  const auto ask_row = [&](int i) { fetch_row<2>(resolved.rows.rows[i], row_bytes); };
  const bool is_full = copied.rows.count == kBlockKeys && resolved.rows.count == kBlockKeys &&
                       probed.rows.count == kBlockKeys && hashed.rows.count == kBlockKeys;
  for (int i = 0; i < kBlockKeys; ++i) {
    if (is_full || i < hashed.rows.count) ask_bucket(i);
    if (is_full || i < probed.rows.count) probe(view, probed, i);
    if (is_full || i < resolved.rows.count) ask_row(i);
    if (is_full || i < copied.rows.count) copy(i);
  }
  copied.disturbed = disturbed;
  for (uint32_t left = counting & copied.present; left != 0; left &= left - 1) {
    const int i = __builtin_ctz(left);
    cache::touch<kPolicy>(view.buckets[copied.buckets[i]], copied.ways[i]);
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

template <Policy kPolicy>
CacheKernels::Step choose_step_of(const GatherJob& job) {
  if (job.stored != job.output) return step<kPolicy, AnyCopy>;
  switch (job.row_bytes()) {
    case 16:
      return step<kPolicy, FixedCopy<16>>;
    case 32:
      return step<kPolicy, FixedCopy<32>>;
    case 64:
      return step<kPolicy, FixedCopy<64>>;
    case 128:
      return step<kPolicy, FixedCopy<128>>;
    case 256:
      return step<kPolicy, FixedCopy<256>>;
    case 512:
      return step<kPolicy, FixedCopy<512>>;
    case 1024:
      return step<kPolicy, FixedCopy<1024>>;
    default:
      return step<kPolicy, AnyCopy>;
  }
}

CacheKernels::Step choose_step(const GatherJob& job, const View& view) {
  switch (view.policy.policy) {
    case Policy::kFrequency:
      return choose_step_of<Policy::kFrequency>(job);
    case Policy::kLru:
      return choose_step_of<Policy::kLru>(job);
    case Policy::kS3Fifo:
      break;
  }
  return choose_step_of<Policy::kS3Fifo>(job);
}

#define JAX_HPS_STRING_(x) #x
#define JAX_HPS_STRING(x) JAX_HPS_STRING_(x)

}  // namespace

extern const CacheKernels kCacheKernels;
const CacheKernels kCacheKernels = {JAX_HPS_STRING(JAX_HPS_ISA), choose_hash, choose_resolve,
                                    choose_step};

}  // namespace JAX_HPS_ISA
}  // namespace jax_hps
