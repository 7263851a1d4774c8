// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <optional>

#include "core/crc32c.h"
#include "fixtures.h"

/// A second, slow implementation of the layout, to hold the first one against.
namespace jax_hps::test {

struct IndexEntry {
  uint64_t offset = kAbsent;
  uint64_t length = kAbsent;
};

/// The bytes of an index: entries, then their CRC.
inline Bytes index_of(const std::vector<IndexEntry>& entries) {
  Bytes bytes(entries.size() * 16 + 4);
  if (!entries.empty()) std::memcpy(bytes.data(), entries.data(), entries.size() * 16);
  const uint32_t crc = crc32c(bytes.data(), bytes.size() - 4);
  std::memcpy(bytes.data() + entries.size() * 16, &crc, 4);
  return bytes;
}

inline Bytes join(const Bytes& first, const Bytes& second) {
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  return both;
}

/// A shard of data and index, at the end or at the start as the layout says.
inline Bytes shard_of(const ArrayLayout& layout, const Bytes& data,
                      const std::vector<IndexEntry>& entries) {
  return layout.index_at_end ? join(data, index_of(entries)) : join(index_of(entries), data);
}

inline std::vector<IndexEntry> entries_of(const Bytes& index) {
  std::vector<IndexEntry> entries(index.size() / 16);
  if (!entries.empty()) std::memcpy(entries.data(), index.data(), entries.size() * 16);
  return entries;
}

/// The index of a shard file, or nothing if it is too short or its CRC is wrong.
inline std::optional<std::vector<IndexEntry>> find_index(const ArrayLayout& layout,
                                                         const Bytes& file) {
  const size_t index_bytes = static_cast<size_t>(layout.index_bytes());
  if (file.size() < index_bytes) return std::nullopt;
  const auto begin = layout.index_at_end ? file.end() - layout.index_bytes() : file.begin();
  const Bytes index(begin, begin + layout.index_bytes());
  const std::vector<IndexEntry> entries = entries_of(index);
  if (index_of(entries) != index) return std::nullopt;
  return entries;
}

/// What the rows of a shard file must read as; nothing if the file is corrupt.
inline std::optional<Bytes> reference_shard(const ArrayLayout& layout, int64_t shard,
                                            const Bytes& file, const Bytes& fill) {
  std::vector<IndexEntry> entries = {{0, file.size()}};
  if (layout.sharded) {
    auto index = find_index(layout, file);
    if (!index) return std::nullopt;
    entries = *index;
  }
  const unsigned __int128 file_bytes = file.size();
  Bytes rows;
  for (int64_t chunk = 0; chunk < layout.chunks_in_shard(shard); ++chunk) {
    const auto [offset, length] = entries[static_cast<size_t>(chunk)];
    if (offset == kAbsent && length == kAbsent) {
      for (int64_t row = 0; row < layout.chunk_rows; ++row) rows = join(rows, fill);
      continue;
    }
    const auto end = static_cast<unsigned __int128>(offset) + length;
    if (length != static_cast<uint64_t>(layout.chunk_bytes()) || end > file_bytes) {
      return std::nullopt;
    }
    rows.insert(rows.end(), file.begin() + static_cast<int64_t>(offset),
                file.begin() + static_cast<int64_t>(offset + length));
  }
  const int64_t num_rows = std::min(layout.shard_rows, layout.num_rows - shard * layout.shard_rows);
  rows.resize(static_cast<size_t>(num_rows * layout.row_bytes));
  return rows;
}

/// What the rows of an array must read as; nothing if a file is corrupt.
inline std::optional<Bytes> reference_array(const std::string& folder, const ArrayLayout& layout,
                                            const Bytes& fill) {
  Bytes rows;
  for (int64_t shard = 0; shard < layout.num_shards(); ++shard) {
    const std::string path = layout.shard_path(folder, shard);
    ArrayLayout absent = layout;
    absent.sharded = true;
    const auto part =
        std::filesystem::exists(path)
            ? reference_shard(layout, shard, read_file(path), fill)
            : reference_shard(
                  absent, shard,
                  index_of(std::vector<IndexEntry>(static_cast<size_t>(layout.chunks_per_shard()))),
                  fill);
    if (!part) return std::nullopt;
    rows = join(rows, *part);
  }
  return rows;
}

/// Opens the array: it must read as the reference says, or be refused if that refuses it.
/// Returns whether it could be read.
inline bool check_against_reference(const std::string& folder, const ArrayLayout& layout,
                                    const Bytes& fill) {
  const std::optional<Bytes> expected = reference_array(folder, layout, fill);
  if (expected) {
    check_rows(MappedArray(folder, layout, fill), *expected);
  } else {
    check_throws(ErrorCode::kCorrupt, folder, [&] { MappedArray(folder, layout, fill); });
  }
  return expected.has_value();
}

}  // namespace jax_hps::test
