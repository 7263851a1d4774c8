// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/memory.h"

namespace jax_hps {
namespace {

enum class Cached { kNot, kPartly, kWhole };

Cached cached(std::byte* mapping, size_t bytes) {
  std::vector<unsigned char> pages(round_up(bytes, kPageBytes) / kPageBytes);
  if (::mincore(mapping, bytes, pages.data()) != 0) return Cached::kNot;
  const auto present =
      std::count_if(pages.begin(), pages.end(), [](auto page) { return page & 1; });
  if (present == 0) return Cached::kNot;
  return static_cast<size_t>(present) == pages.size() ? Cached::kWhole : Cached::kPartly;
}

}  // namespace

void read_into_page_cache(const File& file, std::byte* mapping, size_t bytes) {
  // The advice to use huge pages turns one fault into a read of two megabytes, for good: it goes
  // to a mapping of its own, so that single rows are still read by the page.
  const Mapping region = Mapping::reserve(bytes);
  void* huge = ::mmap(region.data(), bytes, PROT_READ, MAP_SHARED | MAP_FIXED, file.fd(), 0);
  if (huge == MAP_FAILED) throw Error::io("cannot map", file.path());
  ::madvise(huge, bytes, MADV_HUGEPAGE);
  for (size_t at = 0; at < bytes; at += kHugePageBytes) {
    const size_t length = std::min(kHugePageBytes, bytes - at);
    const Cached state = cached(mapping + at, length);
    if (state == Cached::kWhole) continue;
    if (state == Cached::kPartly) {
      ::madvise(mapping + at, length, MADV_DONTNEED);
      ::posix_fadvise(file.fd(), static_cast<off_t>(at), static_cast<off_t>(length),
                      POSIX_FADV_DONTNEED);
    }
    ::madvise(region.data() + at, length, MADV_POPULATE_READ);
  }
}

}  // namespace jax_hps
