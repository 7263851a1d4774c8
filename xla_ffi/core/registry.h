// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/table.h"

namespace jax_hps {

/// The open tables of this process by name. Readers see one map or the next; they hold a lock only
/// while they take hold of it.
class Registry {
 public:
  /// The one of this process. Never destroyed: lookups may outlive static destructors.
  static Registry& instance();

  /// False where the name is taken.
  bool add(std::shared_ptr<Table> table);
  /// Takes the table out if it is the one of that name; calls that hold it go on.
  void remove(const Table& table);
  std::shared_ptr<Table> find(std::string_view name) const;

  /// Failures of calls that named a table that was not there.
  FailureLog orphan_failures;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };
  using Map = std::unordered_map<std::string, std::shared_ptr<Table>, Hash, std::equal_to<>>;

  std::shared_ptr<const Map> tables() const;
  void replace(std::shared_ptr<const Map> next);

  std::mutex writers_;
  // Not std::atomic<std::shared_ptr>: loads of GCC 12's let go of its lock without a release.
  mutable std::mutex mutex_;
  std::shared_ptr<const Map> tables_ = std::make_shared<const Map>();
};

}  // namespace jax_hps
