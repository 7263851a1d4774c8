// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace jax_hps {

/// An open file. Every method throws Error(kIo) with the path where the system call fails.
class File {
 public:
  static File open_read(const std::string& path);
  /// Creates the file; it must not exist.
  static File create(const std::string& path);

  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept;
  ~File();

  /// Appends all of `size` bytes.
  void write(const void* data, size_t size);
  /// Reads exactly `size` bytes; a file that ends before is Error(kCorrupt).
  void read_at(void* data, size_t size, uint64_t offset) const;
  uint64_t size() const;
  /// Asks the kernel to start writing what is dirty, without waiting for it.
  void start_writeback() const;
  void sync() const;

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

 private:
  File(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  int fd_;
  std::string path_;
};

/// Makes the names in a folder durable.
void sync_folder(const std::string& path);

}  // namespace jax_hps
