// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Damaged shard files are refused or read as the reference reads them, and no byte outside of a
// file is read: addresses outside of a mapping fault, and the sanitizer watches the rest.

#include "reference_array.h"

namespace jax_hps::test {
namespace {

const Bytes kFill = Random(1).bytes(6);

// A sound shard of 8 chunks of 2 rows of 6 bytes; the fifth chunk is absent.
struct SmallShard {
  explicit SmallShard(bool index_at_end) : layout{2, 15, 6, 16, 2, true, index_at_end} {
    const uint64_t start = index_at_end ? 0 : static_cast<uint64_t>(layout.index_bytes());
    std::vector<IndexEntry> entries;
    for (uint64_t i = 0; i < 8; ++i) entries.push_back({start + 12 * i, 12});
    entries[4] = {};
    bytes = shard_of(layout, Random(2).bytes(96), entries);
    path = layout.shard_path(folder.path(), 0);
    write_file(path, bytes);
  }

  size_t index_begin() const {
    return layout.index_at_end ? bytes.size() - static_cast<size_t>(layout.index_bytes()) : 0;
  }
  bool in_index(size_t at) const {
    return at >= index_begin() && at < index_begin() + static_cast<size_t>(layout.index_bytes());
  }
  // Whether the file, made of these bytes, could be read.
  bool check(const Bytes& changed) const {
    write_file(path, changed);
    return check_against_reference(folder.path(), layout, kFill);
  }

  const ArrayLayout layout;
  const TempFolder folder;
  std::string path;
  Bytes bytes;
};

void every_truncation() {
  for (const bool index_at_end : {true, false}) {
    const SmallShard shard(index_at_end);
    CHECK(shard.check(shard.bytes));
    for (size_t length = 0; length < shard.bytes.size(); ++length) {
      const Scope scope("index at end ", index_at_end, ", length ", length);
      CHECK(!shard.check(Bytes(shard.bytes.begin(), shard.bytes.begin() + length)));
    }
  }
}

void every_flipped_bit() {
  for (const bool index_at_end : {true, false}) {
    const SmallShard shard(index_at_end);
    for (size_t bit = 0; bit < 8 * shard.bytes.size(); ++bit) {
      const Scope scope("index at end ", index_at_end, ", bit ", bit);
      Bytes flipped = shard.bytes;
      flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      CHECK_EQUAL(shard.check(flipped), !shard.in_index(bit / 8));
    }
  }
}

// Offsets and lengths at and around everything that could matter to a file of `size` bytes.
std::vector<uint64_t> interesting_words(uint64_t size) {
  std::vector<uint64_t> words = {0,
                                 1,
                                 12,
                                 24,
                                 size / 2,
                                 size - 12,
                                 size,
                                 uint64_t{1} << 31,
                                 uint64_t{1} << 32,
                                 uint64_t{1} << 63,
                                 kAbsent,
                                 kAbsent - 12};
  for (size_t i = 0, n = words.size(); i < n; ++i) {
    words.push_back(words[i] - 1);
    words.push_back(words[i] + 1);
  }
  return words;
}

void every_out_of_bounds_entry() {
  for (const bool index_at_end : {true, false}) {
    const SmallShard shard(index_at_end);
    const std::vector<IndexEntry> sound = *find_index(shard.layout, shard.bytes);
    const std::vector<uint64_t> words = interesting_words(shard.bytes.size());
    const size_t data_begin = index_at_end ? 0 : static_cast<size_t>(shard.layout.index_bytes());
    const Bytes data(shard.bytes.begin() + data_begin, shard.bytes.begin() + data_begin + 96);
    for (const size_t chunk : {0, 3, 7}) {
      for (const uint64_t offset : words) {
        for (const uint64_t length : words) {
          const Scope scope("index at end ", index_at_end, ", chunk ", chunk, ", offset ", offset,
                            ", length ", length);
          std::vector<IndexEntry> entries = sound;
          entries[chunk] = {offset, length};
          const bool in_file = length == 12 && offset <= shard.bytes.size() - 12;
          const bool absent = offset == kAbsent && length == kAbsent;
          CHECK_EQUAL(shard.check(shard_of(shard.layout, data, entries)), in_file || absent);
        }
      }
    }
  }
}

// A row of a shard that nothing needs may say what it likes: it is not read.
void entries_past_the_last_row_are_not_read() {
  const ArrayLayout layout = {2, 3, 6, 16, 2, true, true};
  std::vector<IndexEntry> entries(8, IndexEntry{1 << 20, 5});
  entries[0] = {0, 12};
  entries[1] = {12, 12};
  const TempFolder folder;
  write_file(layout.shard_path(folder.path(), 0), shard_of(layout, Random(3).bytes(24), entries));
  CHECK(check_against_reference(folder.path(), layout, kFill));
}

// Changes a few things of a shard file, mostly its index, and mostly mends the CRC.
class Mutator {
 public:
  Mutator(const SmallShard& shard, uint64_t seed)
      : shard_(shard), words_(interesting_words(shard.bytes.size())), random_(seed) {}

  Bytes next() {
    Bytes bytes = shard_.bytes;
    for (uint64_t i = 0, edits = 1 + random_.below(4); i < edits; ++i) edit(bytes);
    if (random_.below(4) > 0) mend(bytes);
    return bytes;
  }

 private:
  void edit(Bytes& bytes) {
    const size_t index_bytes = static_cast<size_t>(shard_.layout.index_bytes());
    if (random_.below(8) == 0) bytes.resize(random_.below(2 * shard_.bytes.size()));
    if (bytes.size() < index_bytes) return;
    const size_t begin = shard_.layout.index_at_end ? bytes.size() - index_bytes : 0;
    const size_t at = begin + 8 * random_.below(index_bytes / 8);
    switch (random_.below(4)) {
      case 0:
        bytes[random_.below(bytes.size())] ^= static_cast<std::byte>(1 << random_.below(8));
        break;
      case 1:
        std::memcpy(bytes.data() + at, &random_.any_of(words_), 8);
        break;
      case 2:
        std::memmove(bytes.data() + at, bytes.data() + begin, 8);
        break;
      case 3: {
        const uint64_t near = random_.below(bytes.size());
        std::memcpy(bytes.data() + at, &near, 8);
        break;
      }
    }
  }

  void mend(Bytes& bytes) const {
    const size_t index_bytes = static_cast<size_t>(shard_.layout.index_bytes());
    if (bytes.size() < index_bytes) return;
    std::byte* index = bytes.data() + (shard_.layout.index_at_end ? bytes.size() - index_bytes : 0);
    const uint32_t crc = crc32c(index, index_bytes - 4);
    std::memcpy(index + index_bytes - 4, &crc, 4);
  }

  const SmallShard& shard_;
  std::vector<uint64_t> words_;
  Random random_;
};

void twenty_thousand_mutations() {
  for (const bool index_at_end : {true, false}) {
    const SmallShard shard(index_at_end);
    Mutator mutator(shard, 4);
    int sound = 0;
    for (int i = 0; i < 10'000; ++i) {
      const Scope scope("index at end ", index_at_end, ", mutation ", i);
      sound += shard.check(mutator.next());
    }
    CHECK(sound > 500 && sound < 9500);  // or else the mutations are too wild or too tame
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"a shard cut short at any byte is refused", every_truncation},
      {"a flipped bit in the index is refused", every_flipped_bit},
      {"index entries with a right CRC must lie in the file", every_out_of_bounds_entry},
      {"index entries past the last row do not matter", entries_past_the_last_row_are_not_read},
      {"20 000 mutated shards read like the reference or are refused", twenty_thousand_mutations},
  });
}
