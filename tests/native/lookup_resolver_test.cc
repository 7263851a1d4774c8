// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Lookups of tables whose rows a resolver thread brings.

#include <atomic>
#include <limits>
#include <semaphore>

#include "lookup_fixture.h"
#include "resolver_fixture.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Code = Failure::Code;

const TableShape kShape = {5, 200, 3, 1 << 18};

void resolve_rightly(ResolverRequest& request) {
  request.answer(rows_of(kShape.seed, request.rows, kShape.dim));
}
void resolve_nothing(ResolverRequest&) {}

// Known and unknown keys, some twice: 4 known of 6.
std::vector<int64_t> six_keys() {
  return {kShape.key(7), -1, kShape.key(199), kShape.key(7), 3, kShape.key(0)};
}

void check_counts(const OpenTable& table, int64_t hits, int64_t defaults, int64_t unavailable,
                  int64_t degraded) {
  table.check_counters();
  CHECK_EQUAL(table.counters().base_hits, hits);
  CHECK_EQUAL(table.counters().defaults, defaults);
  CHECK_EQUAL(table.counters().unavailable, unavailable);
  CHECK_EQUAL(table.counters().degraded, degraded);
}

void rows_are_answered() {
  ResolverThread resolver(resolve_rightly);
  const OpenTable table("s/m/t", make_base(kShape, resolver.queue));
  PartBuffers buffers("s/m/t", six_keys(), 3), all_unknown("s/m/t", {1, 2, 3}, 3);
  CHECK(!lookup_parts({&buffers, &all_unknown}, true));
  buffers.check(kShape);
  all_unknown.check(kShape);
  check_counts(table, 4, 5, 0, 0);
  CHECK_EQUAL(resolver.requests, 1);  // nobody is asked for nothing
  CHECK(resolver.asked() == (std::map<int64_t, int>{{0, 1}, {7, 1}, {199, 1}}));
}

void dense_and_without_found() {
  const TableShape dense = {5, 10, 3, 0};
  ResolverThread resolver(resolve_rightly);
  const OpenTable table("s/m/t", make_base(dense, resolver.queue));
  PartBuffers buffers("s/m/t", {9, 10, 0, -1, 5, INT64_MIN}, 3), without("s/m/t", buffers.keys, 3);
  LookupPart part = without.part();
  part.found = nullptr;
  CHECK(!lookup({&part, 1}, true, nullptr));
  CHECK(!lookup_parts({&buffers}, true));
  buffers.check(dense);
  CHECK(without.out == buffers.out);
}

void empty_calls_ask_nobody() {
  ResolverThread resolver(resolve_rightly);
  const OpenTable table("s/m/t", make_base(kShape, resolver.queue));
  PartBuffers none("s/m/t", {}, 3), known("s/m/t", six_keys(), 3);
  CHECK(!lookup_parts({&none}, true));
  CHECK(!lookup_parts({&known}, true));
  CHECK_EQUAL(resolver.requests, 1);
}

void several_tables_are_asked_at_once() {
  std::atomic<int> waiting = 0;
  const auto both = [&](ResolverRequest& request) {
    ++waiting;
    while (waiting < 2) std::this_thread::yield();
    resolve_rightly(request);
  };
  ResolverThread first(both), second(both);
  const OpenTable a("s/m/a", make_base(kShape, first.queue), {.deadline_s = 30});
  const OpenTable b("s/m/b", make_base(kShape, second.queue), {.deadline_s = 30});
  const OpenTable mapped("s/m/c", make_base(kShape));
  PartBuffers of_a("s/m/a", six_keys(), 3), of_b("s/m/b", six_keys(), 3),
      of_c("s/m/c", six_keys(), 3);
  CHECK(!lookup_parts({&of_a, &of_b, &of_c}, true));
  for (const PartBuffers* buffers : {&of_a, &of_b, &of_c}) buffers->check(kShape);
}

struct Trouble {
  const char* name;
  ResolverThread::Resolve resolve;
  double deadline_s;
  Code code;
  const char* message;
  int64_t unavailable, degraded;
};

