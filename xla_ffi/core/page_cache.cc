// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "core/error.h"
#include "core/memory.h"

// Since Linux 5.14; older headers lack the name.
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace jax_hps {
namespace {

bool can_populate() {
  static const bool can = [] {
    char byte;
    const uintptr_t page = reinterpret_cast<uintptr_t>(&byte) / kPageBytes * kPageBytes;
    return ::madvise(reinterpret_cast<void*>(page), 0, MADV_POPULATE_READ) == 0;
  }();
  return can;
}

// Reads what is mapped and not cached, and maps it.
void populate(void* data, size_t bytes, const File& file) {
  while (::madvise(data, bytes, MADV_POPULATE_READ) != 0) {
    if (errno != EINTR && errno != EAGAIN) throw Error::io("cannot read", file.path());
  }
}

bool is_cached_in_part(std::byte* mapping, size_t bytes) {
  std::vector<unsigned char> pages(round_up(bytes, kPageBytes) / kPageBytes);
  if (::mincore(mapping, bytes, pages.data()) != 0) return false;
  const auto present =
      std::count_if(pages.begin(), pages.end(), [](auto page) { return page & 1; });
  return present > 0 && static_cast<size_t>(present) < pages.size();
}

void drop(const File& file, std::byte* mapping, size_t begin, size_t bytes) {
  ::madvise(mapping, bytes, MADV_DONTNEED);
  ::posix_fadvise(file.fd(), static_cast<off_t>(begin), static_cast<off_t>(bytes),
                  POSIX_FADV_DONTNEED);
}

}  // namespace

void read_into_page_cache(const File& file, std::byte* mapping, size_t begin, size_t bytes) {
  if (!can_populate()) {
    ::posix_fadvise(file.fd(), static_cast<off_t>(begin), static_cast<off_t>(bytes),
                    POSIX_FADV_WILLNEED);
    return;
  }
  // The advice to use huge pages turns one fault into a read of two megabytes, for good: it goes
  // to a mapping of its own, so that single rows are still read by the page.
  const Mapping region = Mapping::reserve(bytes);
  if (::mmap(region.data(), bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd(),
             static_cast<off_t>(begin)) == MAP_FAILED) {
    throw Error::io("cannot map", file.path());
  }
  ::madvise(region.data(), bytes, MADV_HUGEPAGE);
  for (size_t at = 0; at < bytes; at += kHugePageBytes) {
    const size_t length = std::min(kHugePageBytes, bytes - at);
    if (is_cached_in_part(mapping + at, length)) drop(file, mapping + at, begin + at, length);
    populate(region.data() + at, length, file);
  }
  populate(mapping, bytes, file);
}

}  // namespace jax_hps
