// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <memory>

#include "core/gather.h"
#include "fixtures.h"
#include "float_reference.h"

namespace jax_hps::test {

/// Keys of a table of `num_rows` rows, for each type of keys: those it knows and those it does not.
struct KeyUniverse {
  KeyUniverse(int64_t num_rows, bool sparse, KeyType type) : type(type) {
    for (int64_t row = 0; row < num_rows; ++row) known.push_back(sparse ? sparse_key(row) : row);
    unknown = {num_rows, -1, INT32_MIN, INT32_MAX};
    if (type == KeyType::kInt64) {
      unknown.insert(unknown.end(), {INT64_MIN, INT64_MAX, int64_t{1} << 32, num_rows + 1});
    }
    for (int64_t& key : known) key = narrowed(key);
    for (int64_t& key : unknown) key = narrowed(key);
    if (sparse) {
      index = std::make_unique<KeyIndex>(num_rows);
      index->insert(known.data(), num_rows);
    }
  }

  /// What a key of this type widens to.
  int64_t narrowed(int64_t key) const {
    if (type == KeyType::kInt32) return static_cast<int32_t>(key);
    if (type == KeyType::kUInt32) return static_cast<uint32_t>(key);
    return key;
  }
  // Bits all over the word; negative ones among them.
  int64_t sparse_key(int64_t row) const {
    return narrowed(static_cast<int64_t>(mix64(static_cast<uint64_t>(row) + 1000)));
  }

  int64_t row_of(int64_t key) const {
    const auto found = std::find(known.begin(), known.end(), key);
    return found == known.end() ? -1 : found - known.begin();
  }

  const KeyType type;
  std::vector<int64_t> known, unknown;
  std::unique_ptr<KeyIndex> index;
};

inline size_t key_bytes(KeyType type) { return type == KeyType::kInt64 ? 8 : 4; }

/// Elements of a dtype, random bits but for NaN where rows are converted: which NaN comes out of a
/// conversion is nobody's promise.
inline Bytes random_elements(DType dtype, size_t count, uint64_t seed, bool with_nan) {
  Bytes bytes = Random(seed).bytes(count * itemsize(dtype));
  for (size_t i = 0; i < count && !with_nan; ++i) {
    std::byte* at = bytes.data() + i * itemsize(dtype);
    float value;
    uint16_t bits;
    std::memcpy(&bits, at, 2);
    if (dtype == DType::kFloat32) std::memcpy(&value, at, 4);
    const bool is_nan =
        dtype == DType::kFloat32 ? std::isnan(value) : format_of(dtype).is_nan(bits);
    if (is_nan) std::memset(at, 0, itemsize(dtype));
  }
  return bytes;
}

/// Rows in memory as a gather sees them, flat or scattered, and as they must come out.
///
/// Each chunk is an allocation of its own, so that the address sanitizer sees a read past it. The
/// third chunk is absent. Row `num_rows` of the expected ones is the default row.
class RowsInMemory {
 public:
  static constexpr int64_t kRows = 41;
  static constexpr int64_t kChunkRows = 8;

  RowsInMemory(DType stored, DType output, int64_t dim, bool flat)
      : stored_(stored), output_(output), dim_(dim), flat_(flat) {
    const size_t row_bytes = static_cast<size_t>(dim) * itemsize(stored);
    rows_ = random_elements(stored, static_cast<size_t>((kRows + 2) * dim), 11, stored == output);
    default_row_.assign(rows_.end() - 2 * row_bytes, rows_.end() - row_bytes);
    fill_row_.assign(rows_.end() - row_bytes, rows_.end());
    rows_.resize(kRows * row_bytes);
    if (!flat) scatter(row_bytes);
    expected_.resize(static_cast<size_t>((kRows + 1) * dim) * itemsize(output));
    for (int64_t row = 0; row <= kRows; ++row) convert(row);
  }

  GatherJob job() const {
    GatherJob job;
    job.num_rows = kRows;
    job.flat = flat_ ? rows_.data() : nullptr;
    job.chunks = flat_ ? nullptr : chunks_.data();
    job.chunk_rows = kChunkRows;
    job.fill_row = fill_row_.data();
    job.default_row = default_row_.data();
    job.stored = stored_;
    job.dim = dim_;
    job.output = output_;
    return job;
  }

  const std::byte* expected(int64_t row) const {
    const size_t bytes = static_cast<size_t>(dim_) * itemsize(output_);
    return expected_.data() + static_cast<size_t>(row < 0 ? kRows : row) * bytes;
  }

 private:
  void scatter(size_t row_bytes) {
    for (int64_t first = 0; first < kRows; first += kChunkRows) {
      const int64_t count = std::min(kChunkRows, kRows - first);
      const auto begin = rows_.begin() + first * static_cast<int64_t>(row_bytes);
      storage_.emplace_back(begin, begin + count * static_cast<int64_t>(row_bytes));
    }
    for (const Bytes& chunk : storage_) chunks_.push_back(chunk.data());
    chunks_[2] = nullptr;
  }

  void convert(int64_t row) {
    const bool absent = !flat_ && row / kChunkRows == 2;
    const std::byte* from = row == kRows ? default_row_.data()
                            : absent     ? fill_row_.data()
                                         : rows_.data() + row * dim_ * int64_t(itemsize(stored_));
    std::byte* to = expected_.data() + row * dim_ * int64_t(itemsize(output_));
    for (int64_t i = 0; i < dim_; ++i) {
      convert_element(stored_, from + i * int64_t(itemsize(stored_)), output_,
                      to + i * int64_t(itemsize(output_)));
    }
  }

  const DType stored_, output_;
  const int64_t dim_;
  const bool flat_;
  Bytes rows_, default_row_, fill_row_, expected_;
  std::vector<Bytes> storage_;
  std::vector<const std::byte*> chunks_;
};

}  // namespace jax_hps::test
