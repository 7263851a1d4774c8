// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Rows that are on disk only, in whole or in part: gathered, and warmed. Where the temporary
// folder lies in memory nothing is ever cold, and the tests say so.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>

#include "core/base.h"
#include "fixtures.h"

namespace jax_hps::test {
namespace {

constexpr int64_t kRowBytes = 128, kDim = kRowBytes / 4;

// A table on disk of 12 MiB: three files where it is flat, many where its shards break pages.
struct ColdTable {
  explicit ColdTable(bool flat)
      : layout{2, 98'304, kRowBytes, flat ? 32'768 : 9001, flat ? 32 : 9001, true, true},
        rows(Random(1).bytes(static_cast<size_t>(layout.num_rows * kRowBytes))) {
    write_array(folder.path(), layout, rows);
    array = std::make_shared<MappedArray>(folder.path(), layout, Bytes());
    CHECK_EQUAL(array->is_flat(), flat);
  }

  // Drops the pages of a file in [begin, end) from the page cache.
  void drop(int64_t shard, off_t begin, off_t end) const {
    array->end_scan();
    const File file = File::open_read(layout.shard_path(folder.path(), shard));
    CHECK_EQUAL(::posix_fadvise(file.fd(), begin, end - begin, POSIX_FADV_DONTNEED), 0);
  }
  void drop_all() const {
    for (int64_t shard = 0; shard < layout.num_shards(); ++shard) drop(shard, 0, 1 << 30);
  }

  const TempFolder folder;
  const ArrayLayout layout;
  const Bytes rows;
  std::shared_ptr<MappedArray> array;
};

long blocks_read() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_inblock;
}

// Gathers `count` random keys, a tenth of them unknown, and compares.
void check_gather(const ColdTable& table, int64_t count, uint64_t seed,
                  std::atomic<bool>* on_disk = nullptr) {
  const Scope scope("count ", count, ", seed ", seed);
  Random random(seed);
  std::vector<int64_t> keys(static_cast<size_t>(count));
  for (int64_t& key : keys) {
    key = static_cast<int64_t>(random.below(static_cast<uint64_t>(table.layout.num_rows) * 10 / 9));
  }
  Base::Options parts;
  parts.mapped = table.array;
  parts.num_rows = table.layout.num_rows;
  parts.dim = kDim;
  parts.default_row = Random(seed).bytes(kRowBytes);
  const Base base(parts);
  GatherJob job = base.job();
  Bytes out(static_cast<size_t>(count * kRowBytes));
  job.keys = keys.data();
  job.count = count;
  job.out = out.data();
  gather(job, 0, count, on_disk);
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* expected = keys[i] < table.layout.num_rows
                                    ? table.rows.data() + keys[i] * kRowBytes
                                    : parts.default_row.data();
    CHECK(std::memcmp(out.data() + i * kRowBytes, expected, kRowBytes) == 0);
  }
}

void cold_rows_gather_like_warm_ones() {
  long read = 0;
  for (const bool flat : {true, false}) {
    const ColdTable table(flat);
    for (const int64_t count : {1, 2, 31, 32, 33, 511, 512, 513, 1024, 1025, 5000}) {
      table.drop_all();
      const long before = blocks_read();
      check_gather(table, count, static_cast<uint64_t>(count));
      read += blocks_read() - before;
      check_gather(table, count, static_cast<uint64_t>(count));
    }
  }
  std::printf("      %ld KiB came from the disk\n", read / 2);
}

// A call that is told that rows are on disk goes by windows from the start, and finds out that they
// are not, whatever the temporary folder lies on.
void told_to_be_cold() {
  for (const bool flat : {true, false}) {
    const ColdTable table(flat);
    for (const int64_t count : {0, 1, 31, 32, 33, 511, 512, 513, 1024, 1025, 5000}) {
      std::atomic<bool> on_disk = true;
      check_gather(table, count, 7, &on_disk);
      check_gather(table, count, 7, &on_disk);
      CHECK_EQUAL(on_disk, count == 0);
    }
  }
}

// Whether it is cold changes on the way, back and forth.
void half_cold_rows() {
  for (const bool flat : {true, false}) {
    const ColdTable table(flat);
    for (uint64_t seed = 0; seed < 4; ++seed) {
      table.drop(static_cast<int64_t>(seed) % table.layout.num_shards(), 1 << 20, 3 << 20);
      check_gather(table, 4000, seed);
    }
  }
}

