// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/table.h"

namespace jax_hps {

/// The open tables of this process by name. Its lock is held for as long as it takes to look names
/// up, once a call. (Not a map behind std::atomic<std::shared_ptr>: in GCC 12 a load of it lets go
/// of an inner lock without a release, and is no faster.)
class Registry {
 public:
  /// The one of this process. Never destroyed: lookups may outlive static destructors.
  static Registry& instance();

  /// False where the name is taken.
  bool add(std::shared_ptr<Table> table);
  /// Takes the table out if it is the one of that name; calls that hold it go on.
  void remove(const Table& table);
  /// The tables of some names, null where there is none, all as of one moment.
  std::vector<std::shared_ptr<Table>> find(std::span<const std::string_view> names) const;
  std::shared_ptr<Table> find(std::string_view name) const { return find({&name, 1}).front(); }

  /// Failures of calls that named a table that was not there.
  FailureLog orphan_failures;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Table>, Hash, std::equal_to<>> tables_;
};

}  // namespace jax_hps
