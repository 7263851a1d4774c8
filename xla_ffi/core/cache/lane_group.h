// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/cache/target.h"

namespace jax_hps::cache {

/// The threads that change a bucket together: lane 0 decides, all of them move the row.
///
/// A group has `kLanes`, and for each of its threads `rank()`, `broadcast(value)` of lane 0's
/// value, and `sync()`, behind which every lane's writes are seen by all. A CPU thread is a group
/// of its own; on a GPU it is a tile of a warp.
struct OneLane {
  static constexpr int kLanes = 1;
  JAX_HPS_HD int rank() const { return 0; }
  template <typename Value>
  JAX_HPS_HD Value broadcast(Value value) const {
    return value;
  }
  JAX_HPS_HD void sync() const {}
};

/// Copies a row. On a GPU both ends and the size are multiples of 16 bytes.
template <typename Group>
JAX_HPS_HD void copy_row(const Group& group, std::byte* to, const std::byte* from, uint32_t bytes) {
#if defined(__CUDA_ARCH__)
  for (uint32_t at = group.rank() * 16; at < bytes; at += Group::kLanes * 16) {
    *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(from + at);
  }
#else
  if (group.rank() == 0) std::memcpy(to, from, bytes);
#endif
}

}  // namespace jax_hps::cache
