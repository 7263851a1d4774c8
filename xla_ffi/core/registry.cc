// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/registry.h"

#include <utility>

namespace jax_hps {

Registry& Registry::instance() {
  static Registry& registry = *new Registry;
  return registry;
}

bool Registry::add(std::shared_ptr<Table> table) {
  const std::lock_guard lock(mutex_);
  return tables_.try_emplace(table->name, table).second;
}

void Registry::remove(const Table& table) {
  const std::lock_guard lock(mutex_);
  const auto found = tables_.find(table.name);
  if (found != tables_.end() && found->second.get() == &table) tables_.erase(found);
}

std::vector<std::shared_ptr<Table>> Registry::find(std::span<const std::string_view> names) const {
  std::vector<std::shared_ptr<Table>> tables;
  tables.reserve(names.size());
  const std::lock_guard lock(mutex_);
  for (const std::string_view name : names) {
    const auto found = tables_.find(name);
    tables.push_back(found == tables_.end() ? nullptr : found->second);
  }
  return tables;
}

}  // namespace jax_hps
