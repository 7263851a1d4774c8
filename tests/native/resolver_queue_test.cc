// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolver_queue.h"

#include "check.h"
#include "resolver_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Clock = ResolverRequest::Clock;
using Outcome = ResolverRequest::Outcome;
using Rows = std::vector<int64_t>;

// Asks for rows that nobody else is reading.
std::shared_ptr<ResolverRequest> ask(ResolverQueue& queue, const Rows& rows,
                                     ResolverRequest::Time deadline = Clock::now() + 1h) {
  auto asked = queue.ask(rows, kNumberBytes, deadline);
  CHECK_EQUAL(asked.places.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(asked.places[i].request == asked.own);
    CHECK_EQUAL(asked.places[i].index, i);
  }
  return std::move(asked.own);
}

void check_outcome(ResolverRequest& request, Outcome expected,
                   ResolverRequest::Time deadline = Clock::now() + 1h) {
  CHECK_EQUAL(static_cast<int>(request.wait(deadline)), static_cast<int>(expected));
}

void check_answered(const std::shared_ptr<ResolverRequest>& request) {
  check_outcome(*request, Outcome::kAnswered);
  for (size_t i = 0; i < request->rows.size(); ++i) {
    CHECK_EQUAL(number_at({request, i}), request->rows[i]);
  }
}

void answers() {
  ResolverQueue queue;
  const auto request = ask(queue, {3, 1, 2});
  const auto taken = queue.take();
  CHECK(taken == request);
  CHECK(taken->rows == (Rows{3, 1, 2}));
  taken->answer(numbers(taken->rows));
  check_answered(request);
  check_answered(request);  // and stays there
}

void failures_bring_their_message() {
  ResolverQueue queue;
  for (const bool is_damage : {false, true}) {
    const auto request = ask(queue, {1});
    queue.take()->fail("the bucket is gone", is_damage);
    check_outcome(*request, Outcome::kFailed);
    CHECK_EQUAL(request->message(), "the bucket is gone");
    CHECK_EQUAL(request->is_damage(), is_damage);
  }
}

void answers_of_another_size_are_failures() {
  ResolverQueue queue;
  for (const size_t size : {0, 1, 8, 15, 17, 24}) {
    const auto request = ask(queue, {1, 2});
    queue.take()->answer(std::vector<std::byte>(size));
    check_outcome(*request, Outcome::kFailed);
    CHECK_EQUAL(request->message(),
                "the answer has " + std::to_string(size) + " bytes, expected 16");
    CHECK(!request->is_damage());
  }
}

void first_answer_counts() {
  ResolverQueue queue;
  const auto first = ask(queue, {1}), second = ask(queue, {2}), third = ask(queue, {3});
  queue.take()->answer(numbers(Rows{1}));
  first->fail("too late");
  first->answer(numbers(Rows{7}));
  first->close();
  check_answered(first);
  queue.take()->fail("no");
  second->answer(numbers(Rows{2}));
  second->fail("no longer", true);
  check_outcome(*second, Outcome::kFailed);
  CHECK_EQUAL(second->message(), "no");
  CHECK(!second->is_damage());
  queue.take()->answer({});
  third->answer(numbers(Rows{3}));
  check_outcome(*third, Outcome::kFailed);
}

void failures_past_the_deadline_are_time_outs() {
  ResolverQueue queue;
  const auto late = ask(queue, {1}, Clock::now()), in_time = ask(queue, {2});
  queue.take()->fail("it took too long");
  queue.take()->fail("no such row");
  check_outcome(*late, Outcome::kTimedOut);
  check_outcome(*in_time, Outcome::kFailed);
}

void requests_come_in_turn() {
  ResolverQueue queue;
  std::vector<std::shared_ptr<ResolverRequest>> asked;
  for (int64_t i = 0; i < 10; ++i) asked.push_back(ask(queue, {i}));
  for (size_t i = 0; i < 10; ++i) CHECK(queue.take() == asked[i]);
}

void deadlines_end_the_wait() {
  for (const auto patience : {-1h, 0h}) {  // and deadlines that have passed do not start it
    ResolverQueue queue;
    const auto deadline = Clock::now() + patience;
    check_outcome(*ask(queue, {1}, deadline), Outcome::kTimedOut, deadline);
  }
  ResolverQueue queue;
  const auto start = Clock::now();
  check_outcome(*ask(queue, {1}, start + 30ms), Outcome::kTimedOut, start + 30ms);
  CHECK(Clock::now() - start >= 30ms);
  CHECK(Clock::now() - start < 10s);
}

void who_gives_up_leaves_the_request_to_the_resolver() {
  ResolverQueue queue;
  const auto request = ask(queue, {1}, Clock::now());
  check_outcome(*request, Outcome::kTimedOut, Clock::now());
  queue.take()->answer(numbers(Rows{1}));
  check_answered(request);
  request->fail("later");
  check_answered(request);
}

