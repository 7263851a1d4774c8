// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/table.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace jax_hps {

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
