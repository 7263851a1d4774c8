// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/dtype.h"
#include "core/gather.h"
#include "core/key_index.h"
#include "core/mapped_array.h"
#include "core/resolver_queue.h"

namespace jax_hps {

/// What one version of a table answers from; immutable. Rows are mapped, or come from a resolver.
class Base {
 public:
  struct Options {
    std::shared_ptr<const MappedArray> mapped;  ///< One of these two.
    std::shared_ptr<ResolverQueue> resolver;
    std::shared_ptr<const KeyIndex> index;  ///< Null: dense, key = row number.
    int64_t num_rows = 0;
    int64_t dim = 0;
    DType dtype = DType::kFloat32;
    std::vector<std::byte> default_row;  ///< dim elements of dtype
  };

  /// Throws Error(kInvalidArgument) unless the parts fit each other.
  explicit Base(Options options);

  int64_t dim() const { return parts_.dim; }
  DType dtype() const { return parts_.dtype; }
  int64_t num_rows() const { return parts_.num_rows; }
  ResolverQueue* resolver() const { return parts_.resolver.get(); }
  const std::byte* default_row() const { return parts_.default_row.data(); }

  /// A job that gathers from this base; keys, count and outputs are the caller's to fill in.
  GatherJob job() const;

  /// Row number of each key, -1 where it is unknown.
  std::vector<int64_t> row_numbers(std::span<const int64_t> keys) const;

  /// Bytes held in memory: key index, chunk table, default row.
  size_t resident_bytes() const;

 private:
  Options parts_;
};

}  // namespace jax_hps
