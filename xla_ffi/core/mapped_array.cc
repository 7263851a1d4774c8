// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/mapped_array.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/file.h"
#include "core/page_cache.h"

namespace jax_hps {

// A shard file's size and the offsets of its chunks; a file that is absent has neither.
struct MappedArray::Shard {
  uint64_t file_bytes = 0;
  std::vector<uint64_t> offsets;  // of each chunk that holds rows; kAbsent
};

namespace {

Error corrupt(const std::string& path, const std::string& what) {
  return Error(ErrorCode::kCorrupt,
               path + ": " + what + ". Restore the file or write the table anew.");
}

// The index of a shard file, its CRC checked.
std::vector<uint64_t> read_index(const File& file, uint64_t file_bytes, const ArrayLayout& layout) {
  const uint64_t index_bytes = static_cast<uint64_t>(layout.index_bytes());
  if (file_bytes < index_bytes) {
    throw corrupt(file.path(), "has " + std::to_string(file_bytes) + " bytes, its index alone " +
                                   std::to_string(index_bytes));
  }
  std::vector<std::byte> raw(index_bytes);
  file.read_at(raw.data(), raw.size(), layout.index_at_end ? file_bytes - index_bytes : 0);
  uint32_t expected;
  std::memcpy(&expected, raw.data() + raw.size() - 4, 4);
  const uint32_t actual = crc32c(raw.data(), raw.size() - 4);
  if (actual != expected) {
    throw corrupt(file.path(), "CRC-32C of the shard index is " + std::to_string(actual) +
                                   ", expected " + std::to_string(expected) +
                                   " (a truncated file or flipped bits in its index)");
  }
  std::vector<uint64_t> entries((raw.size() - 4) / 8);
  std::memcpy(entries.data(), raw.data(), raw.size() - 4);
  return entries;
}

void check_chunk(const File& file, uint64_t file_bytes, int64_t chunk, uint64_t offset,
                 uint64_t length, uint64_t expected_length) {
  if (length != expected_length || offset > file_bytes || length > file_bytes - offset) {
    throw corrupt(file.path(), "chunk " + std::to_string(chunk) + " is said to have " +
                                   std::to_string(length) + " bytes at " + std::to_string(offset) +
                                   ", expected " + std::to_string(expected_length) +
                                   " inside a file of " + std::to_string(file_bytes));
  }
}

std::vector<uint64_t> chunk_offsets(const File& file, const ArrayLayout& layout, int64_t shard) {
  const uint64_t chunk_bytes = static_cast<uint64_t>(layout.chunk_bytes());
  if (!layout.sharded) {
    if (file.size() != chunk_bytes) {
      throw corrupt(file.path(), "has " + std::to_string(file.size()) + " bytes, expected " +
                                     std::to_string(chunk_bytes));
    }
    return {0};
  }
  const uint64_t file_bytes = file.size();
  const std::vector<uint64_t> entries = read_index(file, file_bytes, layout);
  std::vector<uint64_t> offsets(static_cast<size_t>(layout.chunks_in_shard(shard)));
  for (size_t chunk = 0; chunk < offsets.size(); ++chunk) {
    const uint64_t offset = entries[2 * chunk], length = entries[2 * chunk + 1];
    const bool absent = offset == kAbsent && length == kAbsent;
    if (!absent) {
      check_chunk(file, file_bytes, static_cast<int64_t>(chunk), offset, length, chunk_bytes);
    }
    offsets[chunk] = absent ? kAbsent : offset;
  }
  return offsets;
}

bool in_order(const std::vector<uint64_t>& offsets, uint64_t chunk_bytes) {
  for (size_t chunk = 0; chunk < offsets.size(); ++chunk) {
    if (offsets[chunk] != chunk * chunk_bytes) return false;
  }
  return !offsets.empty();
}

}  // namespace

MappedArray::MappedArray(const std::string& folder, const ArrayLayout& layout,
                         std::vector<std::byte> fill)
    : layout_(layout), fill_(std::move(fill)) {
  layout_.check();
  if (::sysconf(_SC_PAGESIZE) != static_cast<long>(kPageBytes)) {
    throw Error(ErrorCode::kInvalidArgument, "mapped tables need a kernel with pages of 4 KiB.");
  }
  if (fill_.empty()) fill_.resize(static_cast<size_t>(layout.row_bytes));
  if (fill_.size() != static_cast<size_t>(layout.row_bytes)) {
    throw Error(ErrorCode::kInvalidArgument, folder + ": expected a fill row of " +
                                                 std::to_string(layout.row_bytes) + " bytes, got " +
                                                 std::to_string(fill_.size()) + ".");
  }
  std::vector<Shard> shards(static_cast<size_t>(layout.num_shards()));
  // Shards must start at page boundaries of one region.
  bool flat = shards.size() <= 1 || layout.shard_rows * layout.row_bytes % kPageBytes == 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string path = layout.shard_path(folder, static_cast<int64_t>(i));
    if (::access(path.c_str(), F_OK) == 0) {
      const File file = File::open_read(path);
      shards[i] = {file.size(), chunk_offsets(file, layout, static_cast<int64_t>(i))};
    } else if (errno != ENOENT) {
      throw Error::io("cannot open", path);  // A file out of reach is not one that is absent.
    }
    flat = flat && in_order(shards[i].offsets, static_cast<uint64_t>(layout.chunk_bytes()));
  }
  if (flat) {
    map_flat(folder, shards);
  } else {
    map_scattered(folder, shards);
  }
}

