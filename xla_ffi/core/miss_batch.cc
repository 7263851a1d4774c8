// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/miss_batch.h"

#include <bit>
#include <utility>

#include "core/hash.h"

namespace jax_hps {

MissBatch::MissBatch(const GatherJob& job, std::vector<int64_t> missed)
    : positions(std::move(missed)) {
  constexpr uint32_t kFree = UINT32_MAX;
  // Open addressing, at most half full: entries are places in `keys`.
  std::vector<uint32_t> table(std::bit_ceil(2 * positions.size() + 1), kFree);
  const uint64_t mask = table.size() - 1;
  places.reserve(positions.size());
  for (const int64_t position : positions) {
    const int64_t key = key_at(job, position);
    uint64_t at = mix64(static_cast<uint64_t>(key)) & mask;
    while (table[at] != kFree && keys[table[at]] != key) at = (at + 1) & mask;
    if (table[at] == kFree) {
      table[at] = static_cast<uint32_t>(keys.size());
      keys.push_back(key);
      counts.push_back(0);
    }
    places.push_back(table[at]);
    ++counts[table[at]];
  }
}

}  // namespace jax_hps
