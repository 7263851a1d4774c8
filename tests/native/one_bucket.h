// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "cache_fixture.h"

namespace jax_hps::test {

/// Keys, and how hot each is.
struct Uses : std::map<int64_t, uint32_t> {};

inline std::ostream& operator<<(std::ostream& out, const Uses& uses) {
  for (const auto& [key, use] : uses) out << key << ':' << use << ' ';
  return out;
}

/// A cache of one bucket. Keys are of 16 bits, so that what is remembered of them tells them apart.
class OneBucket {
 public:
  explicit OneBucket(const cache::PolicyOptions& policy)
      : cache_({.num_rows = cache::kWays,
                .row_bytes = 2,
                .key_bits = 16,
                .exact = {},
                .policy = policy}) {
    CHECK_EQUAL(cache_.num_rows(), int64_t{cache::kWays});
  }

  /// Whether the key is there after it was offered.
  bool insert(int64_t key, uint32_t count = 1) {
    insert_one(cache_, key, count);
    return uses().contains(key);
  }
  bool hit(int64_t key) { return look_up_one(cache_, key) == State::kFound; }
  bool erase(int64_t key) { return cache_.erase({&key, 1}) == 1; }
  bool overwrite(int64_t key) { return cache_.overwrite({&key, 1}, row_of(2, key, 0).data()) == 1; }
  /// Fills the bucket with keys from `first` on that were asked for so often each.
  void fill(int64_t first, uint32_t count) {
    for (int64_t key = first; key < first + cache::kWays; ++key) CHECK(insert(key, count));
  }

  Uses uses() const {
    const RowCache::Contents contents = cache_.contents();
    Uses result;
    for (size_t i = 0; i < contents.keys.size(); ++i) {
      CHECK(result.emplace(contents.keys[i], contents.uses[i]).second);
    }
    return result;
  }
  int64_t ghost_hits() const { return cache_.counters.ghost_hits; }
  int64_t evictions() const { return cache_.counters.replacements; }

 private:
  RowCache cache_;
};

}  // namespace jax_hps::test
