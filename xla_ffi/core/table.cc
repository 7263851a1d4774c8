// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/error.h"

namespace jax_hps {

Table::Table(std::string name, std::shared_ptr<const Base> base, Options options,
             std::shared_ptr<RowCache> row_cache)
    : name(std::move(name)),
      base(std::move(base)),
      row_cache(std::move(row_cache)),
      options(options) {
  if (!this->row_cache) return;
  const size_t cached = this->row_cache->view().row_bytes, wanted = this->base->job().row_bytes();
  if (cached != wanted) {
    throw Error(ErrorCode::kInvalidArgument,
                "table '" + this->name + "': a row cache of " + std::to_string(cached) +
                    " bytes a row does not fit rows of " + std::to_string(wanted) + " bytes.");
  }
}

void FailureLog::add(Failure failure) {
  const std::lock_guard lock(mutex_);
  const auto of_table =
      std::count_if(failures_.begin(), failures_.end(),
                    [&](const Failure& other) { return other.table == failure.table; });
  if (static_cast<size_t>(of_table) < kKept) failures_.push_back(std::move(failure));
}

std::vector<Failure> FailureLog::take(std::string_view prefix) {
  const std::lock_guard lock(mutex_);
  const auto begin = std::stable_partition(
      failures_.begin(), failures_.end(),
      [&](const Failure& failure) { return !std::string_view(failure.table).starts_with(prefix); });
  std::vector<Failure> taken(std::make_move_iterator(begin),
                             std::make_move_iterator(failures_.end()));
  failures_.erase(begin, failures_.end());
  return taken;
}

}  // namespace jax_hps
