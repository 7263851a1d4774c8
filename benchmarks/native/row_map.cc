// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// What one writes who needs rows by key and has no cache: absl::flat_hash_map from key to row
// number, the rows side by side, memcpy. Full from the beginning; who comes in takes the place of
// who came first.

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace {

class RowMap {
 public:
  // Row i is that of key i. The rows stay the caller's.
  RowMap(const int64_t* keys, int64_t count, char* rows, int64_t row_bytes)
      : rows_(rows), row_bytes_(row_bytes), keys_(keys, keys + count) {
    places_.reserve(count);
    for (int64_t i = 0; i < count; ++i) places_.emplace(keys[i], static_cast<int32_t>(i));
  }

  int64_t row_bytes() const { return row_bytes_; }

  // kBytes as a constant turns memcpy into a few moves; 0: only known when it runs.
  template <int64_t kBytes>
  void Lookup(const int64_t* keys, int64_t count, char* out, uint8_t* found) const {
    const int64_t bytes = kBytes != 0 ? kBytes : row_bytes_;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = places_.find(keys[i]);
      found[i] = at != places_.end();
      if (found[i]) {
        std::memcpy(out + i * bytes, rows_ + at->second * bytes, bytes);
      } else {
        std::memset(out + i * bytes, 0, bytes);
      }
    }
  }

  template <int64_t kBytes>
  void Insert(const int64_t* keys, int64_t count, const char* rows) {
    const int64_t bytes = kBytes != 0 ? kBytes : row_bytes_;
    for (int64_t i = 0; i < count; ++i) {
      const int32_t place = static_cast<int32_t>(oldest_);
      if (!places_.try_emplace(keys[i], place).second) continue;
      places_.erase(keys_[place]);
      keys_[place] = keys[i];
      std::memcpy(rows_ + place * bytes, rows + i * bytes, bytes);
      if (++oldest_ == keys_.size()) oldest_ = 0;
    }
  }

  template <int64_t kBytes>
  void Overwrite(const int64_t* keys, int64_t count, const char* rows) {
    const int64_t bytes = kBytes != 0 ? kBytes : row_bytes_;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = places_.find(keys[i]);
      if (at != places_.end()) std::memcpy(rows_ + at->second * bytes, rows + i * bytes, bytes);
    }
  }

 private:
  char* rows_;
  int64_t row_bytes_;
  std::vector<int64_t> keys_;  // by place
  size_t oldest_ = 0;
  absl::flat_hash_map<int64_t, int32_t> places_;
};

// Calls `each` with the row's size as a constant, where we have compiled it for that.
template <typename Each>
void ForSize(int64_t bytes, Each each) {
  switch (bytes) {
    case 16:
      return each(std::integral_constant<int64_t, 16>());
    case 64:
      return each(std::integral_constant<int64_t, 64>());
    case 256:
      return each(std::integral_constant<int64_t, 256>());
    case 512:
      return each(std::integral_constant<int64_t, 512>());
    case 1024:
      return each(std::integral_constant<int64_t, 1024>());
    default:
      return each(std::integral_constant<int64_t, 0>());
  }
}

}  // namespace

extern "C" {

RowMap* row_map_new(const int64_t* keys, int64_t count, char* rows, int64_t row_bytes) {
  return new RowMap(keys, count, rows, row_bytes);
}

void row_map_free(RowMap* map) { delete map; }

void row_map_lookup(const RowMap* map, const int64_t* keys, int64_t count, char* out,
                    uint8_t* found) {
  ForSize(map->row_bytes(), [&](auto bytes) { map->Lookup<bytes()>(keys, count, out, found); });
}

void row_map_insert(RowMap* map, const int64_t* keys, int64_t count, const char* rows) {
  ForSize(map->row_bytes(), [&](auto bytes) { map->Insert<bytes()>(keys, count, rows); });
}

void row_map_overwrite(RowMap* map, const int64_t* keys, int64_t count, const char* rows) {
  ForSize(map->row_bytes(), [&](auto bytes) { map->Overwrite<bytes()>(keys, count, rows); });
}

}  // extern "C"
