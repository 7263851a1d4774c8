// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/gather.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "core/gather_kernels.h"
#include "core/kernel_choice.h"
#include "core/load_key.h"
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

// Counts something that never stands still, cheaply; only differences are used.
inline uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
#error "ticks(): name this CPU's counter"
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

// One thread's gather over [begin, end).
class Gatherer {
 public:
  Gatherer(const GatherJob& job, int64_t begin, int64_t end, bool on_disk)
      : job_(job),
        sparse_(job.index.lines != nullptr),
        hash_(gather_kernels().hash(job)),
        probe_(gather_kernels().probe(job)),
        resolve_(gather_kernels().resolve(job)),
        copy_(gather_kernels().copy(job)),
        next_(begin),
        end_(end),
        on_disk_(on_disk) {}

  /// Gathers; how many keys were known.
  int64_t run() {
    while (next_ < end_) {
      if (on_disk_) {
        gather_from_disk();
      } else {
        gather_from_memory();
      }
    }
    return known_;
  }

  /// Whether the last rows came from the disk.
  bool on_disk() const { return on_disk_; }

 private:
  void hash(GatherBlock& block, int64_t count) {
    block.begin = next_;
    block.count = static_cast<int>(count);
    next_ += count;
    if (sparse_) hash_(job_, block);
  }
  void probe(GatherBlock& block, const GatherBlock& ahead) {
    if (sparse_) probe_(job_, block, ahead);
  }
  void resolve(GatherBlock& block) { known_ += resolve_(job_, block); }
  void copy(const GatherBlock& block, const GatherBlock& ahead) {
    copy_(job_, block, ahead, job_.out + static_cast<size_t>(block.begin) * job_.out_row_bytes());
  }

  // Runs the pipeline until the end, or until a copy had to wait for a disk.
  void gather_from_memory() {
    // In each step a block is hashed, the one before it probed, then resolved, then copied; empty
    // blocks go before the first and behind the last.
    GatherBlock ring[4];
    // The first blocks are short, so that a cold table is noticed after one row and not after 32.
    int64_t size = 1;
    uint64_t before = ticks();
    for (int64_t step = 0, drained = 0; drained < 4; ++step) {
      const auto block = [&](int64_t age) -> GatherBlock& { return ring[(step - age) & 3]; };
      const int64_t count = on_disk_ ? 0 : std::min(size, end_ - next_);
      hash(block(0), count);
      probe(block(1), block(0));
      resolve(block(2));
      if (on_disk_) advise(block(2));
      copy(block(3), block(2));
      const uint64_t now = ticks();
      if (now - before > kSuspiciousTicks && faulted_since_asked()) on_disk_ = true;
      before = now;
      size = std::min<int64_t>(4 * size, kBlockKeys);
      drained = count > 0 ? 0 : drained + 1;
    }
  }

  // A run of blocks whose pages are asked for together.
  struct Window {
    int64_t count = 0;  // of keys
    GatherBlock blocks[kWindowKeys / kBlockKeys];
  };

  // Asks for the pages of the next keys, one window ahead of the one that is copied, until the end
  // or until a window had all its pages.
  void gather_from_disk() {
    Window windows[2];
    ask_for(windows[0]);
    for (int i = 0; windows[i].count > 0; i = 1 - i) {
      windows[1 - i].count = 0;
      if (on_disk_ && next_ < end_) ask_for(windows[1 - i]);
      for (int64_t done = 0; done < windows[i].count; done += kBlockKeys) {
        copy(windows[i].blocks[done / kBlockKeys], GatherBlock());
      }
    }
  }

  // Resolves the next keys and asks for their pages, and sees whether any had to be read.
  void ask_for(Window& window) {
    window.count = std::min(kWindowKeys, end_ - next_);
    const long read_before = thread_io().blocks_read;
    for (int64_t done = 0; done < window.count; done += kBlockKeys) {
      GatherBlock& block = window.blocks[done / kBlockKeys];
      hash(block, std::min<int64_t>(kBlockKeys, window.count - done));
      probe(block, GatherBlock());
      resolve(block);
      advise(block);
    }
    on_disk_ = thread_io().blocks_read != read_before;
  }

  void advise(const GatherBlock& block) {
    const size_t row_bytes = job_.row_bytes();
    for (int i = 0; i < block.count; ++i) {
      if (block.rows[i] == job_.default_row || block.rows[i] == job_.fill_row) continue;
      const uintptr_t address = reinterpret_cast<uintptr_t>(block.rows[i]);
      const uintptr_t page = address / kPageBytes * kPageBytes;
      ::madvise(reinterpret_cast<void*>(page), address + row_bytes - page, MADV_WILLNEED);
    }
  }

  const GatherJob& job_;
  const bool sparse_;
  const GatherKernels::Hash hash_;
  const GatherKernels::Probe probe_;
  const GatherKernels::Resolve resolve_;
  const GatherKernels::Copy copy_;
  int64_t next_;
  const int64_t end_;
  bool on_disk_;
  int64_t known_ = 0;
};

}  // namespace

const GatherKernels& gather_kernels() {
#if defined(__x86_64__)
  static const GatherKernels& kernels =
      choose_kernels(avx512::kKernels, avx2::kKernels, baseline::kKernels);
  return kernels;
#else
  return baseline::kKernels;
#endif
}

int64_t gather(const GatherJob& job, int64_t begin, int64_t end, std::atomic<bool>* on_disk) {
  Gatherer gatherer(job, begin, end, on_disk && on_disk->load(std::memory_order_relaxed));
  const int64_t known = gatherer.run();
  if (on_disk) on_disk->store(gatherer.on_disk(), std::memory_order_relaxed);
  return known;
}

void scatter_rows(const GatherJob& job, std::span<const int64_t> positions,
                  const std::byte* const* rows) {
  const GatherKernels::Copy copy = gather_kernels().copy(job);
  GatherBlock one;
  one.count = 1;
  for (size_t i = 0; i < positions.size(); ++i) {
    one.rows[0] = rows[i];
    copy(job, one, GatherBlock(),
         job.out + static_cast<size_t>(positions[i]) * job.out_row_bytes());
  }
}

int64_t key_at(const GatherJob& job, int64_t position) {
  switch (job.key_type) {
    case KeyType::kInt32:
      return load_key<int32_t>(job, position);
    case KeyType::kUInt32:
      return load_key<uint32_t>(job, position);
    case KeyType::kInt64:
      break;
  }
  return load_key<int64_t>(job, position);
}

}  // namespace jax_hps