// Who may raise, and whether that does for a resolver that is late or down. Damage is raised by
// whoever can.
struct Asking {
  const char* name;
  bool raise, strict, may_default, raises;
};
constexpr Asking kAskings[] = {{"can raise", true, false, false, true},
                               {"cannot raise", false, false, false, false},
                               {"may default", true, false, true, false},
                               {"may default, cannot raise", false, false, true, false},
                               {"strict", false, true, false, true},
                               {"strict, may default", false, true, true, true}};

void trouble_answers_the_default_and_is_told() {
  const Trouble troubles[] = {
      {"fails", [](auto& request) { request.fail("403 Forbidden"); }, 30, Code::kUnavailable,
       "403 Forbidden; 4 keys answered the default", 4, 0},
      {"finds damage", [](auto& request) { request.fail("bad chunk 3", true); }, 30, Code::kCorrupt,
       "bad chunk 3; 4 keys answered the default", 4, 0},
      {"fails late",
       [](auto& request) {
         std::this_thread::sleep_until(request.deadline() + 1ms);
         request.fail("403 Forbidden");
       },
       0.01, Code::kDeadline, "no answer within deadline_s=0.01", 0, 4},
      {"too few bytes", [](auto& request) { request.answer(Bytes(35)); }, 30, Code::kUnavailable,
       "has 35 bytes, expected 36", 4, 0},
      {"too many bytes", [](auto& request) { request.answer(Bytes(360)); }, 30, Code::kUnavailable,
       "has 360 bytes, expected 36", 4, 0},
      {"no bytes", [](auto& request) { request.answer({}); }, 30, Code::kUnavailable,
       "has 0 bytes, expected 36", 4, 0},
      {"hangs", resolve_nothing, 0.02, Code::kDeadline, "no answer within deadline_s=0.02", 0, 4},
      {"has no time", resolve_nothing, 0, Code::kDeadline, "4 keys answered the default", 0, 4},
  };
  for (const Trouble& trouble : troubles) {
    const Scope scope(trouble.name);
    for (const Asking& asking : kAskings) {
      const Scope how(asking.name);
      // One each: what the last call left unanswered would be waited for, not asked again.
      ResolverThread resolver(trouble.resolve);
      OpenTable table("s/m/t", make_base(kShape, resolver.queue),
                      {.strict = asking.strict,
                       .may_default = asking.may_default,
                       .deadline_s = trouble.deadline_s});
      PartBuffers buffers("s/m/t", six_keys(), 3);
      const auto raised = lookup_parts({&buffers}, asking.raise);
      const bool damaged = trouble.code == Code::kCorrupt && asking.raise;
      CHECK_EQUAL(raised.has_value(), asking.raises || damaged);
      CHECK_EQUAL(table.counters().failures, raised ? 0 : 1);
      check_failure(raised ? raised : take_one(table->failures), trouble.code, "s/m/t",
                    trouble.message);
      buffers.check(kShape, false);
      check_counts(table, 0, 2, trouble.unavailable, trouble.degraded);
    }
  }
}

void closed_resolvers_answer_the_default() {
  ResolverThread resolver(resolve_rightly);
  resolver.queue->close();
  const OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.strict = true});
  PartBuffers buffers("s/m/t", six_keys(), 3);
  check_failure(lookup_parts({&buffers}), Code::kClosed, "s/m/t", "the server was closed");
  buffers.check(kShape, false);
  check_counts(table, 0, 2, 4, 0);
}

void closing_wakes_lookups_that_are_queued() {
  const auto queue = std::make_shared<ResolverQueue>();
  const OpenTable table("s/m/t", make_base(kShape, queue), {.deadline_s = 7200});
  // The call waits for this request, too, and so tells that it has come.
  const auto deadline = ResolverRequest::Clock::now() + 1h;
  const auto first = queue->ask(std::vector<int64_t>{7}, 12, deadline).own;
  std::thread closer([&] {
    await_latecomer(*first, deadline);
    queue->close();
  });
  PartBuffers buffers("s/m/t", six_keys(), 3);
  check_failure(lookup_parts({&buffers}, true), Code::kClosed, "s/m/t", "closed");
  closer.join();
  buffers.check(kShape, false);
}

