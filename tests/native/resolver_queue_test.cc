// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolver_queue.h"

#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>

#include "check.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Clock = ResolverRequest::Clock;
using Outcome = ResolverRequest::Outcome;

std::vector<std::byte> bytes(const char* text) {
  std::vector<std::byte> result(std::strlen(text));
  std::memcpy(result.data(), text, result.size());
  return result;
}

void check_outcome(const ResolverQueue::Answer& answer, Outcome expected) {
  CHECK_EQUAL(static_cast<int>(answer.outcome), static_cast<int>(expected));
}

void answers() {
  ResolverQueue queue;
  const auto request = queue.ask({3, 1, 3}, Clock::now() + 1h);
  const auto taken = queue.take();
  CHECK(taken == request);
  CHECK(taken->rows == (std::vector<int64_t>{3, 1, 3}));
  taken->answer(bytes("rows"));
  const auto answer = queue.wait(*request);
  check_outcome(answer, Outcome::kAnswered);
  CHECK(answer.data == bytes("rows"));
}

void failures_bring_their_message() {
  ResolverQueue queue;
  const auto request = queue.ask({1}, Clock::now() + 1h);
  queue.take()->fail("the bucket is gone");
  const auto answer = queue.wait(*request);
  check_outcome(answer, Outcome::kFailed);
  CHECK_EQUAL(answer.message, "the bucket is gone");
}

void first_answer_counts() {
  ResolverQueue queue;
  const auto first = queue.ask({1}, Clock::now() + 1h), second = queue.ask({2}, Clock::now() + 1h);
  queue.take()->answer(bytes("one"));
  first->fail("too late");
  first->answer(bytes("two"));
  CHECK(queue.wait(*first).data == bytes("one"));
  queue.take()->fail("no");
  second->answer(bytes("too late"));
  check_outcome(queue.wait(*second), Outcome::kFailed);
}

void failures_past_the_deadline_are_time_outs() {
  ResolverQueue queue;
  const auto late = queue.ask({1}, Clock::now()), in_time = queue.ask({2}, Clock::now() + 1h);
  queue.take()->fail("it took too long");
  queue.take()->fail("no such row");
  check_outcome(queue.wait(*late), Outcome::kTimedOut);
  check_outcome(queue.wait(*in_time), Outcome::kFailed);
}

void requests_come_in_turn() {
  ResolverQueue queue;
  for (int64_t i = 0; i < 10; ++i) queue.ask({i}, Clock::now() + 1h);
  for (int64_t i = 0; i < 10; ++i) CHECK_EQUAL(queue.take()->rows[0], i);
}

void deadlines_end_the_wait() {
  for (const auto patience : {-1h, 0h}) {  // and deadlines that have passed do not start it
    ResolverQueue queue;
    const auto request = queue.ask({1}, Clock::now() + patience);
    check_outcome(queue.wait(*request), Outcome::kTimedOut);
  }
  ResolverQueue queue;
  const auto start = Clock::now();
  const auto request = queue.ask({1}, start + 30ms);
  check_outcome(queue.wait(*request), Outcome::kTimedOut);
  CHECK(Clock::now() - start >= 30ms);
  CHECK(Clock::now() - start < 10s);
}

void late_answers_are_dropped() {
  ResolverQueue queue;
  const auto request = queue.ask({1}, Clock::now());
  check_outcome(queue.wait(*request), Outcome::kTimedOut);
  const auto taken = queue.take();
  taken->answer(bytes("late"));
  taken->fail("later");
  check_outcome(queue.wait(*request), Outcome::kTimedOut);
}

void close_fails_what_is_queued_and_what_comes() {
  ResolverQueue queue;
  const auto queued = queue.ask({1}, Clock::now() + 1h);
  queue.close();
  queue.close();
  const auto after = queue.ask({2}, Clock::now() + 1h);
  check_outcome(queue.wait(*queued), Outcome::kClosed);
  check_outcome(queue.wait(*after), Outcome::kClosed);
  CHECK(queue.take() == nullptr);
}

