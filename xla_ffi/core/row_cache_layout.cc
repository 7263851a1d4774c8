// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/row_cache_layout.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <string>

#include "core/cache/address.h"
#include "core/error.h"
#include "core/memory.h"

namespace jax_hps {
namespace {

using cache::kWays;

constexpr int64_t kMaxRowBytes = 1 << 24;
constexpr int64_t kMaxBuckets = UINT32_MAX;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "row cache: " + what);
}

// Rows start at multiples of 16 bytes, as vector moves like them; short ones at their own size.
uint32_t stride_of(int64_t row_bytes) {
  const uint64_t bytes = static_cast<uint64_t>(row_bytes);
  return static_cast<uint32_t>(bytes < 16 ? std::bit_ceil(bytes) : round_up(bytes, 16));
}

size_t bucket_bytes(uint32_t row_stride, bool is_exact) {
  const size_t key_bytes = is_exact ? 0 : sizeof(uint64_t);
  return sizeof(cache::Bucket) + sizeof(cache::History) + kWays * (row_stride + key_bytes);
}

// The most that can be used of an allocation within the budget.
size_t usable_bytes(size_t budget) {
  const size_t unit = budget >= kHugePageBytes ? kHugePageBytes : kPageBytes;
  return budget / unit * unit;
}

void check(const RowCacheOptions& options) {
  if (options.row_bytes < 1 || options.row_bytes > kMaxRowBytes) {
    refuse("expected rows of 1 to " + std::to_string(kMaxRowBytes) + " bytes, got " +
           std::to_string(options.row_bytes) + ".");
  }
  if (options.key_bits < 1 || options.key_bits > 64) {
    refuse("expected keys of 1 to 64 bits, got " + std::to_string(options.key_bits) + ".");
  }
  if ((options.num_rows == 0) == (options.bytes == 0) || options.num_rows < 0) {
    refuse("expected a size above 0 in rows or in bytes, got " + std::to_string(options.num_rows) +
           " rows and " + std::to_string(options.bytes) + " bytes.");
  }
  if (options.num_rows > kMaxBuckets * kWays) {
    refuse("expected at most " + std::to_string(kMaxBuckets * kWays) + " rows, got " +
           std::to_string(options.num_rows) + ".");
  }
}

}  // namespace

void check_memory(const RowCacheLayout& layout) {
  const size_t installed =
      static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (layout.total_bytes > installed) {
    throw Error(ErrorCode::kInvalidArgument,
                "row cache: " + std::to_string(layout.num_rows()) + " rows take " +
                    std::to_string(layout.total_bytes) + " bytes, more than this machine's " +
                    std::to_string(installed) + " bytes of memory. Make the cache smaller.");
  }
}

RowCacheLayout::RowCacheLayout(const RowCacheOptions& options) {
  check(options);
  row_bytes = static_cast<uint32_t>(options.row_bytes);
  row_stride = stride_of(options.row_bytes);
  is_exact = options.exact.value_or(true);
  const auto set_size = [&] {
    if (options.num_rows > 0) {
      num_buckets = static_cast<uint32_t>((options.num_rows + kWays - 1) / kWays);
    } else {
      fit(options.bytes);
    }
  };
  set_size();
  if (is_exact && !cache::tags_are_exact(options.key_bits, num_buckets)) {
    if (options.exact) {
      refuse("keys of " + std::to_string(options.key_bits) + " bits in " +
             std::to_string(num_buckets) + " buckets cannot be told apart by tags of " +
             std::to_string(cache::kTagBits) + " bits: that takes at least " +
             std::to_string((uint64_t{1} << std::min(options.key_bits - cache::kTagBits, 63))) +
             " buckets. Make the cache larger, or let it keep keys.");
    }
    is_exact = false;
    set_size();
  }
  set_offsets();
}

void RowCacheLayout::fit(size_t bytes) {
  const size_t per_bucket = bucket_bytes(row_stride, is_exact);
  // Each of the four parts starts at a line of its own.
  const size_t usable = usable_bytes(bytes);
  const size_t padding = 4 * 64;
  if (usable < per_bucket + padding) {
    refuse(std::to_string(bytes) + " bytes hold no bucket of " + std::to_string(kWays) +
           " rows of " + std::to_string(row_bytes) + " bytes. Give it at least " +
           std::to_string(allocation_bytes(per_bucket + padding)) + " bytes.");
  }
  const size_t fitting = (usable - padding) / per_bucket;
  num_buckets = static_cast<uint32_t>(std::min<size_t>(fitting, kMaxBuckets));
}

void RowCacheLayout::set_offsets() {
  const size_t count = num_buckets;
  history_offset = count * sizeof(cache::Bucket);
  keys_offset = round_up(history_offset + count * sizeof(cache::History), 64);
  rows_offset = round_up(keys_offset + (is_exact ? 0 : count * kWays * sizeof(uint64_t)), 64);
  total_bytes = allocation_bytes(rows_offset + count * kWays * row_stride);
}

}  // namespace jax_hps
