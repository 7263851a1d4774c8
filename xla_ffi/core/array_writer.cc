// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/array_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"

namespace jax_hps {
namespace {

// Shards are synced this many behind the one that is written, so that the disk works meanwhile
// and few files stay open.
constexpr size_t kShardsInFlight = 2;

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) throw Error::io("cannot create", path);
}

std::vector<uint64_t> index_entries(const ArrayLayout& layout, int64_t chunks_present) {
  std::vector<uint64_t> entries(2 * static_cast<size_t>(layout.chunks_per_shard()), kAbsent);
  for (int64_t chunk = 0; chunk < chunks_present; ++chunk) {
    entries[2 * chunk] = static_cast<uint64_t>(chunk * layout.chunk_bytes());
    entries[2 * chunk + 1] = static_cast<uint64_t>(layout.chunk_bytes());
  }
  return entries;
}

}  // namespace

ArrayWriter::ArrayWriter(std::string folder, ArrayLayout layout)
    : folder_(std::move(folder)), layout_(layout) {
  layout_.check();
  make_folder(folder_ + "/c");
}

void ArrayWriter::append(const void* rows, size_t bytes) {
  if (bytes % layout_.row_bytes != 0) {
    throw Error(ErrorCode::kInvalidArgument, "append to " + folder_ + ": expected a multiple of " +
                                                 std::to_string(layout_.row_bytes) +
                                                 " bytes, got " + std::to_string(bytes) + ".");
  }
  check_sound();
  sound_ = false;
  const char* p = static_cast<const char*>(rows);
  const int64_t full = layout_.shard_rows * layout_.row_bytes;
  for (int64_t left = static_cast<int64_t>(bytes); left > 0;) {
    if (!shard_) open_shard();
    const int64_t take = std::min(left, full - shard_bytes_);
    write(p, static_cast<size_t>(take));
    shard_bytes_ += take;
    p += take;
    left -= take;
    if (shard_bytes_ == full) close_shard();
  }
  rows_written_ += static_cast<int64_t>(bytes) / layout_.row_bytes;
  sound_ = true;
}

std::vector<uint32_t> ArrayWriter::finish() {
  check_sound();
  if (shard_) close_shard();
  while (!unsynced_.empty()) sync_oldest();
  sync_folder(folder_ + "/c");
  sync_folder(folder_);
  return crcs_;
}

void ArrayWriter::check_sound() const {
  if (!sound_) {
    throw Error(ErrorCode::kInvalidArgument,
                folder_ + ": an append has failed; write the array anew.");
  }
}

void ArrayWriter::open_shard() {
  const int64_t shard = static_cast<int64_t>(crcs_.size());
  make_folder(layout_.shard_folder(folder_, shard));
  shard_ = File::create(layout_.shard_path(folder_, shard));
  shard_bytes_ = 0;
  shard_crc_ = 0;
}

void ArrayWriter::write(const void* data, size_t bytes) {
  shard_->write(data, bytes);
  shard_crc_ = crc32c(data, bytes, shard_crc_);
}

void ArrayWriter::close_shard() {
  const int64_t chunks = (shard_bytes_ + layout_.chunk_bytes() - 1) / layout_.chunk_bytes();
  const std::vector<char> padding(
      static_cast<size_t>(chunks * layout_.chunk_bytes() - shard_bytes_), 0);
  write(padding.data(), padding.size());
  const std::vector<uint64_t> entries = index_entries(layout_, chunks);
  const uint32_t index_crc = crc32c(entries.data(), entries.size() * sizeof(uint64_t));
  write(entries.data(), entries.size() * sizeof(uint64_t));
  write(&index_crc, sizeof(index_crc));
  crcs_.push_back(shard_crc_);
  shard_->start_writeback();
  unsynced_.push_back(std::move(*shard_));
  shard_.reset();
  if (unsynced_.size() > kShardsInFlight) sync_oldest();
}

void ArrayWriter::sync_oldest() {
  unsynced_.front().sync();
  unsynced_.pop_front();
  const int64_t synced = static_cast<int64_t>(crcs_.size() - unsynced_.size()) - 1;
  if (layout_.rank == 2) sync_folder(layout_.shard_folder(folder_, synced));
}

}  // namespace jax_hps
