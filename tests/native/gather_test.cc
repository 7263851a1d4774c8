// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Every gather against one that looks each key up in a list and converts element by element.
// Inputs and outputs are allocated to the byte, so that the address sanitizer sees what lies
// beyond; guard bytes do the same without it.

#include <cmath>
#include <numeric>

#include "gather_fixture.h"
#include "kernels.h"

namespace jax_hps::test {
namespace {

constexpr DType kDTypes[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16};
constexpr KeyType kKeyTypes[] = {KeyType::kInt32, KeyType::kUInt32, KeyType::kInt64};
// Around the ends of the pipeline's blocks: 1, 4, 16, then 32 keys each.
constexpr int64_t kCounts[] = {0, 1, 2, 3, 4, 5, 20, 21, 22, 31, 32, 33, 52, 53, 54, 1000};
constexpr std::byte kGuard{0xa5};

// Keys of a call: half of them known, many twice.
std::vector<int64_t> choose_keys(const KeyUniverse& universe, int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < count; ++i) {
    keys.push_back(random.any_of(random.below(4) > 0 ? universe.known : universe.unknown));
  }
  return keys;
}

// Packed as the job wants them, `shift` bytes off any alignment.
Bytes pack(const std::vector<int64_t>& keys, KeyType type, size_t shift) {
  Bytes packed(shift + keys.size() * key_bytes(type));
  for (size_t i = 0; i < keys.size(); ++i) {
    std::memcpy(packed.data() + shift + i * key_bytes(type), &keys[i], key_bytes(type));
  }
  return packed;
}

struct Call {
  int64_t count;
  bool found = true;
  size_t shift = 0;  // of keys and output, in bytes
  int64_t begin = 0, end = -1;
};

void check_gather(const RowsInMemory& rows, const KeyUniverse& universe, const Call& call) {
  const Scope scope("count ", call.count, ", found ", call.found, ", shift ", call.shift,
                    ", begin ", call.begin, ", end ", call.end);
  const int64_t end = call.end < 0 ? call.count : call.end;
  const std::vector<int64_t> keys = choose_keys(universe, call.count, 17);
  const Bytes packed = pack(keys, universe.type, call.shift);
  GatherJob job = rows.job();
  const size_t row_bytes = job.out_row_bytes();
  Bytes out(call.shift + static_cast<size_t>(call.count) * row_bytes, kGuard);
  const auto found = std::make_unique<bool[]>(static_cast<size_t>(call.count));
  job.keys = packed.data() + call.shift;
  job.key_type = universe.type;
  job.count = call.count;
  if (universe.index) job.index = universe.index->view();
  job.out = out.data() + call.shift;
  if (call.found) job.found = found.get();
  const int64_t known = gather(job, call.begin, end);

  int64_t expected_known = 0;
  const Bytes guard(row_bytes, kGuard);
  for (int64_t i = 0; i < call.count; ++i) {
    const bool inside = i >= call.begin && i < end;
    const int64_t row = universe.row_of(keys[i]);
    expected_known += inside && row >= 0;
    const std::byte* expected = inside ? rows.expected(row) : guard.data();
    if (std::memcmp(job.out + i * int64_t(row_bytes), expected, row_bytes) != 0) {
      fail(__FILE__, __LINE__,
           "row " + std::to_string(i) + " of key " + std::to_string(keys[i]) + " differs");
    }
    CHECK_EQUAL(key_at(job, i), keys[i]);
    if (call.found) CHECK_EQUAL(found[i], inside && row >= 0);
  }
  CHECK_EQUAL(known, expected_known);
}

// Calls check(rows, universe) for every kind of key, index and rows.
template <typename Check>
void for_each_kind(DType stored, DType output, int64_t dim, Check check) {
  for (const bool flat : {true, false}) {
    const RowsInMemory rows(stored, output, dim, flat);
    for (const KeyType type : kKeyTypes) {
      for (const bool sparse : {false, true}) {
        const Scope scope("from ", name_of(stored), " to ", name_of(output), ", dim ", dim,
                          flat ? ", flat" : ", scattered", sparse ? ", sparse" : ", dense",
                          ", key type ", static_cast<int>(type));
        check(rows, KeyUniverse(RowsInMemory::kRows, sparse, type));
      }
    }
  }
}

void every_count() {
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for (const int64_t dim : {1, 16, 33}) {
        for_each_kind(stored, output, dim, [](const auto& rows, const auto& universe) {
          for (const int64_t count : kCounts) {
            for (const bool found : {true, false}) check_gather(rows, universe, {count, found});
          }
        });
      }
    }
  }
}

// So that the last block, and what is left of the one before it, have every length.
void every_count_to_130() {
  for (const DType output : {DType::kFloat32, DType::kFloat16}) {
    for_each_kind(DType::kFloat32, output, 5, [](const auto& rows, const auto& universe) {
      for (int64_t count = 0; count <= 130; ++count) check_gather(rows, universe, {count});
    });
  }
}

void check_dim(int64_t dim) {
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for_each_kind(stored, output, dim, [](const auto& rows, const auto& universe) {
        check_gather(rows, universe, {60});
      });
    }
  }
}

void every_dim_to_70() {
  for (int64_t dim = 1; dim <= 70; ++dim) check_dim(dim);
}

void large_dims() {
  for (const int64_t dim : {127, 128, 256, 1024, 2048}) check_dim(dim);
}

