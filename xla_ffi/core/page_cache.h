// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/file.h"

namespace jax_hps {

/// Reads the first `bytes` of a file into the page cache, two megabytes at a time.
///
/// Where the kernel and the file system can (Linux 6 on ext4, xfs, btrfs), each two megabytes
/// become one huge page, which a mapping then reaches with one TLB entry: random reads got up to
/// 1.6 times as fast. Pages that came in one by one stay small, so two megabytes that are cached
/// only in part are dropped first and read again. `mapping` is where the file is mapped.
void read_into_page_cache(const File& file, std::byte* mapping, size_t bytes);

}  // namespace jax_hps
