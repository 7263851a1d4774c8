// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/array_layout.h"

#include <algorithm>

#include "core/error.h"

namespace jax_hps {

void ArrayLayout::check() const {
  const bool sound = (rank == 1 || rank == 2) && num_rows >= 0 && row_bytes > 0 && chunk_rows > 0 &&
                     shard_rows > 0 && shard_rows % chunk_rows == 0 &&
                     (sharded || chunk_rows == shard_rows) &&
                     // No product or sum of these overflows, the bytes of an index included.
                     num_rows <= INT64_MAX / row_bytes / 2 &&
                     shard_rows <= INT64_MAX / std::max<int64_t>(row_bytes, 16) / 2;
  if (!sound) {
    throw Error(
        ErrorCode::kInvalidArgument,
        "array layout: expected rank 1 or 2, positive row_bytes, and chunk_rows that divide "
        "shard_rows (equal where unsharded), got rank " +
            std::to_string(rank) + ", num_rows " + std::to_string(num_rows) + ", row_bytes " +
            std::to_string(row_bytes) + ", shard_rows " + std::to_string(shard_rows) +
            ", chunk_rows " + std::to_string(chunk_rows) + ".");
  }
}

}  // namespace jax_hps
