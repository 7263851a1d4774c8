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
  const std::lock_guard lock(writers_);
  auto next = std::make_shared<Map>(*tables());
  const std::string name = table->name;
  if (!next->emplace(name, std::move(table)).second) return false;
  replace(std::move(next));
  return true;
}

void Registry::remove(const Table& table) {
  const std::lock_guard lock(writers_);
  auto next = std::make_shared<Map>(*tables());
  const auto found = next->find(table.name);
  if (found == next->end() || found->second.get() != &table) return;
  next->erase(found);
  replace(std::move(next));
}

std::shared_ptr<Table> Registry::find(std::string_view name) const {
  const std::shared_ptr<const Map> tables = this->tables();
  const auto found = tables->find(name);
  return found == tables->end() ? nullptr : found->second;
}

std::shared_ptr<const Registry::Map> Registry::tables() const {
  const std::lock_guard lock(mutex_);
  return tables_;
}

void Registry::replace(std::shared_ptr<const Map> next) {
  const std::lock_guard lock(mutex_);
  tables_.swap(next);
}

}  // namespace jax_hps
