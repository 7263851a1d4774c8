// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/crc32c.h"

#include <numeric>
#include <string_view>

#include "fixtures.h"

namespace jax_hps::test {
namespace {

uint32_t bit_by_bit(const Bytes& bytes) {
  uint32_t crc = ~0u;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

// RFC 3720 B.4, and the check value of the CRC catalogues.
void known_vectors() {
  const std::string_view digits = "123456789";
  CHECK_EQUAL(crc32c(digits.data(), digits.size()), 0xe3069283u);
  CHECK_EQUAL(crc32c(nullptr, 0), 0u);
  Bytes block(32, std::byte{0});
  CHECK_EQUAL(crc32c(block.data(), 32), 0x8a9136aau);
  std::fill(block.begin(), block.end(), std::byte{0xff});
  CHECK_EQUAL(crc32c(block.data(), 32), 0x62a8ab43u);
  for (int i = 0; i < 32; ++i) block[i] = static_cast<std::byte>(i);
  CHECK_EQUAL(crc32c(block.data(), 32), 0x46dd794eu);
  for (int i = 0; i < 32; ++i) block[i] = static_cast<std::byte>(31 - i);
  CHECK_EQUAL(crc32c(block.data(), 32), 0x113fdb5cu);
}

void every_length_and_alignment() {
  const Bytes bytes = Random(1).bytes(128);
  for (size_t begin = 0; begin < 17; ++begin) {
    for (size_t size = 0; begin + size <= 100; ++size) {
      const Scope scope("begin ", begin, ", size ", size);
      const Bytes copy(bytes.begin() + begin, bytes.begin() + begin + size);
      CHECK_EQUAL(crc32c(bytes.data() + begin, size), bit_by_bit(copy));
    }
  }
}

void pieces_equal_the_whole() {
  const Bytes bytes = Random(2).bytes(10'000);
  const uint32_t whole = bit_by_bit(bytes);
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    uint32_t crc = 0;
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece =
          std::min<size_t>(random.below(round < 100 ? 20 : 3000), bytes.size() - at);
      crc = crc32c(bytes.data() + at, piece, crc);
      at += piece;
    }
    CHECK_EQUAL(crc, whole);
  }
}

void whole_files() {
  const TempFolder folder;
  for (const size_t size : {0, 1, 4096, (4 << 20) - 1, 4 << 20, (4 << 20) + 1}) {
    const Scope scope("size ", size);
    const std::string path = folder.path() + "/file";
    const Bytes bytes = Random(size).bytes(size);
    write_file(path, bytes);
    CHECK_EQUAL(crc32c_of_file(path), bit_by_bit(bytes));
  }
  check_throws(ErrorCode::kIo, folder.path() + "/none",
               [&] { crc32c_of_file(folder.path() + "/none"); });
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"crc32c of the published vectors", known_vectors},
      {"crc32c of every length at every alignment", every_length_and_alignment},
      {"crc32c of pieces equals that of the whole", pieces_equal_the_whole},
      {"crc32c of whole files, a missing one is an error", whole_files},
  });
}
