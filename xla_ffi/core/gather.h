// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/key_index.h"

namespace jax_hps {

/// Everything a gather reads and writes: `count` keys in, as many rows out.
struct GatherJob {
  const void* keys = nullptr;
  KeyType key_type = KeyType::kInt64;
  int64_t count = 0;

  /// Sparse tables: the index. Dense ones (key = row number): no lines, and the number of rows.
  KeyIndexView index;
  uint64_t num_rows = 0;

  /// Flat rows, or the address of every chunk of `chunk_rows` rows (null: `fill_row` throughout).
  const std::byte* flat = nullptr;
  const std::byte* const* chunks = nullptr;
  uint64_t chunk_rows = 0;
  const std::byte* fill_row = nullptr;

  const std::byte* default_row = nullptr;  ///< What unknown keys answer.
  DType stored = DType::kFloat32;
  int64_t dim = 0;

  DType output = DType::kFloat32;
  std::byte* out = nullptr;  ///< [count, dim] of `output`
  bool* found = nullptr;     ///< [count], or null where nobody asks

  JAX_HPS_INLINE size_t row_bytes() const { return static_cast<size_t>(dim) * itemsize(stored); }
  JAX_HPS_INLINE size_t out_row_bytes() const {
    return static_cast<size_t>(dim) * itemsize(output);
  }
};

/// Gathers keys [begin, end) of the job and returns how many were known.
///
/// Keys go through a software pipeline: fetch the index line, find the row and fetch it, copy it.
/// Rows that are on disk only are noticed by the time a copy takes; from then on the pages of the
/// keys ahead are asked for together, so that the disk sees a deep queue, until none was missing.
///
/// `on_disk` is shared by the gathers of one call: one that begins behind another one that was
/// reading from the disk need not find that out again.
int64_t gather(const GatherJob& job, int64_t begin, int64_t end,
               std::atomic<bool>* on_disk = nullptr);

/// Copies rows from their addresses to their positions in the output, converting them as a gather
/// does.
void scatter_rows(const GatherJob& job, std::span<const int64_t> positions,
                  const std::byte* const* rows);

/// The key at a position, widened.
int64_t key_at(const GatherJob& job, int64_t position);

}  // namespace jax_hps
