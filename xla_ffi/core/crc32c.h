// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace jax_hps {

/// CRC-32C (Castagnoli, as in zarr's crc32c codec and iSCSI) of `size` bytes.
/// `initial` is the CRC of the bytes before them, so that a long stream can be fed in pieces.
uint32_t crc32c(const void* data, size_t size, uint32_t initial = 0);

/// CRC-32C of a whole file. Throws Error(kIo).
uint32_t crc32c_of_file(const std::string& path);

}  // namespace jax_hps
