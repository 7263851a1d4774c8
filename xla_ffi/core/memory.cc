// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <string>

#include "core/error.h"

namespace jax_hps {
namespace {

std::byte* map_anonymous(size_t size, int protection, int flags) {
  void* data = ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
  if (data == MAP_FAILED) {
    throw Error::io("cannot map " + std::to_string(size) + " bytes of", "memory");
  }
  return static_cast<std::byte*>(data);
}

// Maps `size` bytes at a multiple of 2 MiB and returns what was mapped too much.
std::byte* map_aligned(size_t size, int protection, int flags) {
  std::byte* data = map_anonymous(size + kHugePageBytes, protection, flags);
  const size_t before = round_up(reinterpret_cast<uintptr_t>(data), kHugePageBytes) -
                        reinterpret_cast<uintptr_t>(data);
  if (before > 0) ::munmap(data, before);
  ::munmap(data + before + size, kHugePageBytes - before);
  return data + before;
}

}  // namespace

size_t allocation_bytes(size_t size) {
  return round_up(size, size < kHugePageBytes ? kPageBytes : kHugePageBytes);
}

void prefer_huge_pages(std::byte* data, size_t size) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = round_up(begin, kHugePageBytes);
  const uintptr_t last = (begin + size) / kHugePageBytes * kHugePageBytes;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

Mapping Mapping::allocate(size_t size) {
  if (size == 0) return Mapping();
  if (size < kHugePageBytes) return Mapping(map_anonymous(size, PROT_READ | PROT_WRITE, 0), size);
  Mapping mapping(map_aligned(size, PROT_READ | PROT_WRITE, 0), size);
  ::madvise(mapping.data(), size, MADV_HUGEPAGE);  // Only advice: 4 KiB pages work too.
  return mapping;
}

Mapping Mapping::reserve(size_t size) {
  if (size == 0) return Mapping();
  return Mapping(map_aligned(round_up(size, kPageBytes), PROT_NONE, MAP_NORESERVE),
                 round_up(size, kPageBytes));
}

Mapping::~Mapping() {
  if (size_ > 0) ::munmap(data_, size_);
}

}  // namespace jax_hps