void MappedArray::map_flat(const std::string& folder, const std::vector<Shard>& shards) {
  const size_t shard_bytes = static_cast<size_t>(layout_.shard_rows * layout_.row_bytes);
  region_ = Mapping::reserve(shards.size() * shard_bytes);
  for (size_t i = 0; i < shards.size(); ++i) {
    map_file(layout_.shard_path(folder, static_cast<int64_t>(i)),
             shards[i].offsets.size() * static_cast<size_t>(layout_.chunk_bytes()),
             region_.data() + i * shard_bytes);
  }
}

void MappedArray::map_scattered(const std::string& folder, const std::vector<Shard>& shards) {
  size_t total = 0;
  for (const Shard& shard : shards) total += round_up(shard.file_bytes, kPageBytes);
  region_ = Mapping::reserve(total);
  chunks_.assign(static_cast<size_t>(layout_.num_shards() * layout_.chunks_per_shard()), nullptr);
  std::byte* at = region_.data();
  for (size_t i = 0; i < shards.size(); ++i) {
    if (shards[i].file_bytes == 0) continue;
    map_file(layout_.shard_path(folder, static_cast<int64_t>(i)), shards[i].file_bytes, at);
    const size_t first = i * static_cast<size_t>(layout_.chunks_per_shard());
    for (size_t chunk = 0; chunk < shards[i].offsets.size(); ++chunk) {
      const uint64_t offset = shards[i].offsets[chunk];
      if (offset != kAbsent) chunks_[first + chunk] = at + offset;
    }
    at += round_up(shards[i].file_bytes, kPageBytes);
  }
}

void MappedArray::map_file(const std::string& path, size_t bytes, std::byte* at) {
  const File file = File::open_read(path);
  if (file.size() < bytes) throw corrupt(path, "has become shorter while it was opened");
  if (::mmap(at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd(), 0) == MAP_FAILED) {
    throw Error::io("cannot map", path);
  }
  // Without this advice one fault reads megabytes ahead.
  ::madvise(at, bytes, MADV_RANDOM);
  files_.push_back({path, at, bytes});
}

size_t MappedArray::mapped_bytes() const {
  size_t bytes = 0;
  for (const MappedFile& file : files_) bytes += file.bytes;
  return bytes;
}

size_t MappedArray::warm(size_t file, size_t begin, size_t bytes) const {
  const MappedFile& mapped = files_.at(file);
  if (begin >= mapped.bytes) return 0;
  const size_t length = std::min(bytes, mapped.bytes - begin);
  read_into_page_cache(File::open_read(mapped.path), mapped.data + begin, begin, length);
  return length;
}

const std::byte* MappedArray::row(int64_t row) const {
  if (is_flat()) return flat() + row * layout_.row_bytes;
  const std::byte* chunk = chunks_[static_cast<size_t>(row / layout_.chunk_rows)];
  return chunk ? chunk + row % layout_.chunk_rows * layout_.row_bytes : fill_row();
}

void MappedArray::begin_scan() const {
  for (const MappedFile& file : files_) ::madvise(file.data, file.bytes, MADV_SEQUENTIAL);
}

void MappedArray::end_scan() const {
  for (const MappedFile& file : files_) {
    ::madvise(file.data, file.bytes, MADV_RANDOM);
    ::madvise(file.data, file.bytes, MADV_DONTNEED);
  }
}

}  // namespace jax_hps
