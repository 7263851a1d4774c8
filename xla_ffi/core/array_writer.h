// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/array_layout.h"
#include "core/file.h"

namespace jax_hps {

/// Writes a sharded, uncompressed zarr3 array row after row, with the index of each shard at its
/// end. The rows of a shard lie one after the other from byte 0, so that a mapped shard is a plain
/// matrix. Files are durable once `finish` has returned; zarr.json is the caller's to write.
class ArrayWriter {
 public:
  /// `layout.num_rows` is ignored: the array is as long as what is appended.
  ArrayWriter(std::string folder, ArrayLayout layout);

  /// Appends whole rows. Throws Error(kInvalidArgument) on a broken row, Error(kIo).
  void append(const void* rows, size_t bytes);

  /// Completes the last shard and makes everything durable; returns the CRC of every shard file.
  std::vector<uint32_t> finish();

  int64_t rows_written() const { return rows_written_; }

 private:
  void open_shard();
  /// Throws unless all that was asked for before has worked: rows must not shift.
  void check_sound() const;
  void write(const void* data, size_t bytes);
  void close_shard();
  void sync_oldest();

  std::string folder_;
  ArrayLayout layout_;
  std::optional<File> shard_;
  int64_t shard_bytes_ = 0;  ///< Bytes of rows in the open shard.
  uint32_t shard_crc_ = 0;
  std::deque<File> unsynced_;
  std::vector<uint32_t> crcs_;
  int64_t rows_written_ = 0;
  bool sound_ = true;
};

}  // namespace jax_hps
