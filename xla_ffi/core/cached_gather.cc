// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/cached_gather.h"

#include <algorithm>

#include "core/kernel_choice.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
#endif

namespace jax_hps {

#if defined(__x86_64__)
namespace avx512 {
extern const CacheKernels kCacheKernels;
}
namespace avx2 {
extern const CacheKernels kCacheKernels;
}
#endif
namespace baseline {
extern const CacheKernels kCacheKernels;
}

namespace {

// A bucket that is in somebody's hands for so long has stopped, or is swamped with insertions.
constexpr int kMaxTries = 64;

// Readers look at buckets and rows that may change under them, throw away what did, and so do
// what the thread sanitizer is there to find. It may not look.
class Speculation {
 public:
#if defined(__SANITIZE_THREAD__)
  Speculation() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~Speculation() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
#else
  Speculation() {}
#endif
  Speculation(const Speculation&) = delete;
};

// One thread's gather over [begin, end).
class CachedGatherer {
 public:
  CachedGatherer(const GatherJob& job, const cache::View& view, const CacheKernels& kernels,
                 std::vector<int64_t>& missed)
      : job_(job),
        view_(view),
        hash_(kernels.hash(job)),
        resolve_(kernels.resolve(job)),
        step_(kernels.step(job, view)),
        copy_(gather_kernels().copy(job)),
        missed_(missed) {}

  CachedCounts run(int64_t begin, int64_t end) {
    // In each step a block is hashed, the one before it probed, then resolved, then copied; empty
    // blocks go before the first and behind the last.
    CacheBlock ring[4];
    for (int64_t next = begin, step = 0, drained = 0; drained < 4; ++step) {
      const auto block = [&](int64_t age) -> CacheBlock& { return ring[(step - age) & 3]; };
      const int64_t count = std::min<int64_t>(kBlockKeys, end - next);
      drained = count > 0 ? 0 : drained + 1;
      block(0).rows.begin = next;
      block(0).rows.count = static_cast<int>(count);
      next += count;
      {
        const Speculation speculation;
        hash_(job_, view_, block(0));
        resolve_(job_, view_, block(2));
        step_(job_, view_, copy_, block(3), block(2), block(1), block(0));
      }
      finish(block(3));
    }
    return counts_;
  }

 private:
  void copy(const GatherBlock& block) {
    std::byte* out = job_.out + static_cast<size_t>(block.begin) * job_.out_row_bytes();
    copy_(job_, block, GatherBlock(), out);
  }

  void finish(CacheBlock& block) {
    for (uint32_t left = block.disturbed; left != 0; left &= left - 1) {
      read_again(block, __builtin_ctz(left));
    }
    const uint32_t all = static_cast<uint32_t>((uint64_t{1} << block.rows.count) - 1);
    const uint32_t absent = block.present & block.absent, hits = block.present & ~block.absent;
    counts_.hits += __builtin_popcount(hits);
    counts_.absent += __builtin_popcount(absent);
    for (uint32_t left = all & ~block.present; left != 0; left &= left - 1) {
      missed_.push_back(block.rows.begin + __builtin_ctz(left));
    }
    if (!job_.found) return;
    for (int i = 0; i < block.rows.count; ++i) {
      job_.found[block.rows.begin + i] = (hits >> i & 1) != 0;
    }
  }

  void read_again(CacheBlock& block, int i) {
    const int64_t position = block.rows.begin + i;
    const uint64_t key = static_cast<uint64_t>(key_at(job_, position));
    const cache::Address address = view_.address(key);
    const cache::Bucket& bucket = view_.buckets[address.bucket];
    block.present &= ~(1u << i);
    block.absent &= ~(1u << i);
    GatherBlock one;
    one.begin = position;
    one.count = 1;
    for (int tries = 0; tries < kMaxTries; ++tries, cache::relax()) {
      const uint32_t begun = cache::load_acquire(&bucket.sequence);
      if ((begun & 1) != 0) continue;
      const Speculation speculation;
      const int way = view_.find(key, address);
      const bool is_absent = way >= 0 && (bucket.absent >> way & 1) != 0;
      one.rows[0] = way >= 0 && !is_absent ? view_.row(address.bucket, way) : job_.default_row;
      copy(one);
      cache::fence();
      if (cache::load_acquire(&bucket.sequence) != begun) continue;
      block.present |= uint32_t{way >= 0} << i;
      block.absent |= uint32_t{is_absent} << i;
      return;
    }
    one.rows[0] = job_.default_row;
    copy(one);
  }

  const GatherJob& job_;
  const cache::View& view_;
  const CacheKernels::Hash hash_;
  const CacheKernels::Resolve resolve_;
  const CacheKernels::Step step_;
  const GatherKernels::Copy copy_;
  std::vector<int64_t>& missed_;
  CachedCounts counts_;
};

}  // namespace

const CacheKernels& cache_kernels() {
#if defined(__x86_64__)
  static const CacheKernels& kernels =
      choose_kernels(avx512::kCacheKernels, avx2::kCacheKernels, baseline::kCacheKernels);
  return kernels;
#else
  return baseline::kCacheKernels;
#endif
}

CachedCounts gather_cached(const GatherJob& job, const cache::View& view, int64_t begin,
                           int64_t end, std::vector<int64_t>& missed, const CacheKernels& kernels) {
  return CachedGatherer(job, view, kernels, missed).run(begin, end);
}

}  // namespace jax_hps
