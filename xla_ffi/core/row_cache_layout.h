// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/cache/policy.h"

namespace jax_hps {

/// What a cache shall be like. Its size is given by rows or by bytes, one of them.
struct RowCacheOptions {
  int64_t num_rows = 0;
  size_t bytes = 0;  ///< everything included
  int64_t row_bytes = 0;
  int key_bits = 64;          ///< Keys are in [0, 2^key_bits); others are never cached.
  std::optional<bool> exact;  ///< Do without a key per row; nothing: where the domain allows it.
  cache::PolicyOptions policy;
};

/// How such a cache lies in memory: buckets, their history, keys, rows.
struct RowCacheLayout {
  /// Throws Error(kInvalidArgument) with the numbers where it cannot be.
  explicit RowCacheLayout(const RowCacheOptions& options);

  int64_t num_rows() const { return int64_t{num_buckets} * cache::kWays; }

  uint32_t num_buckets = 0;
  uint32_t row_bytes = 0;
  uint32_t row_stride = 0;
  bool is_exact = false;
  size_t history_offset = 0;
  size_t keys_offset = 0;
  size_t rows_offset = 0;
  size_t total_bytes = 0;  ///< what is allocated, whole pages

 private:
  void set_offsets();
  void fit(size_t bytes);
};

/// Throws Error(kInvalidArgument) where the machine has not so much memory.
void check_memory(const RowCacheLayout& layout);

}  // namespace jax_hps
