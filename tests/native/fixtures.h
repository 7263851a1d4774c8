// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/array_writer.h"
#include "core/mapped_array.h"

namespace jax_hps::test {

using Bytes = std::vector<std::byte>;

/// A folder of its own, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    path_ = (std::filesystem::temp_directory_path() / "jax_hps_test.XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) throw Error::io("cannot create", path_);
  }
  TempFolder(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  /// A new folder below.
  std::string make(const std::string& name) const {
    std::filesystem::create_directories(path_ + "/" + name);
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

/// Seeded, and the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t word() { return engine_(); }
  /// One of [0, range).
  uint64_t below(uint64_t range) { return engine_() % range; }
  template <typename Values>
  auto& any_of(Values& values) {
    return values[below(std::size(values))];
  }
  Bytes bytes(size_t size) {
    Bytes result(size);
    for (std::byte& byte : result) byte = static_cast<std::byte>(engine_());
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

inline void write_file(const std::string& path, const Bytes& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::filesystem::remove(path);  // ext4 waits for the disk where a file is truncated and written
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  CHECK(file.flush().good());
}

inline Bytes read_file(const std::string& path) {
  Bytes bytes(std::filesystem::file_size(path));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  CHECK(file.good());
  return bytes;
}

/// Appends in pieces of changing length, and returns the CRCs of the shards.
inline std::vector<uint32_t> write_array(const std::string& folder, const ArrayLayout& layout,
                                         const Bytes& rows, uint64_t seed = 0) {
  ArrayWriter writer(folder, layout);
  Random random(seed);
  const size_t row_bytes = static_cast<size_t>(layout.row_bytes);
  for (size_t at = 0; at < rows.size();) {
    const size_t piece = std::min(rows.size() - at, row_bytes * (1 + random.below(333)));
    writer.append(rows.data() + at, piece);
    at += piece;
  }
  CHECK_EQUAL(writer.rows_written(), static_cast<int64_t>(rows.size() / row_bytes));
  return writer.finish();
}

inline void check_rows(const MappedArray& array, const Bytes& expected) {
  const int64_t row_bytes = array.layout().row_bytes;
  CHECK_EQUAL(array.layout().num_rows * row_bytes, static_cast<int64_t>(expected.size()));
  for (int64_t row = 0; row < array.layout().num_rows; ++row) {
    const std::byte* at = expected.data() + row * row_bytes;
    if (std::equal(at, at + row_bytes, array.row(row))) continue;
    fail(__FILE__, __LINE__, "row " + std::to_string(row) + " differs");
  }
}

}  // namespace jax_hps::test
