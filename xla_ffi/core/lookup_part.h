// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/dtype.h"

namespace jax_hps {

/// One table's part of a call: `count` keys in, rows and perhaps found flags out.
struct LookupPart {
  std::string_view table;
  const void* keys = nullptr;
  KeyType key_type = KeyType::kInt64;
  int64_t count = 0;
  int64_t dim = 0;  ///< of the output; must be the table's
  DType output = DType::kFloat32;
  std::byte* out = nullptr;
  bool* found = nullptr;
};

}  // namespace jax_hps