void close_leaves_what_is_being_answered() {
  ResolverQueue queue;
  const auto request = queue.ask({1}, Clock::now() + 1h);
  const auto taken = queue.take();
  queue.close();
  taken->answer(bytes("rows"));
  check_outcome(queue.wait(*request), Outcome::kAnswered);
}

void close_wakes_resolvers_and_askers() {
  ResolverQueue queue;
  std::vector<std::thread> threads;
  std::atomic<int> resolvers = 0, askers = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (const auto request = queue.take()) {
        std::this_thread::sleep_for(5ms);
        request->answer({});
      }
      ++resolvers;
    });
    threads.emplace_back([&] {
      for (;;) {
        const auto request = queue.ask({1}, Clock::now() + 1h);
        if (queue.wait(*request).outcome == Outcome::kClosed) break;
      }
      ++askers;
    });
  }
  std::this_thread::sleep_for(30ms);
  queue.close();
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(resolvers, 3);
  CHECK_EQUAL(askers, 3);
}

// Rows are answered as themselves: each asker must get its own.
std::vector<std::byte> as_bytes(const std::vector<int64_t>& rows) {
  std::vector<std::byte> data(rows.size() * 8);
  std::memcpy(data.data(), rows.data(), data.size());
  return data;
}

void many_askers_and_resolvers() {
  constexpr int kAskers = 6, kResolvers = 4, kRequests = 300;
  ResolverQueue queue;
  std::atomic<int> outcomes[4] = {}, wrong = 0;
  std::vector<std::thread> resolvers;
  for (int i = 0; i < kResolvers; ++i) {
    resolvers.emplace_back([&, i] {
      for (int number = i; const auto request = queue.take(); ++number) {
        if (number % 7 == 0) request->fail("every seventh");
        if (number % 11 == 0) std::this_thread::sleep_for(1ms);
        request->answer(as_bytes(request->rows));
      }
    });
  }
  run_threads(kAskers, [&](size_t asker) {
    for (int64_t i = 0; i < kRequests; ++i) {
      const std::vector<int64_t> rows = {static_cast<int64_t>(asker), i, i};
      const auto deadline = Clock::now() + (i % 5 == 0 ? Clock::duration(200us) : 1h);
      const auto request = queue.ask(rows, deadline);
      const auto answer = queue.wait(*request);
      ++outcomes[static_cast<int>(answer.outcome)];
      if (answer.outcome == Outcome::kAnswered) wrong += answer.data != as_bytes(rows);
      if (answer.outcome == Outcome::kFailed) wrong += answer.message != "every seventh";
    }
  });
  queue.close();
  for (std::thread& thread : resolvers) thread.join();
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(outcomes[static_cast<int>(Outcome::kClosed)], 0);
  CHECK(outcomes[static_cast<int>(Outcome::kAnswered)] > 0);
  CHECK(outcomes[static_cast<int>(Outcome::kFailed)] > 0);
}

void answers_race_with_deadlines_and_close() {
  for (int round = 0; round < 200; ++round) {
    ResolverQueue queue;
    std::thread resolver([&] {
      while (const auto request = queue.take()) request->answer(bytes("rows"));
    });
    std::thread closer([&] { queue.close(); });
    const auto request = queue.ask({1}, Clock::now() + 50us);
    const auto answer = queue.wait(*request);
    CHECK_EQUAL(answer.data == bytes("rows"), answer.outcome == Outcome::kAnswered);
    resolver.join();
    closer.join();
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"an answer reaches who asked", answers},
      {"a failure brings its message", failures_bring_their_message},
      {"the first answer or failure counts", first_answer_counts},
      {"a failure past the deadline is a time-out", failures_past_the_deadline_are_time_outs},
      {"requests are taken in turn", requests_come_in_turn},
      {"a deadline ends the wait", deadlines_end_the_wait},
      {"a late answer is dropped", late_answers_are_dropped},
      {"close fails what is queued and what comes", close_fails_what_is_queued_and_what_comes},
      {"close leaves what is being answered", close_leaves_what_is_being_answered},
      {"close wakes resolvers and askers", close_wakes_resolvers_and_askers},
      {"many askers, many resolvers: to each its own", many_askers_and_resolvers},
      {"answers race with deadlines and close", answers_race_with_deadlines_and_close},
  });
}
