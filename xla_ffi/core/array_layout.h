// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace jax_hps {

/// How a zarr3 array [rows, columns] (or [rows]) lies in the files below its folder.
///
/// A shard file holds its inner chunks, each `chunk_rows` whole rows, and an index: for each
/// chunk two little-endian uint64, offset and length (both 2^64-1: chunk absent), and then the
/// CRC-32C of those. An unsharded array has one chunk a file and no index.
struct ArrayLayout {
  int rank = 2;  ///< 2: files c/<shard>/0; 1: files c/<shard>
  int64_t num_rows = 0;
  int64_t row_bytes = 0;
  int64_t shard_rows = 0;
  int64_t chunk_rows = 0;  ///< Divides shard_rows.
  bool sharded = true;
  bool index_at_end = true;

  int64_t num_shards() const { return (num_rows + shard_rows - 1) / shard_rows; }
  int64_t chunks_per_shard() const { return shard_rows / chunk_rows; }
  int64_t chunk_bytes() const { return chunk_rows * row_bytes; }
  int64_t index_bytes() const { return sharded ? chunks_per_shard() * 16 + 4 : 0; }

  /// Chunks of a shard that hold at least one row; the last shard may need fewer than it could.
  int64_t chunks_in_shard(int64_t shard) const {
    const int64_t rows = std::min(shard_rows, num_rows - shard * shard_rows);
    return (rows + chunk_rows - 1) / chunk_rows;
  }

  std::string shard_folder(const std::string& folder, int64_t shard) const {
    return rank == 2 ? folder + "/c/" + std::to_string(shard) : folder + "/c";
  }
  std::string shard_path(const std::string& folder, int64_t shard) const {
    return folder + "/c/" + std::to_string(shard) + (rank == 2 ? "/0" : "");
  }

  /// Throws Error(kInvalidArgument) unless the numbers fit each other.
  void check() const;
};

/// Offset and length of a chunk that is not there.
inline constexpr uint64_t kAbsent = ~uint64_t{0};

}  // namespace jax_hps