void unaligned_keys_and_outputs() {
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for (const int64_t dim : {1, 3, 8, 16, 64}) {
        for_each_kind(stored, output, dim, [](const auto& rows, const auto& universe) {
          for (const size_t shift : {1, 3, 7, 33}) check_gather(rows, universe, {60, true, shift});
        });
      }
    }
  }
}

void parts_of_a_call() {
  const std::pair<int64_t, int64_t> ranges[] = {{0, 0},   {100, 100}, {0, 1},  {99, 100}, {1, 99},
                                                {17, 38}, {31, 64},   {5, 58}, {47, 100}};
  for (const DType output : kDTypes) {
    for_each_kind(DType::kFloat32, output, 16, [&](const auto& rows, const auto& universe) {
      for (const auto& [begin, end] : ranges) {
        check_gather(rows, universe, {100, true, 0, begin, end});
        check_gather(rows, universe, {100, false, 0, begin, end});
      }
    });
  }
}

void empty_call_without_buffers() {
  for_each_kind(DType::kFloat32, DType::kFloat16, 4, [](const auto& rows, const auto& universe) {
    GatherJob job = rows.job();
    job.key_type = universe.type;
    if (universe.index) job.index = universe.index->view();
    CHECK_EQUAL(gather(job, 0, 0), 0);
    scatter_rows(job, {}, nullptr);
  });
}

// Rows from here and there to positions in any order; what is not named stays as it was.
void scattered_rows() {
  constexpr int64_t kCount = 100;
  for (const DType stored : kDTypes) {
    for (const DType output : kDTypes) {
      for (const int64_t dim : {1, 3, 16, 33}) {
        for (const size_t shift : {0, 1}) {
          const Scope scope("from ", name_of(stored), " to ", name_of(output), ", dim ", dim,
                            ", shift ", shift);
          const RowsInMemory rows(stored, output, dim, true);
          GatherJob job = rows.job();
          job.count = kCount;
          const size_t from_bytes = job.row_bytes(), to_bytes = job.out_row_bytes();
          Bytes out(shift + kCount * to_bytes, kGuard), expected = out;
          job.out = out.data() + shift;
          Random random(static_cast<uint64_t>(dim));
          std::vector<int64_t> positions(kCount);
          std::iota(positions.begin(), positions.end(), 0);
          for (size_t i = kCount; i > 1; --i)
            std::swap(positions[i - 1], positions[random.below(i)]);
          positions.resize(kCount * 2 / 3);
          std::vector<const std::byte*> sources;
          for (const int64_t position : positions) {
            const auto row = static_cast<int64_t>(random.below(RowsInMemory::kRows + 1));
            const bool is_default = row == RowsInMemory::kRows;
            sources.push_back(is_default ? job.default_row : job.flat + row * int64_t(from_bytes));
            std::memcpy(expected.data() + shift + position * int64_t(to_bytes), rows.expected(row),
                        to_bytes);
          }
          scatter_rows(job, positions, sources.data());
          CHECK(out == expected);
        }
      }
    }
  }
}

// Sparse tables whose keys found no room at home: the probe looks into two lines, then walks on.
void keys_far_from_home() {
  constexpr int64_t kDim = 4;
  std::vector<int64_t> keys;
  const uint64_t num_lines = KeyIndex(RowsInMemory::kRows).view().num_lines;
  for (int64_t key = 0; static_cast<int64_t>(keys.size()) < RowsInMemory::kRows; ++key) {
    const uint64_t line = scale_to(mix64(static_cast<uint64_t>(key)), num_lines);
    if (line == num_lines - 1) keys.push_back(key);
  }
  KeyUniverse universe(RowsInMemory::kRows, false, KeyType::kInt64);
  universe.known = keys;
  universe.unknown = {-1, keys.back() + 1, INT64_MIN};
  universe.index = std::make_unique<KeyIndex>(RowsInMemory::kRows);
  universe.index->insert(keys.data(), static_cast<int64_t>(keys.size()));
  for (const bool flat : {true, false}) {
    const RowsInMemory rows(DType::kFloat32, DType::kFloat32, kDim, flat);
    for (const int64_t count : kCounts) check_gather(rows, universe, {count});
  }
}

// A row number of the index beyond the rows (a damaged table) is unknown, not an address.
void rows_beyond_the_table_are_unknown() {
  const RowsInMemory rows(DType::kFloat32, DType::kFloat32, 4, true);
  const KeyUniverse universe(RowsInMemory::kRows, true, KeyType::kInt64);
  std::vector<float> out(4);
  GatherJob job = rows.job();
  job.keys = &universe.known[RowsInMemory::kRows - 1];
  job.count = 1;
  job.index = universe.index->view();
  job.num_rows = RowsInMemory::kRows - 1;
  job.out = reinterpret_cast<std::byte*>(out.data());
  CHECK_EQUAL(gather(job, 0, 1), 0);
  CHECK(std::memcmp(out.data(), rows.expected(-1), 16) == 0);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  if (!has_wanted_kernels()) return kSkipped;
  return run_all({
      {"counts around the ends of blocks, every kind of key, row and dtype", every_count},
      {"counts 0 to 130", every_count_to_130},
      {"dims 1 to 70", every_dim_to_70},
      {"dims 127 to 2048", large_dims},
      {"keys and outputs of any alignment", unaligned_keys_and_outputs},
      {"a part of a call writes its part only", parts_of_a_call},
      {"an empty call needs no buffers", empty_call_without_buffers},
      {"rows are scattered to their positions, nothing else is written", scattered_rows},
      {"keys that spilled over many lines", keys_far_from_home},
      {"rows beyond the table are unknown", rows_beyond_the_table_are_unknown},
  });
}
