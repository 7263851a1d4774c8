// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// What goes wrong in lookups, and who hears of it.

#include <optional>

#include "lookup_fixture.h"
#include "resolver_fixture.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Code = Failure::Code;
using Clock = ResolverRequest::Clock;
using Rows = std::vector<int64_t>;

const TableShape kShape = {5, 200, 3, 1 << 18};
constexpr size_t kRowBytes = 12;

void answer(ResolverRequest& request, int64_t seed = 5) {
  request.answer(rows_of(seed, request.rows, 3));
}

// Rows of two requests, one damaged, one late or down: the last in
// the order of the keys is told, and may_default then tolerates what must be raised.
void damage_is_told_before_all_else() {
  for (const bool damaged_first : {true, false}) {
    for (const bool other_is_late : {true, false}) {
      const Scope scope(damaged_first ? "damaged first" : "damaged last",
                        other_is_late ? ", other late" : ", other failed");
      const auto queue = std::make_shared<ResolverQueue>();
      const auto deadline = Clock::now() + 60s;
      const auto other = queue->ask(Rows{7}, kRowBytes, deadline).own;
      const OpenTable table("s/m/t", make_base(kShape, queue),
                            {.may_default = true, .deadline_s = other_is_late ? 62. : 90.});
      std::optional<Failure> raised;
      Rows keys = {kShape.key(7), kShape.key(199)};
      if (!damaged_first) std::swap(keys[0], keys[1]);
      std::thread lookup([&] {
        PartBuffers buffers("s/m/t", keys, 3);
        raised = lookup_parts({&buffers}, true);
      });
      while (other->deadline() <= deadline) std::this_thread::yield();
      queue->take()->fail("chunk 3 is damaged", true);
      const auto own = queue->take();
      if (!other_is_late) own->fail("403 Forbidden");
      if (other_is_late) own->close();  // stands in for a time-out: as final, and no waiting
      lookup.join();
      check_failure(raised, Code::kCorrupt, "s/m/t", "chunk 3 is damaged");
    }
  }
}

// A row cache of other rows reads and writes beyond them.
void tables_refuse_caches_of_other_rows() {
  check_throws(ErrorCode::kInvalidArgument, "row cache of 64 bytes a row",
               [] { Table table("s/m/t", make_base(kShape), {}, make_row_cache(64, 16)); });
}

// Nobody hears of damage that is found behind the call.
void what_fails_behind_the_call_is_kept() {
  const auto queue = std::make_shared<ResolverQueue>();
  OpenTable table("s/m/t", make_base(kShape, queue), {.hit_rate_threshold_ppm = 0},
                  make_row_cache(kRowBytes, 1024));
  PartBuffers buffers("s/m/t", {kShape.key(7)}, 3);
  CHECK(!lookup_parts({&buffers}, true));
  queue->take()->fail("chunk 3 is damaged", true);
  check_failure(take_one(table->failures), Code::kCorrupt, "s/m/t", "chunk 3 is damaged");
}

// Rows that will never come are not deferred.
void closed_resolvers_defer_nothing() {
  const auto queue = std::make_shared<ResolverQueue>();
  queue->close();
  const OpenTable table("s/m/t", make_base(kShape, queue), {.hit_rate_threshold_ppm = 0},
                        make_row_cache(kRowBytes, 1024));
  PartBuffers buffers("s/m/t", {kShape.key(7)}, 3);
  check_failure(lookup_parts({&buffers}, true), Code::kClosed, "s/m/t", "1 keys answered");
}

// With updates, the base does not say any more which keys are
// unknown.
void the_first_unknown_key_is_named_as_the_call_saw_it() {
  const auto cache = make_row_cache(kRowBytes, 1024);
  const OpenTable table("s/m/t", make_base(kShape), {.missing_is_error = true}, cache);
  PartBuffers buffers("s/m/t", {-1, -2}, 3);
  check_failure(lookup_parts({&buffers}, true), Code::kMissingKey, "s/m/t", "first is -1");
  CHECK_EQUAL(cache->overwrite(Rows{-1}, rows_of(6, {0}, 3).data()), 1);
  check_failure(lookup_parts({&buffers}, true), Code::kMissingKey, "s/m/t",
                "1 of 2 keys are unknown, the first is -2");
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"damage is told before all else", damage_is_told_before_all_else},
      {"tables refuse caches of other rows", tables_refuse_caches_of_other_rows},
      {"what fails behind the call is kept", what_fails_behind_the_call_is_kept},
      {"closed resolvers defer nothing", closed_resolvers_defer_nothing},
      {"the first unknown key is named", the_first_unknown_key_is_named_as_the_call_saw_it},
  });
}
