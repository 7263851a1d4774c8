// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Whether the cache's core compiles for GPUs: each of its parts in a kernel, with tiles of eight
// lanes. Nothing here is run.

#include <cooperative_groups.h>

#include "core/cache/change.h"

namespace jax_hps::cache {
namespace {

namespace cg = cooperative_groups;

/// A part of a warp that changes a bucket together.
template <int kSize>
struct Tile {
  static constexpr int kLanes = kSize;
  cg::thread_block_tile<kSize> tile;

  __device__ int rank() const { return static_cast<int>(tile.thread_rank()); }
  template <typename Value>
  __device__ Value broadcast(Value value) const {
    return tile.shfl(value, 0);
  }
  __device__ void sync() const { tile.sync(); }
};

using EightLanes = Tile<8>;

__device__ EightLanes my_tile() { return {cg::tiled_partition<8>(cg::this_thread_block())}; }

__device__ int64_t my_number() {
  return (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / EightLanes::kLanes;
}

/// Says no where an update has come before.
struct NotAbove {
  const uint64_t* moved;
  uint64_t since;
  __device__ bool operator()() const { return *moved <= since; }
};

}  // namespace

__global__ void addresses(View view, const uint64_t* keys, Address* out, uint64_t* back) {
  const int64_t i = my_number();
  out[i] = view.address(keys[i]);
  back[i] = key_of(out[i].bucket, out[i].tag, view.key_bits, view.num_buckets);
}

template <Policy kPolicy>
__global__ void find(View view, const uint64_t* keys, const std::byte** rows, bool* stands) {
  const int64_t i = my_number();
  const Address address = view.address(keys[i]);
  Bucket& bucket = view.buckets[address.bucket];
  const uint32_t begun = load_acquire(&bucket.sequence);
  prefetch(&bucket);
  const int way = view.find(keys[i], address);
  rows[i] = way >= 0 ? view.row(address.bucket, way) : nullptr;
  if (way >= 0) touch<kPolicy>(bucket, way);
  fence();
  stands[i] = (begun & 1) == 0 && load_acquire(&bucket.sequence) == begun;
}
template __global__ void find<Policy::kFrequency>(View, const uint64_t*, const std::byte**, bool*);
template __global__ void find<Policy::kLru>(View, const uint64_t*, const std::byte**, bool*);
template __global__ void find<Policy::kS3Fifo>(View, const uint64_t*, const std::byte**, bool*);

__global__ void prepare(View view) {
  const int64_t i = my_number();
  begin(view.policy, view.buckets[i], view.history[i]);
}

__global__ void insert_rows(View view, Ageing ageing, const uint64_t* keys, const std::byte* rows,
                            const uint32_t* counts, const uint64_t* moved, uint64_t since,
                            InsertionResult* results) {
  const int64_t i = my_number();
  const EightLanes tile = my_tile();
  const std::byte* row = rows + i * view.row_bytes;
  const InsertionResult result =
      insert(tile, view, ageing, keys[i], row, counts[i], NotAbove{moved, since});
  if (tile.rank() == 0) results[i] = result;
}

__global__ void insert_absences(View view, Ageing ageing, const uint64_t* keys) {
  insert(my_tile(), view, ageing, keys[my_number()], nullptr, 1);
}

__global__ void overwrite_rows(View view, const uint64_t* keys, const std::byte* rows, bool* held) {
  const int64_t i = my_number();
  const EightLanes tile = my_tile();
  const bool is_held = overwrite(tile, view, keys[i], rows + i * view.row_bytes);
  if (tile.rank() == 0) held[i] = is_held;
}

__global__ void erase_keys(View view, const uint64_t* keys, bool* held) {
  const int64_t i = my_number();
  if (my_tile().rank() == 0) held[i] = erase(view, keys[i]);
}

}  // namespace jax_hps::cache
