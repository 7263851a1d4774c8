// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// How large caches are, and which cannot be.

#include "core/row_cache_layout.h"

#include <limits>

#include "cache_fixture.h"

namespace jax_hps::test {
namespace {

using cache::kWays;

RowCacheOptions sized_in_rows(int64_t num_rows, int64_t row_bytes, int key_bits = 64,
                              std::optional<bool> exact = {}) {
  return {.num_rows = num_rows,
          .row_bytes = row_bytes,
          .key_bits = key_bits,
          .exact = exact,
          .policy = {}};
}

RowCacheOptions sized_in_bytes(size_t bytes, int64_t row_bytes, int key_bits = 64,
                               std::optional<bool> exact = {}) {
  return {
      .bytes = bytes, .row_bytes = row_bytes, .key_bits = key_bits, .exact = exact, .policy = {}};
}

void check_refused(const RowCacheOptions& options, const std::string& message) {
  check_throws(ErrorCode::kInvalidArgument, "row cache: " + message,
               [&] { RowCacheLayout layout(options); });
}

// Rows must not overlap, nor what lies before them; vector moves want 16 bytes.
void check_offsets(const RowCacheLayout& layout) {
  const size_t count = layout.num_buckets;
  CHECK(count >= 1);
  CHECK(layout.history_offset >= count * sizeof(cache::Bucket));
  CHECK(layout.keys_offset >= layout.history_offset + count * sizeof(cache::History));
  const size_t keys = layout.is_exact ? 0 : count * kWays * sizeof(uint64_t);
  CHECK(layout.rows_offset >= layout.keys_offset + keys);
  CHECK(layout.total_bytes >= layout.rows_offset + count * kWays * layout.row_stride);
  CHECK(layout.row_stride >= layout.row_bytes);
  CHECK(layout.row_stride < 2 * layout.row_bytes || layout.row_stride < layout.row_bytes + 16);
  if (layout.row_bytes >= 16) CHECK_EQUAL(layout.row_stride % 16, 0u);
  CHECK_EQUAL(layout.history_offset % alignof(cache::History), 0u);
  CHECK_EQUAL(layout.keys_offset % 64, 0u);
  CHECK_EQUAL(layout.rows_offset % 64, 0u);
  CHECK_EQUAL(layout.total_bytes % kPageBytes, 0u);
}

void sizes_in_rows_are_rounded_up_to_buckets() {
  for (const int64_t row_bytes : {1, 2, 3, 4, 6, 15, 16, 17, 64, 100, 512, 4096}) {
    for (const int64_t num_rows : {1, 15, 16, 17, 160, 5000, 100001}) {
      for (const std::optional<bool> exact : {std::optional(true), std::optional(false)}) {
        const Scope scope("rows ", num_rows, " of ", row_bytes, " bytes");
        const RowCacheLayout layout(sized_in_rows(num_rows, row_bytes, 24, exact));
        CHECK(layout.num_rows() >= num_rows);
        CHECK(layout.num_rows() < num_rows + kWays);
        CHECK_EQUAL(layout.row_bytes, static_cast<uint32_t>(row_bytes));
        CHECK_EQUAL(layout.is_exact, *exact);
        check_offsets(layout);
      }
    }
  }
}

// Never above the budget, nor so far below that more buckets would fit: what is lost is the rest of
// a bucket, the gaps, and the rest of a page.
void budgets_are_kept_and_used() {
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    const int64_t row_bytes =
        1 + static_cast<int64_t>(random.below(uint64_t{1} << random.below(13)));
    const size_t budget = 200000 + random.below(uint64_t{1} << (10 + random.below(30)));
    const bool exact = random.below(2) == 0;
    const Scope scope("bytes ", budget, ", rows of ", row_bytes, " bytes, exact ", exact);
    const RowCacheLayout layout(sized_in_bytes(budget, row_bytes, 20, exact));
    check_offsets(layout);
    CHECK(layout.total_bytes <= budget);
    const size_t bucket_bytes = sizeof(cache::Bucket) + sizeof(cache::History) +
                                kWays * (layout.row_stride + (exact ? 0 : 8));
    const size_t page = budget >= kHugePageBytes ? kHugePageBytes : kPageBytes;
    CHECK(layout.num_buckets * bucket_bytes + bucket_bytes + 256 + page > budget);
  }
}

// Keys take room: where tags do not suffice the same budget holds fewer rows.
void exactness_is_chosen_by_the_domain() {
  struct Expectation {
    int key_bits;
    int64_t num_rows;
    bool is_exact;
  };
  const Expectation kExpectations[] = {
      {1, 16, true},        {24, 16, true},
      {25, 16, false},      {25, 32, true},
      {34, 16384, true},    {34, 16368, false},
      {34, 1 << 20, true},  {40, 1 << 20, true},
      {44, 16 << 20, true}, {44, (16 << 20) - 16, false},
      {64, 1 << 20, false},
  };
  for (const Expectation& expected : kExpectations) {
    const Scope scope("bits ", expected.key_bits, ", rows ", expected.num_rows);
    const RowCacheLayout layout(sized_in_rows(expected.num_rows, 4, expected.key_bits));
    CHECK_EQUAL(layout.is_exact, expected.is_exact);
    check_offsets(layout);
  }
  const RowCacheLayout exact(sized_in_bytes(1 << 20, 4, 24));
  const RowCacheLayout verified(sized_in_bytes(1 << 20, 4, 64));
  CHECK(exact.is_exact);
  CHECK(!verified.is_exact);
  CHECK(exact.num_rows() > verified.num_rows());
  CHECK(verified.total_bytes <= 1 << 20);
}

void no_exact_tags_where_the_domain_is_too_large() {
  check_refused(
      sized_in_rows(16, 4, 25, true),
      "keys of 25 bits in 1 buckets cannot be told apart by tags of 24 bits: that takes at "
      "least 2 buckets");
  check_refused(sized_in_rows(1000, 4, 64, true), "keys of 64 bits in 63 buckets cannot");
  check_refused(sized_in_bytes(1 << 20, 64, 40, true), "keys of 40 bits in ");
  // As many as the message says are enough.
  CHECK(RowCacheLayout(sized_in_rows(32, 4, 25, true)).is_exact);
}

void sizes_that_make_no_sense() {
  check_refused(sized_in_rows(0, 4), "expected a size above 0 in rows or in bytes");
  check_refused(sized_in_rows(-16, 4), "expected a size above 0 in rows or in bytes, got -16 rows");
  RowCacheOptions both = sized_in_rows(16, 4);
  both.bytes = 1 << 20;
  check_refused(both, "expected a size above 0 in rows or in bytes, got 16 rows and 1048576 bytes");
  both.num_rows = -1;
  check_refused(both, "expected a size above 0 in rows or in bytes, got -1 rows");
  const int64_t most = int64_t{UINT32_MAX} * kWays;
  check_refused(sized_in_rows(most + 1, 4), "expected at most " + std::to_string(most) + " rows");
  check_refused(sized_in_rows(std::numeric_limits<int64_t>::max(), 4), "expected at most ");
  CHECK_EQUAL(RowCacheLayout(sized_in_rows(most, 1)).num_rows(), most);
}

void rows_and_keys_that_make_no_sense() {
  for (const int64_t row_bytes :
       {int64_t{0}, int64_t{-4}, (int64_t{1} << 24) + 1, std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min()}) {
    check_refused(sized_in_rows(16, row_bytes),
                  "expected rows of 1 to 16777216 bytes, got " + std::to_string(row_bytes));
  }
  CHECK_EQUAL(RowCacheLayout(sized_in_rows(1, 1 << 24)).num_rows(), int64_t{kWays});
  for (const int key_bits : {0, -1, 65}) {
    check_refused(sized_in_rows(16, 4, key_bits),
                  "expected keys of 1 to 64 bits, got " + std::to_string(key_bits));
  }
}

// Who follows the message gets a cache.
void budgets_below_one_bucket_are_told_what_it_takes() {
  for (const int64_t row_bytes : {1, 4, 100, 512, 4096, 100000, 1 << 17, 1 << 20, 1 << 24}) {
    for (const bool exact : {true, false}) {
      const Scope scope("rows of ", row_bytes, " bytes, exact ", exact);
      for (const size_t budget : {size_t{1}, static_cast<size_t>(row_bytes) * kWays}) {
        check_refused(sized_in_bytes(budget, row_bytes, 20, exact),
                      std::to_string(budget) + " bytes hold no bucket of 16 rows of " +
                          std::to_string(row_bytes) + " bytes");
      }
      try {
        RowCacheLayout layout(sized_in_bytes(1, row_bytes, 20, exact));
      } catch (const Error& error) {
        const std::string message = error.what(), before = "Give it at least ";
        const size_t named = std::stoull(message.substr(message.find(before) + before.size()));
        const RowCacheLayout layout(sized_in_bytes(named, row_bytes, 20, exact));
        CHECK(layout.num_buckets >= 1);
        CHECK(layout.total_bytes <= named);
      }
    }
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"sizes in rows are rounded up to buckets", sizes_in_rows_are_rounded_up_to_buckets},
      {"budgets are kept, and used", budgets_are_kept_and_used},
      {"exactness is chosen by the domain", exactness_is_chosen_by_the_domain},
      {"no exact tags where the domain is too large", no_exact_tags_where_the_domain_is_too_large},
      {"sizes that make no sense", sizes_that_make_no_sense},
      {"rows and keys that make no sense", rows_and_keys_that_make_no_sense},
      {"budgets below one bucket are told what it takes",
       budgets_below_one_bucket_are_told_what_it_takes},
  });
}