void close_fails_what_is_queued_and_what_comes() {
  ResolverQueue queue;
  const auto queued = ask(queue, {1});
  queue.close();
  queue.close();
  const auto after = ask(queue, {2});
  check_outcome(*queued, Outcome::kClosed);
  check_outcome(*after, Outcome::kClosed);
  after->answer(numbers(Rows{2}));
  check_outcome(*after, Outcome::kClosed);
  CHECK(queue.take() == nullptr);
}

void close_leaves_what_is_being_answered() {
  ResolverQueue queue;
  const auto request = ask(queue, {1});
  const auto taken = queue.take();
  queue.close();
  taken->answer(numbers(taken->rows));
  check_answered(request);
}

void close_wakes_resolvers_and_askers() {
  ResolverQueue queue;
  std::vector<std::thread> threads;
  std::atomic<int> resolvers = 0, askers = 0, answered = 0;
  for (int64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (const auto request = queue.take()) request->answer(numbers(request->rows));
      ++resolvers;
    });
    threads.emplace_back([&, i] {
      const Rows rows = {1, 10 + i};  // one that all ask for, and one of its own
      for (bool closed = false; !closed;) {
        for (const auto& place : queue.ask(rows, kNumberBytes, Clock::now() + 1h).places) {
          closed |= place.request->wait(Clock::now() + 1h) == Outcome::kClosed;
        }
        answered += !closed;
      }
      ++askers;
    });
  }
  while (answered < 30) std::this_thread::yield();
  queue.close();
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(resolvers, 3);
  CHECK_EQUAL(askers, 3);
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
        request->answer(numbers(request->rows));
      }
    });
  }
  run_threads(kAskers, [&](size_t asker) {
    for (int64_t i = 0; i < kRequests; ++i) {
      // Its own, and some that others want, too.
      const Rows rows = {1000 * static_cast<int64_t>(asker + 1) + i, i % 10, 10 + i % 7};
      const auto deadline = Clock::now() + (i % 5 == 0 ? Clock::duration(200us) : 1h);
      const auto asked = queue.ask(rows, kNumberBytes, deadline);
      for (size_t at = 0; at < rows.size(); ++at) {
        ResolverRequest& request = *asked.places[at].request;
        const Outcome outcome = request.wait(deadline);
        ++outcomes[static_cast<int>(outcome)];
        if (outcome == Outcome::kAnswered) wrong += number_at(asked.places[at]) != rows[at];
        if (outcome == Outcome::kFailed) wrong += request.message() != "every seventh";
      }
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
      while (const auto request = queue.take()) request->answer(numbers(request->rows));
    });
    std::thread closer([&] { queue.close(); });
    const auto deadline = Clock::now() + 50us;
    const auto request = ask(queue, {round}, deadline);
    const Outcome outcome = request->wait(deadline);
    if (outcome == Outcome::kAnswered) CHECK_EQUAL(number_at({request, 0}), round);
    CHECK(outcome != Outcome::kFailed);
    resolver.join();
    closer.join();
  }
}

// Whoever holds a request may do so for longer than there is a queue.
void requests_outlive_the_queue() {
  auto queue = std::make_unique<ResolverQueue>();
  const auto before = ask(*queue, {1}), behind = ask(*queue, {2}), queued = ask(*queue, {3});
  const std::weak_ptr<ResolverRequest> forgotten = ask(*queue, {4});
  const auto first = queue->take(), second = queue->take();
  first->answer(numbers(first->rows));
  queue.reset();
  CHECK(forgotten.expired());
  check_answered(before);
  check_outcome(*behind, Outcome::kTimedOut, Clock::now());
  second->answer(numbers(second->rows));
  check_answered(behind);
  check_outcome(*queued, Outcome::kTimedOut, Clock::now());
  queued->fail("nobody took it");
  check_outcome(*queued, Outcome::kFailed);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"an answer reaches who asked", answers},
      {"a failure brings its message", failures_bring_their_message},
      {"an answer of another size is a failure", answers_of_another_size_are_failures},
      {"the first answer or failure counts", first_answer_counts},
      {"a failure past the deadline is a time-out", failures_past_the_deadline_are_time_outs},
      {"requests are taken in turn", requests_come_in_turn},
      {"a deadline ends the wait", deadlines_end_the_wait},
      {"who gives up leaves the request to the resolver",
       who_gives_up_leaves_the_request_to_the_resolver},
      {"close fails what is queued and what comes", close_fails_what_is_queued_and_what_comes},
      {"close leaves what is being answered", close_leaves_what_is_being_answered},
      {"close wakes resolvers and askers", close_wakes_resolvers_and_askers},
      {"many askers, many resolvers: to each its own", many_askers_and_resolvers},
      {"answers race with deadlines and close", answers_race_with_deadlines_and_close},
      {"requests outlive the queue", requests_outlive_the_queue},
  });
}
