// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/file.h"

namespace jax_hps {

/// Reads a part of a file into the page cache, two megabytes at a time, and maps it.
///
/// Where the kernel and the file system can (Linux 6 on ext4, xfs, btrfs), each two megabytes
/// become one huge page, which a mapping then reaches with one TLB entry. Pages that came in one
/// by one stay small, so two megabytes that are cached only in part are dropped first and read
/// again; of a file that is not the caller's the kernel does not tell what is cached, and nothing
/// is dropped. `mapping` is where byte `begin` of the file is mapped, `begin` a multiple of 2 MiB.
/// Throws Error(kIo) where the disk fails.
void read_into_page_cache(const File& file, std::byte* mapping, size_t begin, size_t bytes);

}  // namespace jax_hps
