// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <csignal>

#include "reference_array.h"

namespace jax_hps::test {
namespace {

struct Shape {
  const char* name;
  ArrayLayout layout;
  bool flat;
};

constexpr ArrayLayout layout(int rank, int64_t num_rows, int64_t row_bytes, int64_t shard_rows,
                             int64_t chunk_rows) {
  return {rank, num_rows, row_bytes, shard_rows, chunk_rows, true, true};
}

const Shape kShapes[] = {
    {"whole shards", layout(2, 1024, 64, 256, 64), true},
    {"partial last shard and chunk", layout(2, 1001, 64, 256, 64), true},
    {"partial last shard, whole chunks", layout(2, 896, 64, 256, 64), true},
    {"rank 1", layout(1, 5000, 8, 1024, 512), true},
    {"one row", layout(2, 1, 4, 1024, 16), true},
    {"one row in each shard", layout(2, 5, 8192, 1, 1), true},
    {"one short shard of odd rows", layout(2, 999, 6, 1000, 10), true},
    {"no rows", layout(2, 0, 4, 16, 4), true},
    {"no rows, rank 1", layout(1, 0, 8, 16, 4), true},
    {"odd rows, shards of whole pages", layout(2, 9000, 3, 4096, 32), true},
    {"shards of broken pages", layout(2, 1000, 12, 100, 10), false},
    {"rows larger than a page, broken shards", layout(2, 7, 4100, 1, 1), false},
    {"rank 1, broken shards", layout(1, 100, 8, 33, 11), false},
    {"the chunk is the shard", layout(2, 200, 64, 64, 64), true},
};

void round_trips() {
  for (const Shape& shape : kShapes) {
    const Scope scope(shape.name);
    const TempFolder folder;
    const ArrayLayout& layout = shape.layout;
    const Bytes rows = Random(1).bytes(static_cast<size_t>(layout.num_rows * layout.row_bytes));
    const std::vector<uint32_t> crcs = write_array(folder.path(), layout, rows);
    CHECK_EQUAL(static_cast<int64_t>(crcs.size()), layout.num_shards());
    for (int64_t shard = 0; shard < layout.num_shards(); ++shard) {
      CHECK_EQUAL(crc32c_of_file(layout.shard_path(folder.path(), shard)), crcs[shard]);
    }
    const MappedArray array(folder.path(), layout, {});
    CHECK_EQUAL(array.is_flat(), shape.flat);
    CHECK_EQUAL(static_cast<int64_t>(array.num_files()), layout.num_shards());
    CHECK(array.mapped_bytes() >= rows.size());
    CHECK_EQUAL(array.table_bytes() > 0, !shape.flat);
    check_rows(array, rows);
    if (array.is_flat()) CHECK(std::equal(rows.begin(), rows.end(), array.flat()));
    array.begin_scan();
    check_rows(array, rows);
    array.end_scan();
    check_rows(array, rows);
    CHECK(reference_array(folder.path(), layout, Bytes(layout.row_bytes)) == rows);
  }
}

// 10 chunks of 2 rows of 3 bytes; chunk i of the shard lies at `places[i]`, -1: nowhere.
struct Arrangement {
  const char* name;
  std::vector<int> places;
  bool flat;
};

void chunks_lie_anywhere() {
  const Arrangement arrangements[] = {
      {"in order", {0, 6, 12, 18, 24, 30, 36, 42, 48, 54}, true},
      {"backwards", {54, 48, 42, 36, 30, 24, 18, 12, 6, 0}, false},
      {"with gaps", {1, 8, 15, 22, 29, 36, 43, 50, 57, 64}, false},
      {"some absent", {0, -1, 12, -1, -1, 30, 36, 42, 48, -1}, false},
      {"all absent", {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, false},
      {"one for all", {5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, false},
  };
  for (const Arrangement& arrangement : arrangements) {
    for (const bool index_at_end : {true, false}) {
      for (const int64_t num_rows : {20, 19, 4, 33}) {  // of 33, the second shard is not there
        const Scope scope(arrangement.name, ", index at end ", index_at_end, ", rows ", num_rows);
        const ArrayLayout layout = {2, num_rows, 3, 20, 2, true, index_at_end};
        const uint64_t start = index_at_end ? 0 : static_cast<uint64_t>(layout.index_bytes());
        std::vector<IndexEntry> entries;
        for (const int place : arrangement.places) {
          entries.push_back(place < 0 ? IndexEntry() : IndexEntry{start + place, 6});
        }
        const TempFolder folder;
        write_file(layout.shard_path(folder.path(), 0),
                   shard_of(layout, Random(2).bytes(70), entries));
        CHECK(check_against_reference(folder.path(), layout, Random(3).bytes(3)));
        const bool flat = MappedArray(folder.path(), layout, {}).is_flat();
        CHECK(!flat || (index_at_end && num_rows <= layout.shard_rows));
        if (index_at_end && num_rows == 20) CHECK_EQUAL(flat, arrangement.flat);
      }
    }
  }
}

void plain_chunks() {
  for (const int64_t chunk_bytes : {12, 4096}) {
    const Scope scope("chunks of ", chunk_bytes);
    const ArrayLayout layout = {2, 10, chunk_bytes / 4, 4, 4, false, true};
    const TempFolder folder;
    const Bytes fill = Random(4).bytes(static_cast<size_t>(layout.row_bytes));
    for (const int64_t shard : {0, 2, 1}) {  // so each state of the folder is checked
      CHECK(check_against_reference(folder.path(), layout, fill));
      const Bytes chunk = Random(shard).bytes(static_cast<size_t>(chunk_bytes));
      write_file(layout.shard_path(folder.path(), shard), chunk);
    }
    CHECK(check_against_reference(folder.path(), layout, fill));
    CHECK_EQUAL(MappedArray(folder.path(), layout, fill).is_flat(), chunk_bytes == 4096);
    for (const int64_t wrong : {int64_t{0}, chunk_bytes - 1, chunk_bytes + 1}) {
      write_file(layout.shard_path(folder.path(), 2), Bytes(static_cast<size_t>(wrong)));
      check_throws(ErrorCode::kCorrupt, "/c/2/0: has " + std::to_string(wrong) + " bytes",
                   [&] { MappedArray(folder.path(), layout, fill); });
    }
  }
}

void absent_arrays_read_as_fill() {
  const TempFolder folder;
  const ArrayLayout layout = {2, 100, 5, 16, 4, true, true};
  CHECK(check_against_reference(folder.path(), layout, Random(5).bytes(5)));
  CHECK_EQUAL(MappedArray(folder.path(), layout, {}).num_files(), size_t{0});
  check_throws(ErrorCode::kInvalidArgument, "fill row of 5 bytes, got 4",
               [&] { MappedArray(folder.path(), layout, Bytes(4)); });
}

// A shard that cannot be read is not one that is absent.
void unreadable_shards_are_errors() {
  const ArrayLayout layout = {2, 4, 4, 4, 4, true, true};
  {
    const TempFolder folder;
    folder.make("c/0");
    std::filesystem::create_symlink("0", folder.path() + "/c/0/0");
    check_throws(ErrorCode::kIo, "c/0/0", [&] { MappedArray(folder.path(), layout, {}); });
  }
  {
    const TempFolder folder;
    write_file(folder.path() + "/c/0", Bytes(8));
    check_throws(ErrorCode::kIo, "c/0/0", [&] { MappedArray(folder.path(), layout, {}); });
  }
  {
    const TempFolder folder;
    folder.make("c/0/0");
    check_throws(ErrorCode::kIo, "c/0/0", [&] { MappedArray(folder.path(), layout, {}); });
  }
}

void impossible_layouts_are_refused() {
  constexpr int64_t kHuge = INT64_MAX / 2;
  const ArrayLayout layouts[] = {
      layout(3, 4, 4, 4, 4),
      layout(2, -1, 4, 4, 4),
      layout(2, 4, 0, 4, 4),
      layout(2, 4, 4, 0, 4),
      layout(2, 4, 4, 4, 0),
      layout(2, 4, 4, 4, 3),
      layout(2, 4, 4, -4, 4),
      layout(2, 4, 4, kHuge, 1),
      layout(2, 4, kHuge, 4, 4),
      {2, 4, 4, 4, 2, false, true},
      layout(2, INT64_MAX, 1, 16, 1),        // the number of shards overflows
      layout(2, 1, 2, int64_t{1} << 60, 1),  // the bytes of the index do
  };
  const TempFolder folder;
  // What an index without entries looks like, where its length overflows to just the CRC.
  write_file(folder.path() + "/c/0/0", Bytes(4));
  for (const ArrayLayout& layout : layouts) {
    const Scope scope("layout ", &layout - layouts);
    check_throws(ErrorCode::kInvalidArgument,
                 "array layout: ", [&] { MappedArray(folder.path(), layout, {}); });
  }
}

void writer_refuses_what_it_cannot_write() {
  const ArrayLayout layout = {2, 0, 4, 4, 2, true, true};
  const TempFolder folder;
  ArrayWriter writer(folder.path(), layout);
  const Bytes rows(64);
  check_throws(ErrorCode::kInvalidArgument, "a multiple of 4 bytes, got 7",
               [&] { writer.append(rows.data(), 7); });
  check_throws(ErrorCode::kIo, "/c", [&] { ArrayWriter(folder.path() + "/none", layout); });
  write_file(folder.path() + "/c/0/0", Bytes(1));
  check_throws(ErrorCode::kIo, "/c/0/0", [&] { writer.append(rows.data(), 64); });
  CHECK_EQUAL(writer.rows_written(), 0);
  // Where an append has failed, what came after it would lie in the wrong rows.
  check_throws(ErrorCode::kInvalidArgument, "write the array anew",
               [&] { writer.append(rows.data(), 64); });
  check_throws(ErrorCode::kInvalidArgument, "write the array anew", [&] { writer.finish(); });
}

void writer_tells_of_a_full_disk() {
  const TempFolder folder;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {10'000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  int system_error = 0;
  std::string path;
  try {
    write_array(folder.path(), {2, 0, 64, 1024, 64, true, true}, Bytes(64 * 1024));
  } catch (const Error& error) {
    system_error = error.system_error;
    path = error.path;
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK_EQUAL(system_error, EFBIG);
  CHECK_EQUAL(path, folder.path() + "/c/0/0");
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"arrays of every layout read as they were written", round_trips},
      {"chunks in any order, with gaps, absent; index at either end", chunks_lie_anywhere},
      {"unsharded arrays: one chunk a file, of the right length", plain_chunks},
      {"absent arrays read as the fill row", absent_arrays_read_as_fill},
      {"a shard that cannot be read is an error, not absent", unreadable_shards_are_errors},
      {"layouts whose numbers do not fit or overflow are refused", impossible_layouts_are_refused},
      {"the writer refuses broken rows and existing files", writer_refuses_what_it_cannot_write},
      {"the writer names the file where the disk is full", writer_tells_of_a_full_disk},
  });
}
