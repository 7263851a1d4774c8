// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Lookups that want the same rows at the same time. Where one side has to come first, the test
// itself is that side: it asks the queue for rows, and answers what lookups ask for.

#include <barrier>
#include <optional>

#include "lookup_fixture.h"
#include "resolver_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Code = Failure::Code;
using Clock = ResolverRequest::Clock;
using Rows = std::vector<int64_t>;

const TableShape kShape = {5, 200, 3, 1 << 18};
constexpr size_t kRowBytes = 12;
// Longer than any machine takes, and short enough for a test that fails to come to its end.
constexpr double kPatience = 90;

// Rows 7, 199 and 0 in this order, 7 twice, and two unknown keys.
std::vector<int64_t> six_keys() {
  return {kShape.key(7), -1, kShape.key(199), kShape.key(7), 3, kShape.key(0)};
}

void answer(ResolverRequest& request) {
  request.answer(rows_of(kShape.seed, request.rows, kShape.dim));
}

// A table whose resolver is the test.
struct Asked {
  explicit Asked(std::shared_ptr<RowCache> cache = nullptr)
      : table("s/m/t", make_base(kShape, queue), {.deadline_s = kPatience}, std::move(cache)) {}

  const std::shared_ptr<ResolverQueue> queue = std::make_shared<ResolverQueue>();
  const ResolverRequest::Time deadline = Clock::now() + 60s;  // before those of lookups
  OpenTable table;

  std::shared_ptr<ResolverRequest> ask(const Rows& rows) {
    return queue->ask(rows, kRowBytes, deadline).own;
  }
  // The next request, which must be for these rows.
  std::shared_ptr<ResolverRequest> take(const Rows& rows) {
    auto request = queue->take();
    CHECK(request->rows == rows);
    return request;
  }
  void check_nothing_left() {
    const auto request = ask({123});
    CHECK(queue->take() == request);
  }
  void check_counts(int64_t hits, int64_t defaults, int64_t unavailable, int64_t degraded) {
    table.check_counters();
    CHECK_EQUAL(table.counters().base_hits, hits);
    CHECK_EQUAL(table.counters().defaults, defaults);
    CHECK_EQUAL(table.counters().unavailable, unavailable);
    CHECK_EQUAL(table.counters().degraded, degraded);
  }
};

// A call on a thread of its own.
class Lookup {
 public:
  explicit Lookup(std::vector<int64_t> keys = six_keys(), std::string table = "s/m/t")
      : buffers(std::move(table), std::move(keys), kShape.dim),
        thread_([this] { failure_ = lookup_parts({&buffers}, true); }) {}
  ~Lookup() {
    if (thread_.joinable()) thread_.join();
  }

  /// What it raised, if anything.
  std::optional<Failure> finish() {
    thread_.join();
    return failure_;
  }

  PartBuffers buffers;

 private:
  std::optional<Failure> failure_;
  std::thread thread_;
};

void rows_of_another_call_and_own_ones() {
  for (const bool own_first : {true, false}) {
    Asked asked;
    const auto other = asked.ask({0, 50, 7});
    Lookup lookup;
    await_latecomer(*other, asked.deadline);
    CHECK(asked.queue->take() == other);
    const auto own = asked.take({199});
    answer(own_first ? *own : *other);
    answer(own_first ? *other : *own);
    CHECK(!lookup.finish());
    lookup.buffers.check(kShape);
    asked.check_counts(4, 2, 0, 0);
    asked.check_nothing_left();
  }
}

void nothing_of_ones_own_to_ask_for() {
  Asked asked;
  const auto other = asked.ask({199, 7, 0});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  CHECK(asked.queue->take() == other);
  asked.check_nothing_left();
  answer(*other);
  CHECK(!lookup.finish());
  lookup.buffers.check(kShape);
}

void failures_of_another_call_are_asked_for_again() {
  void (*const ends[])(ResolverRequest&) = {
      [](auto& request) { request.fail("no time left"); },
      [](auto& request) { request.answer({}); },
  };
  for (const auto& end : ends) {
    Asked asked;
    const auto other = asked.ask({0, 50, 7});
    Lookup lookup;
    await_latecomer(*other, asked.deadline);
    end(*asked.queue->take());
    answer(*asked.take({199}));
    answer(*asked.take({7, 0}));
    CHECK(!lookup.finish());
    lookup.buffers.check(kShape);
    asked.check_counts(4, 2, 0, 0);
    asked.check_nothing_left();
  }
}

void what_was_asked_for_again_is_cached_too() {
  const auto cache = make_row_cache(kRowBytes, 1024);
  Asked asked(cache);
  const auto other = asked.ask({0, 7});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  asked.queue->take()->fail("no time left");
  answer(*asked.take({199}));
  answer(*asked.take({7, 0}));
  CHECK(!lookup.finish());
  Rows cached = cache->contents().keys;
  std::sort(cached.begin(), cached.end());
  CHECK(cached == (Rows{kShape.key(0), -1, 3, kShape.key(7), kShape.key(199)}));
}

