// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/crc32c.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/file.h"

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif

namespace jax_hps {
namespace {

#if defined(__SSE4_2__)

uint32_t update(uint32_t crc, const unsigned char* p, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; ++p, --size) crc = _mm_crc32_u8(crc, *p);
  return crc;
}

#else

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}

uint32_t update(uint32_t crc, const unsigned char* p, size_t size) {
  static constexpr auto kTable = make_table();
  for (; size > 0; ++p, --size) crc = kTable[(crc ^ *p) & 0xff] ^ (crc >> 8);
  return crc;
}

#endif

}  // namespace

uint32_t crc32c(const void* data, size_t size, uint32_t initial) {
  return ~update(~initial, static_cast<const unsigned char*>(data), size);
}

uint32_t crc32c_of_file(const std::string& path) {
  const File file = File::open_read(path);
  std::vector<char> block(4 << 20);
  uint32_t crc = 0;
  for (uint64_t offset = 0, size = file.size(); offset < size;) {
    const size_t length = std::min<uint64_t>(block.size(), size - offset);
    file.read_at(block.data(), length, offset);
    crc = crc32c(block.data(), length, crc);
    offset += length;
  }
  return crc;
}

}  // namespace jax_hps
