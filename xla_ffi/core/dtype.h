// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace jax_hps {

/// Element types of rows, on disk and in outputs.
enum class DType { kFloat32, kFloat16, kBFloat16 };

inline constexpr int kNumDTypes = 3;

inline constexpr size_t itemsize(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

inline constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view kNames[] = {"float32", "float16", "bfloat16"};
  return kNames[static_cast<int>(dtype)];
}

inline constexpr std::optional<DType> dtype_of(std::string_view name) {
  for (int i = 0; i < kNumDTypes; ++i) {
    if (name_of(static_cast<DType>(i)) == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

/// How keys come: 32-bit ones are widened (int32 by sign, uint32 by zeros), 64-bit ones are bits.
enum class KeyType { kInt32, kUInt32, kInt64 };

}  // namespace jax_hps