void ones_own_failures_are_not() {
  Asked asked;
  const auto other = asked.ask({7});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  CHECK(asked.queue->take() == other);
  asked.take({199, 0})->fail("403 Forbidden");
  answer(*other);
  check_failure(lookup.finish(), Code::kUnavailable, "s/m/t",
                "403 Forbidden; 2 keys answered the default");
  asked.check_counts(2, 2, 2, 0);
  asked.check_nothing_left();
  for (const size_t at : {0, 3}) CHECK_EQUAL(lookup.buffers.out[3 * at], element(5, 7, 0));
  for (const size_t at : {2, 5}) CHECK_EQUAL(lookup.buffers.out[3 * at], kDefault);
}

// What was asked for again is one's own, and fails for good.
void the_second_failure_counts() {
  Asked asked;
  const auto other = asked.ask({0, 7, 199});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  asked.queue->take()->fail("first");
  asked.take({7, 199, 0})->fail("second");
  check_failure(lookup.finish(), Code::kUnavailable, "s/m/t", "second; 4 keys answered");
  lookup.buffers.check(kShape, false);
  asked.check_counts(0, 2, 4, 0);
  asked.check_nothing_left();
}

void damage_is_not_asked_for_again() {
  Asked asked;
  const auto other = asked.ask({0, 7, 199});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  asked.queue->take()->fail("chunk 3 is damaged", true);
  check_failure(lookup.finish(), Code::kCorrupt, "s/m/t", "chunk 3 is damaged; 4 keys answered");
  lookup.buffers.check(kShape, false);
  asked.check_counts(0, 2, 4, 0);
  asked.check_nothing_left();
}

void closed_queues_are_not_asked_again() {
  Asked asked;
  const auto other = asked.ask({0, 7});
  Lookup lookup;
  await_latecomer(*other, asked.deadline);
  asked.queue->close();
  check_failure(lookup.finish(), Code::kClosed, "s/m/t", "the server was closed; 4 keys answered");
  lookup.buffers.check(kShape, false);
  asked.check_counts(0, 2, 4, 0);
}

// Others may wait on; this call's time is up.
void who_has_no_time_left_does_not_ask_again() {
  Asked asked;
  const OpenTable hasty("s/m/hasty", make_base(kShape, asked.queue), {.deadline_s = 0});
  const auto other = asked.ask({7});
  PartBuffers buffers("s/m/hasty", six_keys(), 3);
  check_failure(lookup_parts({&buffers}, true), Code::kDeadline, "s/m/hasty", "4 keys answered");
  buffers.check(kShape, false);
  CHECK_EQUAL(hasty.counters().degraded, 4);
  CHECK(other->deadline() == asked.deadline);
  CHECK(asked.queue->take() == other);
  asked.take({199, 0});
  asked.check_nothing_left();
}

// Runs something when a call has asked its resolvers: mapped parts, if large enough for threads,
// are read behind that.
class AfterAsking : public Executor {
 public:
  explicit AfterAsking(std::function<void()> run = [] {}) : run_(std::move(run)) {}
  size_t num_threads() const override {
    run_();
    ++calls;
    return 1;
  }
  void schedule(std::function<void()>) override { CHECK(false); }

  mutable std::atomic<int> calls = 0;

 private:
  const std::function<void()> run_;
};

const TableShape kWide = {3, 50, 300, 0};
PartBuffers large_part() { return {"s/m/mapped", Rows(400, 7), kWide.dim}; }

// The failure was heard of in time, but there was other work to do first.
void failures_found_too_late_are_not_asked_for_again() {
  Asked asked;
  const OpenTable hasty("s/m/hasty", make_base(kShape, asked.queue), {.deadline_s = 0});
  const OpenTable mapped("s/m/mapped", make_base(kWide));
  const auto other = asked.ask({0, 7, 199});
  AfterAsking failing([&] { asked.queue->take()->fail("403 Forbidden"); });
  PartBuffers buffers("s/m/hasty", six_keys(), 3), large = large_part();
  check_failure(lookup_parts({&buffers, &large}, true, &failing), Code::kUnavailable, "s/m/hasty",
                "403 Forbidden; 4 keys answered");
  CHECK_EQUAL(failing.calls, 1);
  buffers.check(kShape, false);
  asked.check_nothing_left();
}

