// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/array_layout.h"
#include "core/memory.h"

namespace jax_hps {

/// A zarr3 array on a local disk, mapped for random reads.
///
/// Every shard is checked when it is opened: its length, the CRC of its index and the bounds of
/// every entry, so that no row address lies outside its file. Files must not change afterwards.
///
/// Where all chunks are present and in order (whatever ArrayWriter wrote, and what TensorStore
/// writes), the shards are mapped one behind the other and the array is *flat*: row r lies at
/// flat() + r * row_bytes. Otherwise chunk_table() holds the address of each chunk, null for an
/// absent one, whose rows read as fill_row().
class MappedArray {
 public:
  /// `fill`: one row; empty for zeros. Throws Error(kCorrupt | kIo | kInvalidArgument).
  MappedArray(const std::string& folder, const ArrayLayout& layout, std::vector<std::byte> fill);

  const ArrayLayout& layout() const { return layout_; }
  bool is_flat() const { return chunks_.empty(); }
  const std::byte* flat() const { return region_.data(); }
  const std::vector<const std::byte*>& chunk_table() const { return chunks_; }
  const std::byte* fill_row() const { return fill_.data(); }
  const std::byte* row(int64_t row) const;

  /// Bytes of files mapped.
  size_t mapped_bytes() const;
  /// Bytes of memory held besides: the chunk table of an array that is not flat.
  size_t table_bytes() const { return chunks_.capacity() * sizeof(chunks_[0]); }

  /// For reading all rows in order: the kernel reads ahead until the end of the scan, which gives
  /// back the pages that it touched (they stay in the page cache).
  void begin_scan() const;
  void end_scan() const;

  /// Shard files that are there.
  size_t num_files() const { return files_.size(); }
  size_t file_bytes(size_t file) const { return files_.at(file).bytes; }
  /// Reads a part of a shard file into the page cache, into huge pages where kernel and file system
  /// can, and maps it. Lookups may run meanwhile. `begin` is a multiple of 2 MiB; returns the
  /// bytes read, fewer than asked for at the file's end. Throws Error(kIo).
  size_t warm(size_t file, size_t begin, size_t bytes) const;

 private:
  struct Shard;
  struct MappedFile {
    std::string path;
    std::byte* data;
    size_t bytes;
  };

  void map_flat(const std::string& folder, const std::vector<Shard>& shards);
  void map_scattered(const std::string& folder, const std::vector<Shard>& shards);
  void map_file(const std::string& path, size_t bytes, std::byte* at);

  ArrayLayout layout_;
  std::vector<std::byte> fill_;
  Mapping region_;
  std::vector<const std::byte*> chunks_;
  std::vector<MappedFile> files_;
};

}  // namespace jax_hps
