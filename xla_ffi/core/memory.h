// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

namespace jax_hps {

/// A range of address space of our own, unmapped at the end. Empty where `size` is 0.
class Mapping {
 public:
  Mapping() = default;
  /// Zeroed memory; from 2 MiB up aligned to, and made of, huge pages where the kernel gives them.
  /// `size` must come from `allocation_bytes`. Throws Error(kIo).
  static Mapping allocate(size_t size);
  /// Address space without memory, to map files into.
  static Mapping reserve(size_t size);

  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Mapping(void* data, size_t size) : data_(static_cast<std::byte*>(data)), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Asks for huge pages in the part of somebody's memory that is not touched yet. Only advice.
void prefer_huge_pages(std::byte* data, size_t size);

/// What an allocation of `size` bytes takes: whole pages, whole huge pages from 2 MiB up.
size_t allocation_bytes(size_t size);

/// Of x86-64, and of aarch64 kernels that are set up so; others are refused when a file is mapped.
inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kHugePageBytes = 2 << 20;

inline constexpr size_t round_up(size_t size, size_t unit) {
  return (size + unit - 1) / unit * unit;
}

}  // namespace jax_hps