// Of several that wait for a failure, one asks again, and the others wait for that; when it fails
// too, that is this one's failure alone.
void all_but_one_ask_once_more() {
  for (int round = 0; round < 50; ++round) {
    Asked asked;
    const OpenTable longer("s/m/longer", make_base(kShape, asked.queue),
                           {.deadline_s = kPatience + 20});
    const std::vector<int64_t> keys = {kShape.key(7), kShape.key(8)};
    const auto other = asked.ask({7, 8});
    Lookup first(keys);
    await_latecomer(*other, asked.deadline);
    Lookup second(keys, "s/m/longer");
    await_latecomer(*other, asked.deadline + 40s);
    asked.queue->take()->fail("everybody's");
    asked.take({7, 8})->fail("one's own");
    answer(*asked.take({7, 8}));
    const std::optional<Failure> failures[] = {first.finish(), second.finish()};
    CHECK(failures[0].has_value() != failures[1].has_value());
    const int unlucky = failures[0] ? 0 : 1;
    check_failure(failures[unlucky], Code::kUnavailable, unlucky ? "s/m/longer" : "s/m/t",
                  "one's own; 2 keys");
    first.buffers.check(kShape, unlucky != 0);
    second.buffers.check(kShape, unlucky != 1);
    asked.check_nothing_left();
  }
}

void parts_of_one_call_share_rows() {
  AfterAsking executor;
  ResolverThread resolver([&](ResolverRequest& request) {
    while (executor.calls < 1) std::this_thread::yield();
    answer(request);
  });
  const auto base = make_base(kShape, resolver.queue);
  const OpenTable table("s/m/t", base), alias("s/m/alias", base);
  const OpenTable mapped("s/m/mapped", make_base(kWide));
  PartBuffers a("s/m/t", six_keys(), 3), b("s/m/alias", {kShape.key(7), kShape.key(8)}, 3),
      c("s/m/t", {kShape.key(8), 1, kShape.key(0), kShape.key(9)}, 3), large = large_part();
  CHECK(!lookup_parts({&a, &b, &large, &c}, true, &executor));
  for (const PartBuffers* buffers : {&a, &b, &c}) buffers->check(kShape);
  CHECK(resolver.asked() == (std::map<int64_t, int>{{0, 1}, {7, 1}, {8, 1}, {9, 1}, {199, 1}}));
  CHECK_EQUAL(table.counters().base_hits, 7);
  CHECK_EQUAL(alias.counters().base_hits, 2);
}

void many_calls_ask_for_each_row_once() {
  constexpr int kCalls = 8;
  const OpenTable mapped("s/m/mapped", make_base(kWide));
  for (const bool is_cached : {false, true}) {
    for (int round = 0; round < 10; ++round) {
      const Scope scope(is_cached ? "cached" : "not cached", ", round ", round);
      AfterAsking executor;
      ResolverThread resolver([&](ResolverRequest& request) {
        while (executor.calls < kCalls) std::this_thread::yield();
        answer(request);
      });
      std::shared_ptr<RowCache> cache;
      if (is_cached) cache = make_row_cache(kRowBytes, 1024);
      const OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.deadline_s = kPatience},
                            cache);
      std::vector<std::unique_ptr<PartBuffers>> parts;
      for (int64_t i = 0; i < kCalls; ++i) {
        std::vector<int64_t> keys = six_keys();
        for (int64_t row = 40 + i; row < 60 + i; ++row) keys.push_back(kShape.key(row));
        std::rotate(keys.begin(), keys.begin() + i, keys.end());
        parts.push_back(std::make_unique<PartBuffers>("s/m/t", keys, 3));
      }
      std::atomic<int> failed = 0;
      std::barrier together(kCalls);
      run_threads(kCalls, [&](size_t call) {
        PartBuffers large = large_part();
        together.arrive_and_wait();
        failed += lookup_parts({parts[call].get(), &large}, true, &executor).has_value();
      });
      CHECK_EQUAL(failed, 0);
      for (const auto& part : parts) part->check(kShape);
      for (const auto& [row, times] : resolver.asked()) {
        const Scope of("row ", row);
        CHECK_EQUAL(times, 1);
      }
      CHECK_EQUAL(resolver.asked().size(), size_t{3 + 27});
      table.check_counters();
      CHECK_EQUAL(table.counters().base_hits, kCalls * 24);
      CHECK_EQUAL(table.counters().defaults, kCalls * 2);
    }
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"rows of another call's request, and own ones", rows_of_another_call_and_own_ones},
      {"a call whose rows are all being read asks nobody", nothing_of_ones_own_to_ask_for},
      {"another call's failure is asked for again", failures_of_another_call_are_asked_for_again},
      {"what was asked for again is cached, too", what_was_asked_for_again_is_cached_too},
      {"one's own failure is not", ones_own_failures_are_not},
      {"what fails again fails", the_second_failure_counts},
      {"damage is not asked for again", damage_is_not_asked_for_again},
      {"a closed resolver is not asked again", closed_queues_are_not_asked_again},
      {"who has no time left does not ask again", who_has_no_time_left_does_not_ask_again},
      {"nor does who finds the failure too late", failures_found_too_late_are_not_asked_for_again},
      {"of many that wait for a failure, one asks again", all_but_one_ask_once_more},
      {"parts of one call share rows", parts_of_one_call_share_rows},
      {"calls of one moment ask for each row once", many_calls_ask_for_each_row_once},
  });
}
