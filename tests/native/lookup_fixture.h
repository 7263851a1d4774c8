// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "core/lookup.h"
#include "core/registry.h"
#include "fixtures.h"

namespace jax_hps::test {

/// Element j of row r of the tables below; told from those of other tables by `seed`.
inline float element(int64_t seed, int64_t row, int64_t j) {
  return static_cast<float>(seed * 100'000 + row * 10 + j % 10);
}
/// What unknown keys answer.
inline constexpr float kDefault = -1.5f;

inline Bytes float_bytes(const std::vector<float>& floats) {
  Bytes bytes(floats.size() * 4);
  std::memcpy(bytes.data(), floats.data(), bytes.size());
  return bytes;
}

inline Bytes rows_of(int64_t seed, const std::vector<int64_t>& rows, int64_t dim) {
  std::vector<float> floats;
  for (const int64_t row : rows) {
    for (int64_t j = 0; j < dim; ++j) floats.push_back(element(seed, row, j));
  }
  return float_bytes(floats);
}

struct TableShape {
  int64_t seed = 1;
  int64_t num_rows = 100;
  int64_t dim = 4;
  /// Sparse: keys are key_step * row - 7, so some are negative. 0: dense.
  int64_t key_step = 0;

  int64_t key(int64_t row) const { return key_step ? key_step * row - 7 : row; }
  /// Row of a key, or -1.
  int64_t row(int64_t key) const {
    const int64_t row = key_step ? (key + 7) / key_step : key;
    return row >= 0 && row < num_rows && this->key(row) == key ? row : -1;
  }
};

/// A base of floats, its rows on disk (the files are unlinked: only the mapping is left) or, with
/// a resolver, nowhere.
inline std::shared_ptr<const Base> make_base(const TableShape& shape,
                                             std::shared_ptr<ResolverQueue> resolver = nullptr) {
  Base::Options parts;
  std::vector<int64_t> rows, keys;
  for (int64_t row = 0; row < shape.num_rows; ++row) {
    rows.push_back(row);
    keys.push_back(shape.key(row));
  }
  if (resolver == nullptr) {
    const TempFolder folder;
    const ArrayLayout layout = {2, shape.num_rows, shape.dim * 4, 1024, 32, true, true};
    write_array(folder.path(), layout, rows_of(shape.seed, rows, shape.dim));
    parts.mapped = std::make_shared<MappedArray>(folder.path(), layout, Bytes());
  }
  if (shape.key_step) {
    auto index = std::make_shared<KeyIndex>(shape.num_rows);
    index->insert(keys.data(), shape.num_rows);
    parts.index = std::move(index);
  }
  parts.resolver = std::move(resolver);
  parts.num_rows = shape.num_rows;
  parts.dim = shape.dim;
  parts.default_row = float_bytes(std::vector<float>(static_cast<size_t>(shape.dim), kDefault));
  return std::make_shared<const Base>(std::move(parts));
}

/// A cache of so many rows; `change` is what else is asked of it.
inline std::shared_ptr<RowCache> make_row_cache(size_t row_bytes, int64_t num_rows,
                                                RowCacheOptions change = {}) {
  change.row_bytes = static_cast<int64_t>(row_bytes);
  change.num_rows = num_rows;
  return std::make_shared<RowCache>(change);
}

/// A table in the registry for as long as this lives.
class OpenTable {
 public:
  OpenTable(std::string name, std::shared_ptr<const Base> base, Table::Options options = {},
            std::shared_ptr<RowCache> row_cache = nullptr)
      : table_(std::make_shared<Table>(std::move(name), std::move(base), options,
                                       std::move(row_cache))) {
    CHECK(Registry::instance().add(table_));
  }
  OpenTable(const OpenTable&) = delete;
  ~OpenTable() { Registry::instance().remove(*table_); }

  Table* operator->() const { return table_.get(); }
  const Counters& counters() const { return table_->counters; }
  /// Every key that was asked for was answered in one of six ways.
  void check_counters() const {
    const Counters& counts = table_->counters;
    CHECK_EQUAL(counts.keys, counts.row_cache_hits + counts.base_hits + counts.defaults +
                                 counts.unavailable + counts.degraded + counts.deferred);
  }

 private:
  const std::shared_ptr<Table> table_;
};

/// The buffers of one part of a call, filled with what no lookup answers.
struct PartBuffers {
  PartBuffers(std::string table, std::vector<int64_t> keys, int64_t dim)
      : table(std::move(table)), keys(std::move(keys)), dim(dim) {
    out.assign(this->keys.size() * static_cast<size_t>(dim), 77.0f);
    found = std::make_unique<bool[]>(this->keys.size());
    std::fill_n(found.get(), this->keys.size(), true);
  }

  LookupPart part() {
    return {table,
            keys.data(),
            KeyType::kInt64,
            static_cast<int64_t>(keys.size()),
            dim,
            DType::kFloat32,
            reinterpret_cast<std::byte*>(out.data()),
            found.get()};
  }

  /// Rows of the shape, or default rows where a key is unknown; `answered`: whether rows that
  /// only a resolver has were answered.
  void check(const TableShape& shape, bool answered = true) const {
    for (size_t i = 0; i < keys.size(); ++i) {
      const int64_t row = answered ? shape.row(keys[i]) : -1;
      const Scope scope("key ", keys[i], " at ", i);
      CHECK_EQUAL(found[i], row >= 0);
      for (int64_t j = 0; j < dim; ++j) {
        CHECK_EQUAL(out[i * static_cast<size_t>(dim) + static_cast<size_t>(j)],
                    row >= 0 ? element(shape.seed, row, j) : kDefault);
      }
    }
  }

  void check_zeros() const {
    for (const float value : out) CHECK_EQUAL(value, 0.0f);
    for (size_t i = 0; i < keys.size(); ++i) CHECK(!found[i]);
  }

  std::string table;
  std::vector<int64_t> keys;
  int64_t dim;
  std::vector<float> out;
  std::unique_ptr<bool[]> found;
};

/// A lookup of some parts; hosts cannot always raise, so neither is the default here.
inline std::optional<Failure> lookup_parts(std::vector<PartBuffers*> buffers, bool raise = false,
                                           Executor* executor = nullptr) {
  std::vector<LookupPart> parts;
  for (PartBuffers* one : buffers) parts.push_back(one->part());
  return lookup(parts, raise, executor);
}

inline void check_failure(const std::optional<Failure>& failure, Failure::Code code,
                          const std::string& table, const std::string& part) {
  CHECK(failure.has_value());
  const Scope scope("message: ", failure->message);
  CHECK_EQUAL(static_cast<int>(failure->code), static_cast<int>(code));
  CHECK_EQUAL(failure->table, table);
  CHECK(failure->message.find(part) != std::string::npos);
}

/// The one failure that a log holds, taken out of it.
inline std::optional<Failure> take_one(FailureLog& log) {
  std::vector<Failure> failures = log.take();
  CHECK_EQUAL(failures.size(), size_t{1});
  return failures.front();
}

}  // namespace jax_hps::test
