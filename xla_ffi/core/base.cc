// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/base.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"

namespace jax_hps {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "base of a table: " + what);
}

}  // namespace

Base::Base(Options options) : parts_(std::move(options)) {
  const size_t row_bytes = static_cast<size_t>(parts_.dim) * itemsize(parts_.dtype);
  if (parts_.dim < 1) refuse("expected dim of 1 or more, got " + std::to_string(parts_.dim) + ".");
  if ((parts_.mapped == nullptr) == (parts_.resolver == nullptr)) {
    refuse("expected rows from a mapped array or from a resolver.");
  }
  if (parts_.num_rows < 0) refuse("got " + std::to_string(parts_.num_rows) + " rows.");
  if (parts_.default_row.size() != row_bytes) {
    refuse("expected a default row of " + std::to_string(row_bytes) + " bytes, got " +
           std::to_string(parts_.default_row.size()) + ".");
  }
  if (parts_.mapped && (parts_.mapped->layout().row_bytes != static_cast<int64_t>(row_bytes) ||
                        parts_.mapped->layout().num_rows < parts_.num_rows)) {
    refuse("expected " + std::to_string(parts_.num_rows) + " rows of " + std::to_string(row_bytes) +
           " bytes, the array has " + std::to_string(parts_.mapped->layout().num_rows) + " of " +
           std::to_string(parts_.mapped->layout().row_bytes) + ".");
  }
  if (parts_.index && parts_.index->num_keys() > parts_.num_rows) {
    refuse(std::to_string(parts_.index->num_keys()) + " keys for " +
           std::to_string(parts_.num_rows) + " rows.");
  }
}

GatherJob Base::job() const {
  GatherJob job;
  if (parts_.index) job.index = parts_.index->view();
  job.num_rows = static_cast<uint64_t>(parts_.num_rows);
  if (parts_.mapped) {
    const MappedArray& rows = *parts_.mapped;
    job.flat = rows.flat();
    job.chunks = rows.is_flat() ? nullptr : rows.chunk_table().data();
    job.chunk_rows = static_cast<uint64_t>(rows.layout().chunk_rows);
    job.fill_row = rows.fill_row();
  }
  job.default_row = parts_.default_row.data();
  job.stored = job.output = parts_.dtype;
  job.dim = parts_.dim;
  return job;
}

std::vector<int64_t> Base::row_numbers(std::span<const int64_t> keys) const {
  std::vector<int64_t> rows(keys.size());
  if (parts_.index) {
    parts_.index->find(keys.data(), static_cast<int64_t>(keys.size()), rows.data());
  } else {
    std::transform(keys.begin(), keys.end(), rows.begin(),
                   [&](int64_t key) { return key >= 0 && key < parts_.num_rows ? key : -1; });
  }
  return rows;
}

size_t Base::resident_bytes() const {
  return parts_.default_row.size() + (parts_.index ? parts_.index->nbytes() : 0) +
         (parts_.mapped ? parts_.mapped->table_bytes() : 0);
}

}  // namespace jax_hps
