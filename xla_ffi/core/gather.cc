// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/gather.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/gather_kernels.h"
#include "core/memory.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace jax_hps {

#if defined(__x86_64__)
namespace avx512 {
extern const GatherKernels kKernels;
}
namespace avx2 {
extern const GatherKernels kKernels;
}
#endif
namespace baseline {
extern const GatherKernels kKernels;
}

namespace {

const GatherKernels& choose_kernels() {
  const char* wanted = std::getenv("JAX_HPS_ISA");
  const auto may_use = [&](const GatherKernels& kernels) {
    return wanted == nullptr || kernels.isa == wanted;
  };
#if defined(__x86_64__)
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c");
  if (has_avx512 && may_use(avx512::kKernels)) return avx512::kKernels;
  if (has_avx2 && may_use(avx2::kKernels)) return avx2::kKernels;
#endif
  return baseline::kKernels;
}

// Counts something that never stands still, cheaply; only differences are used.
inline uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#endif
}

// Between what a block costs in memory (microseconds) and what one read from a disk does (50 us
// and more): 25 to 50 us on x86 CPUs, whose counters run at 2 to 4 GHz.
#if defined(__x86_64__)
constexpr uint64_t kSuspiciousTicks = 100'000;
#else
constexpr uint64_t kSuspiciousTicks = 1'000;
#endif

// Pages of this many rows are asked for together when rows are on disk only.
constexpr int64_t kWindowKeys = 512;

struct IoCounts {
  long major_faults;
  long blocks_read;
};

IoCounts thread_io() {
  rusage usage;
  ::getrusage(RUSAGE_THREAD, &usage);
  return {usage.ru_majflt, usage.ru_inblock};
}

// Whether this thread has waited for a disk since it was asked last.
bool faulted_since_asked() {
  thread_local long seen = 0;
  const long now = thread_io().major_faults;
  return std::exchange(seen, now) != now;
}

struct Kernel {
  explicit Kernel(const GatherJob& job)
      : fetch(job.index.lines ? gather_kernels().fetch(job) : nullptr),
        resolve(gather_kernels().resolve(job)),
        copy(gather_kernels().copy(job)) {}
  GatherKernels::Fetch fetch;
  GatherKernels::Resolve resolve;
  GatherKernels::Copy copy;
};

// A block on its way through the pipeline.
struct Block {
  int64_t begin = 0;
  int count = 0;
  const IndexLine* lines[kBlockKeys];
  const std::byte* rows[kBlockKeys];
};

// One thread's gather over [begin, end).
class Gatherer {
 public:
  Gatherer(const GatherJob& job, int64_t begin, int64_t end)
      : job_(job), kernel_(job), next_(begin), end_(end) {}

  int64_t run() {
    bool on_disk = false;
    while (next_ < end_) {
      if (on_disk) {
        on_disk = gather_window();
      } else {
        on_disk = gather_in_memory();
      }
    }
    return known_;
  }

 private:
  void fetch(Block& block, int64_t begin, int count) {
    block.begin = begin;
    block.count = count;
    if (kernel_.fetch) kernel_.fetch(job_, begin, count, block.lines);
  }
  void resolve(Block& block) {
    known_ += kernel_.resolve(job_, block.begin, block.count, block.lines, block.rows);
  }
  void copy(const Block& block) {
    kernel_.copy(job_, block.rows, block.count,
                 job_.out + static_cast<size_t>(block.begin) * job_.out_row_bytes());
  }

  // Runs the pipeline until the end, or until a copy had to wait for a disk (then true).
  bool gather_in_memory() {
    Block ring[3];
    // The first blocks are short, so that a cold table is noticed after one row and not after 32.
    int size = 1;
    int64_t issued = 0, resolved = 0, copied = 0;
    uint64_t before = ticks();
    bool waited = false;
    while (copied < issued || (next_ < end_ && !waited)) {
      if (next_ < end_ && !waited) {
        const int count = static_cast<int>(std::min<int64_t>(size, end_ - next_));
        fetch(ring[issued++ % 3], next_, count);
        next_ += count;
        size = std::min(4 * size, kBlockKeys);
      }
      const bool draining = next_ >= end_ || waited;
      if (resolved < issued - (draining ? 0 : 1)) resolve(ring[resolved++ % 3]);
      if (copied < issued - (draining ? 0 : 2) && copied < resolved) {
        copy(ring[copied++ % 3]);
        const uint64_t now = ticks();
        if (now - before > kSuspiciousTicks && faulted_since_asked()) waited = true;
        before = now;
      }
    }
    return waited;
  }

  // Asks for the pages of the next rows all at once, then copies the rows. Returns whether any
  // page had to be read.
  bool gather_window() {
    const int64_t count = std::min(kWindowKeys, end_ - next_);
    const long read_before = thread_io().blocks_read;
    Block blocks[kWindowKeys / kBlockKeys];
    int used = 0;
    for (int64_t done = 0; done < count; done += kBlockKeys) {
      Block& block = blocks[used++];
      fetch(block, next_ + done, static_cast<int>(std::min<int64_t>(kBlockKeys, count - done)));
      resolve(block);
      advise(block);
    }
    const bool read = thread_io().blocks_read != read_before;
    for (int i = 0; i < used; ++i) copy(blocks[i]);
    next_ += count;
    return read;
  }

  void advise(const Block& block) {
    const size_t row_bytes = job_.row_bytes();
    for (int i = 0; i < block.count; ++i) {
      const uintptr_t address = reinterpret_cast<uintptr_t>(block.rows[i]);
      const uintptr_t page = address / kPageBytes * kPageBytes;
      ::madvise(reinterpret_cast<void*>(page), address + row_bytes - page, MADV_WILLNEED);
    }
  }

  const GatherJob& job_;
  const Kernel kernel_;
  int64_t next_;
  const int64_t end_;
  int64_t known_ = 0;
};

}  // namespace

const GatherKernels& gather_kernels() {
  static const GatherKernels& kernels = choose_kernels();
  return kernels;
}

int64_t gather(const GatherJob& job, int64_t begin, int64_t end) {
  return Gatherer(job, begin, end).run();
}

void copy_rows(const GatherJob& job, const std::byte* const* rows) {
  const GatherKernels::Copy copy = gather_kernels().copy(job);
  for (int64_t done = 0; done < job.count; done += kBlockKeys) {
    copy(job, rows + done, static_cast<int>(std::min<int64_t>(kBlockKeys, job.count - done)),
         job.out + static_cast<size_t>(done) * job.out_row_bytes());
  }
}

int64_t key_at(const GatherJob& job, int64_t position) {
  switch (job.key_type) {
    case KeyType::kInt32:
      return static_cast<const int32_t*>(job.keys)[position];
    case KeyType::kUInt32:
      return static_cast<const uint32_t*>(job.keys)[position];
    case KeyType::kInt64:
      break;
  }
  return static_cast<const int64_t*>(job.keys)[position];
}

}  // namespace jax_hps