void missing_keys_are_told_apart_from_unavailable_ones() {
  ResolverThread resolver([](auto& request) { request.fail("gone"); });
  OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.missing_is_error = true});
  PartBuffers buffers("s/m/t", six_keys(), 3);
  CHECK(!lookup_parts({&buffers}));
  const std::vector<Failure> failures = table->failures.take();
  CHECK_EQUAL(failures.size(), size_t{2});
  check_failure(failures[0], Code::kUnavailable, "s/m/t", "4 keys");
  check_failure(failures[1], Code::kMissingKey, "s/m/t",
                "2 of 6 keys are unknown, the first is -1");
  check_counts(table, 0, 2, 4, 0);
}

void a_late_answer_reaches_no_later_call() {
  std::binary_semaphore gave_up(0);
  int calls = 0;
  ResolverThread resolver([&](ResolverRequest& request) {
    if (calls++ == 0) gave_up.acquire();
    resolve_rightly(request);
  });
  const auto base = make_base(kShape, resolver.queue);
  PartBuffers late("s/m/hasty", six_keys(), 3), other("s/m/patient", {kShape.key(50)}, 3);
  const OpenTable hasty("s/m/hasty", base, {.strict = true, .deadline_s = 0.005});
  const OpenTable patient("s/m/patient", base, {.deadline_s = 30});
  const auto failure = lookup_parts({&late}, true);
  gave_up.release();
  CHECK(!lookup_parts({&other}, true));
  check_failure(failure, Code::kDeadline, "s/m/hasty", "");
  late.check(kShape, false);
  other.check(kShape);
}

void deadlines_without_end() {
  ResolverThread resolver([](ResolverRequest& request) {
    std::this_thread::sleep_for(5ms);
    resolve_rightly(request);
  });
  for (const double forever : {1e9, 1e12, 1e300, std::numeric_limits<double>::infinity()}) {
    const Scope scope("deadline_s ", forever);
    const OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.deadline_s = forever});
    PartBuffers buffers("s/m/t", six_keys(), 3);
    CHECK(!lookup_parts({&buffers}, true));
    buffers.check(kShape);
  }
}

void counters_add_up_whatever_happens() {
  Random random(6);
  ResolverThread resolver([&](ResolverRequest& request) {
    switch (random.below(4)) {
      case 0:
        return request.fail("unlucky");
      case 1:
        return request.answer(Bytes(1));
      default:
        return resolve_rightly(request);
    }
  });
  OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.missing_is_error = true});
  int64_t keys = 0;
  for (int i = 0; i < 300; ++i) {
    PartBuffers a("s/m/t", six_keys(), 3), b("s/m/t", {1, kShape.key(1)}, 3), c("s/m/t", {}, 3);
    lookup_parts({&a, &b, &c});
    keys += 8;
  }
  CHECK_EQUAL(table.counters().keys, keys);
  CHECK_EQUAL(table.counters().lookups, 900);
  CHECK_EQUAL(table.counters().bytes, keys * 12);
  table.check_counters();
  CHECK(table.counters().unavailable > 0);
  CHECK(table.counters().base_hits > 0);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"rows are answered, unknown keys are not asked for", rows_are_answered},
      {"dense tables, and without found", dense_and_without_found},
      {"empty calls ask nobody", empty_calls_ask_nobody},
      {"several tables are asked at once", several_tables_are_asked_at_once},
      {"failures, wrong answers, deadlines: default rows, told",
       trouble_answers_the_default_and_is_told},
      {"a closed resolver answers default rows", closed_resolvers_answer_the_default},
      {"close wakes lookups that wait in the queue", closing_wakes_lookups_that_are_queued},
      {"missing and unavailable keys are told apart",
       missing_keys_are_told_apart_from_unavailable_ones},
      {"a late answer reaches no later call", a_late_answer_reaches_no_later_call},
      {"deadlines without end do not overflow", deadlines_without_end},
      {"counters add up whatever happens", counters_add_up_whatever_happens},
  });
}