size_t resident_pages(const MappedArray& array) {
  std::vector<unsigned char> pages(array.mapped_bytes() / 4096 + array.num_files());
  size_t resident = 0;
  // Flat: one range of addresses.
  ::mincore(const_cast<std::byte*>(array.flat()), array.mapped_bytes(), pages.data());
  for (const unsigned char page : pages) resident += page & 1;
  return resident;
}

// Warms all files, two megabytes at a time; the bytes that were read.
size_t warm(const MappedArray& array) {
  size_t bytes = 0;
  for (size_t file = 0; file < array.num_files(); ++file) {
    for (size_t begin = 0; begin < array.file_bytes(file); begin += kHugePageBytes) {
      bytes += array.warm(file, begin, kHugePageBytes);
    }
  }
  CHECK_EQUAL(bytes, array.mapped_bytes());
  return bytes;
}

void warming_changes_nothing() {
  const std::pair<off_t, off_t> dropped[] = {
      {0, 0}, {0, 1 << 30}, {0, 4096}, {4096, 1 << 20}, {1 << 20, 3 << 20}, {3 << 20, 1 << 30}};
  for (const bool flat : {true, false}) {
    const ColdTable table(flat);
    for (const auto& [begin, end] : dropped) {
      const Scope scope(flat ? "flat" : "scattered", ", dropped ", begin, " to ", end);
      for (int64_t shard = 0; shard < table.layout.num_shards(); ++shard) {
        if (end > begin) table.drop(shard, begin, end);
      }
      const size_t bytes = warm(*table.array);
      if (flat) CHECK_EQUAL(resident_pages(*table.array), bytes / 4096);
      const long before = blocks_read();
      check_gather(table, 2000, 9);
      check_rows(*table.array, table.rows);
      CHECK(blocks_read() - before < 64);  // nothing of the table; a stray page of the program
    }
  }
}

void warming_small_files() {
  const ArrayLayout layout = {2, 3, 5, 4, 1, true, true};
  const TempFolder folder;
  const Bytes rows = Random(2).bytes(15);
  write_array(folder.path(), layout, rows);
  const MappedArray array(folder.path(), layout, {});
  for (const size_t bytes : {size_t{15}, size_t{1000}, SIZE_MAX}) {
    CHECK_EQUAL(array.warm(0, 0, bytes), size_t{15});
  }
  CHECK_EQUAL(array.warm(0, 0, 7), size_t{7});
  CHECK_EQUAL(array.warm(0, kHugePageBytes, 100), size_t{0});
  check_rows(array, rows);
}

// What is mapped of a file that was cut short since cannot be read; that kills nobody here.
void warming_a_file_cut_short_is_an_error() {
  const ArrayLayout layout = {2, 64, 4096, 64, 64, true, true};
  const TempFolder folder;
  write_array(folder.path(), layout, Bytes(64 * 4096));
  const MappedArray array(folder.path(), layout, {});
  std::filesystem::resize_file(layout.shard_path(folder.path(), 0), 5000);
  check_throws(ErrorCode::kIo, "c/0/0", [&] { array.warm(0, 0, 64 * 4096); });
}

// The file of a version that another process has removed: an error, and what is mapped stays.
void warming_a_removed_file_is_an_error() {
  const ArrayLayout layout = {2, 64, 64, 64, 64, true, true};
  const TempFolder folder;
  const Bytes rows = Random(3).bytes(64 * 64);
  write_array(folder.path(), layout, rows);
  const MappedArray array(folder.path(), layout, {});
  std::filesystem::remove(layout.shard_path(folder.path(), 0));
  check_throws(ErrorCode::kIo, "c/0/0", [&] { array.warm(0, 0, 4096); });
  check_rows(array, rows);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"rows on disk are gathered like rows in memory", cold_rows_gather_like_warm_ones},
      {"rows that are said to be on disk, and are not", told_to_be_cold},
      {"so are rows of which some are in memory", half_cold_rows},
      {"warming reads what is not cached and changes nothing", warming_changes_nothing},
      {"warming files shorter than a page", warming_small_files},
      {"warming a file cut short is an error", warming_a_file_cut_short_is_an_error},
      {"warming a removed file is an error", warming_a_removed_file_is_an_error},
  });
}
