// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// Rows that several want at a time: who asks for what, who waits for whom, and what is left when
// somebody goes.

#include <barrier>
#include <numeric>
#include <optional>
#include <set>

#include "fixtures.h"
#include "resolver_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

using namespace std::chrono_literals;
using Clock = ResolverRequest::Clock;
using Outcome = ResolverRequest::Outcome;
using Rows = std::vector<int64_t>;
using Asked = ResolverQueue::Asked;

Asked ask(ResolverQueue& queue, const Rows& rows, ResolverRequest::Time deadline,
          ResolverQueue::Promote promote = nullptr) {
  return queue.ask(rows, kNumberBytes, deadline, std::move(promote));
}
Asked ask(ResolverQueue& queue, const Rows& rows) { return ask(queue, rows, Clock::now() + 1h); }

// Whether a request that is made now is the next.
bool is_empty(ResolverQueue& queue) {
  const Asked asked = ask(queue, {-99});
  const auto next = queue.take();
  next->fail("nobody wants this");
  return next == asked.own;
}

void check_all(const Asked& asked, Outcome expected) {
  for (const auto& place : asked.places) {
    const Outcome outcome = place.request->wait(Clock::now() + 1h);
    CHECK_EQUAL(static_cast<int>(outcome), static_cast<int>(expected));
  }
}

void check_answered(const Asked& asked, const Rows& rows) {
  check_all(asked, Outcome::kAnswered);
  for (size_t i = 0; i < rows.size(); ++i) CHECK_EQUAL(number_at(asked.places[i]), rows[i]);
}

void answer(ResolverRequest& request) { request.answer(numbers(request.rows)); }

void rows_are_asked_for_once() {
  ResolverQueue queue;
  const Asked first = ask(queue, {5, 6, 7}), queued = ask(queue, {7, 5});
  CHECK(!queued.own);
  const auto taken = queue.take();
  CHECK(taken == first.own);
  const Asked behind = ask(queue, {6});
  CHECK(!behind.own);
  CHECK(is_empty(queue));
  answer(*taken);
  check_answered(first, {5, 6, 7});
  check_answered(queued, {7, 5});
  check_answered(behind, {6});
}

void own_rows_and_those_of_others() {
  ResolverQueue queue;
  const Asked a = ask(queue, {1, 2}), b = ask(queue, {2, 3, 1, 4}), c = ask(queue, {5, 4, 2});
  CHECK(b.own->rows == (Rows{3, 4}));
  CHECK(c.own->rows == (Rows{5}));
  const std::shared_ptr<ResolverRequest> expected_of_b[] = {a.own, b.own, a.own, b.own};
  const std::shared_ptr<ResolverRequest> expected_of_c[] = {c.own, b.own, a.own};
  for (size_t i = 0; i < 4; ++i) CHECK(b.places[i].request == expected_of_b[i]);
  for (size_t i = 0; i < 3; ++i) CHECK(c.places[i].request == expected_of_c[i]);
  for (const Asked* asked : {&a, &b, &c}) {
    const auto taken = queue.take();
    CHECK(taken == asked->own);
    answer(*taken);
  }
  check_answered(a, {1, 2});
  check_answered(b, {2, 3, 1, 4});
  check_answered(c, {5, 4, 2});
}

void nothing_to_ask_for() {
  ResolverQueue queue;
  const Asked nothing = ask(queue, {});
  CHECK(!nothing.own);
  CHECK(nothing.places.empty());
  CHECK(is_empty(queue));
}

// However a request ends, who comes behind asks anew.
void finished_rows_are_asked_for_anew() {
  void (*const ends[])(ResolverRequest&) = {
      [](auto& request) { answer(request); },
      [](auto& request) { request.fail("gone"); },
      [](auto& request) { request.fail("damaged", true); },
      [](auto& request) { request.answer({}); },
      [](auto& request) { request.close(); },
  };
  ResolverQueue queue;
  for (const auto& end : ends) {
    Asked first = ask(queue, {1, 2});
    end(*queue.take());
    const Asked second = ask(queue, {2, 3, 1});
    CHECK(second.own && second.own != first.own);
    CHECK(second.own->rows == (Rows{2, 3, 1}));
    first = Asked();  // takes nothing with it that is not its own any more
    CHECK(!ask(queue, {1, 2}).own);
    answer(*queue.take());
    check_answered(second, {2, 3, 1});
  }
}

void latecomers_extend_the_deadline() {
  ResolverQueue queue;
  const auto now = Clock::now();
  const Asked first = ask(queue, {1, 2}, now + 1h);
  CHECK(first.own->deadline() == now + 1h);
  ask(queue, {2}, now + 2h);
  CHECK(first.own->deadline() == now + 2h);
  ask(queue, {1, 3}, now + 1min);
  CHECK(first.own->deadline() == now + 2h);
  ask(queue, {4}, now + 3h);
  CHECK(first.own->deadline() == now + 2h);
}

// Past the deadline of who asked, but somebody else still waits: he is to hear what was wrong.
void failures_within_a_latecomers_deadline_are_failures() {
  ResolverQueue queue;
  const Asked hasty = ask(queue, {1}, Clock::now()), patient = ask(queue, {1});
  queue.take()->fail("403 Forbidden");
  check_all(patient, Outcome::kFailed);
  CHECK_EQUAL(patient.places[0].request->message(), "403 Forbidden");
}

void who_gives_up_leaves_the_others_waiting() {
  ResolverQueue queue;
  std::optional<Asked> hasty = ask(queue, {1, 2}, Clock::now());
  const Asked patient = ask(queue, {2});
  CHECK(hasty->own->wait(Clock::now()) == Outcome::kTimedOut);
  hasty.reset();
  const Asked later = ask(queue, {1});
  CHECK(!later.own);
  answer(*queue.take());
  check_answered(patient, {2});
  check_answered(later, {1});
}

// What a request's first asker was told of its rows.
struct Promoted {
  int calls = 0;
  std::vector<size_t> which;
  Rows rows;

  ResolverQueue::Promote hook() {
    return [this](std::span<const size_t> places, const std::byte* data) {
      ++calls;
      which.assign(places.begin(), places.end());
      rows.resize(places.size());
      std::memcpy(rows.data(), data, rows.size() * kNumberBytes);
    };
  }
};

void rows_are_promoted_by_who_asked_first() {
  ResolverQueue queue;
  Promoted of_first, of_second, of_third;
  const auto deadline = Clock::now() + 1h;
  const Asked first = ask(queue, {1, 2}, deadline, of_first.hook());
  const Asked second = ask(queue, {3, 2, 4, 1}, deadline, of_second.hook());
  const Asked third = ask(queue, {4, 1}, deadline, of_third.hook());
  answer(*queue.take());
  CHECK_EQUAL(of_second.calls, 0);
  answer(*queue.take());
  CHECK_EQUAL(of_first.calls, 1);
  CHECK(of_first.which == (std::vector<size_t>{0, 1}));
  CHECK(of_first.rows == (Rows{1, 2}));
  CHECK_EQUAL(of_second.calls, 1);
  CHECK(of_second.which == (std::vector<size_t>{0, 2}));
  CHECK(of_second.rows == (Rows{3, 4}));
  CHECK_EQUAL(of_third.calls, 0);
}

void late_answers_are_promoted_too() {
  ResolverQueue queue;
  Promoted promoted;
  ask(queue, {1}, Clock::now() - 1h, promoted.hook());  // and not even held by who asked
  const auto taken = queue.take();
  CHECK(taken->wait(Clock::now()) == Outcome::kTimedOut);
  answer(*taken);
  answer(*taken);
  CHECK_EQUAL(promoted.calls, 1);
  CHECK(promoted.rows == (Rows{1}));
}

void only_answers_are_promoted() {
  ResolverQueue queue;
  Promoted promoted;
  const auto deadline = Clock::now() + 1h;
  ask(queue, {1}, deadline, promoted.hook());
  queue.take()->fail("gone");
  ask(queue, {1}, deadline, promoted.hook());
  queue.take()->answer(std::vector<std::byte>(9));
  ask(queue, {1}, deadline, promoted.hook());
  queue.take();
  ask(queue, {1}, Clock::now(), promoted.hook());
  queue.take()->fail("too late");
  ask(queue, {1}, deadline, promoted.hook());
  queue.close();
  ask(queue, {1}, deadline, promoted.hook());
  CHECK_EQUAL(promoted.calls, 0);
}

// Who misses a cache and does not find the row in flight either must not have come too early for
// the one and too late for the other.
void rows_are_promoted_before_they_leave_the_flight() {
  ResolverQueue queue;
  std::optional<Asked> meanwhile;
  const Asked first =
      ask(queue, {1}, Clock::now() + 1h, [&](auto, auto) { meanwhile = ask(queue, {1}); });
  answer(*queue.take());
  CHECK(!meanwhile->own);
  check_answered(*meanwhile, {1});
  CHECK(ask(queue, {1}).own != nullptr);
}

// What a resolver lets fall is asked for anew; what waits in the queue will be read.
void abandoned_requests_leave_the_flight() {
  ResolverQueue queue;
  const std::weak_ptr<ResolverRequest> watch = ask(queue, {1, 2}).own;
  CHECK(!watch.expired());
  {
    const Asked joined = ask(queue, {2});
    CHECK(!joined.own);
    queue.take().reset();
    CHECK(!watch.expired());
    CHECK(!ask(queue, {1}).own);  // somebody waits
  }
  CHECK(watch.expired());
  const Asked anew = ask(queue, {2, 1});
  CHECK(anew.own->rows == (Rows{2, 1}));
  CHECK(queue.take() == anew.own);
}

void closed_queues() {
  ResolverQueue queue;
  const Asked taken_one = ask(queue, {1});
  const auto taken = queue.take();
  const Asked queued = ask(queue, {2, 1});
  const Asked latecomer = ask(queue, {2});
  queue.close();
  check_all(latecomer, Outcome::kClosed);
  CHECK(queued.places[0].request->wait(Clock::now()) == Outcome::kClosed);
  CHECK(queued.places[1].request->wait(Clock::now()) == Outcome::kTimedOut);
  const Asked behind = ask(queue, {1, 3});
  CHECK(behind.places[1].request->wait(Clock::now()) == Outcome::kClosed);
  answer(*taken);
  check_answered(taken_one, {1});
  CHECK_EQUAL(number_at(queued.places[1]), 1);
  CHECK_EQUAL(number_at(behind.places[0]), 1);
  check_all(ask(queue, {1, 2, 3}), Outcome::kClosed);
}

void latecomers_outlive_the_queue() {
  auto queue = std::make_unique<ResolverQueue>();
  std::optional<Asked> first = ask(*queue, {1, 2});
  const Asked latecomer = ask(*queue, {2, 3});
  auto taken = queue->take();
  queue.reset();
  first.reset();
  answer(*taken);
  taken.reset();
  CHECK(latecomer.places[0].request->wait(Clock::now()) == Outcome::kAnswered);
  CHECK_EQUAL(number_at(latecomer.places[0]), 2);
  CHECK(latecomer.own->wait(Clock::now()) == Outcome::kTimedOut);
}

// Many at the same moment, and nobody answers before all have asked.
void askers_of_one_moment_share_all_rows() {
  constexpr size_t kThreads = 8;
  for (uint64_t round = 0; round < 50; ++round) {
    ResolverQueue queue;
    std::vector<Rows> wanted(kThreads);
    std::vector<Asked> asked(kThreads);
    Rows all(40);
    std::iota(all.begin(), all.end(), 0);
    for (size_t i = 0; i < kThreads; ++i) {
      Random random(100 * round + i);
      wanted[i] = all;
      for (size_t at = all.size(); at > 1; --at) {
        std::swap(wanted[i][at - 1], wanted[i][random.below(at)]);
      }
      wanted[i].resize(20 + random.below(21));
    }
    wanted[0] = all;
    std::barrier together(kThreads);
    run_threads(kThreads, [&](size_t thread) {
      together.arrive_and_wait();
      asked[thread] = ask(queue, wanted[thread]);
    });
    std::multiset<int64_t> asked_for;
    for (const Asked& one : asked) {
      if (one.own) asked_for.insert(one.own->rows.begin(), one.own->rows.end());
    }
    CHECK(asked_for == std::multiset<int64_t>(all.begin(), all.end()));
    for (const Asked& one : asked) {
      if (one.own) answer(*queue.take());
    }
    for (size_t i = 0; i < kThreads; ++i) check_answered(asked[i], wanted[i]);
  }
}

// Rows that resolvers hold at a moment.
class Reading {
 public:
  /// How many of these were held already.
  int begin(const Rows& rows) {
    const std::lock_guard lock(mutex_);
    int twice = 0;
    for (const int64_t row : rows) twice += !rows_.insert(row).second;
    return twice;
  }
  void end(const Rows& rows) {
    const std::lock_guard lock(mutex_);
    for (const int64_t row : rows) rows_.erase(row);
  }

 private:
  std::mutex mutex_;
  std::set<int64_t> rows_;
};

// Askers that give up, resolvers that fail, let fall, or answer what nobody waits for: no row is
// ever read twice at a time, nobody gets another's row, and in the end nothing is in flight.
void anything_at_any_time() {
  constexpr int64_t kRows = 30;
  ResolverQueue queue;
  Reading reading;
  std::atomic<int> wrong = 0, twice = 0, answered = 0, joined = 0;
  std::atomic<int64_t> promoted = 0, expected_promoted = 0;
  std::vector<std::thread> resolvers;
  for (uint64_t i = 0; i < 3; ++i) {
    resolvers.emplace_back([&, i] {
      Random random(i);
      while (auto request = queue.take()) {
        twice += reading.begin(request->rows);
        if (random.below(4) == 0) std::this_thread::yield();
        reading.end(request->rows);  // from here on it may leave the flight
        switch (random.below(6)) {
          case 0:
            request->fail("unlucky", random.below(2) == 0);
            break;
          case 1:
            request->answer({});
            break;
          case 2:
            request.reset();
            break;
          default:
            expected_promoted += static_cast<int64_t>(request->rows.size());
            answer(*request);
        }
      }
    });
  }
  run_threads(5, [&](size_t asker) {
    Random random(100 + asker);
    for (int call = 0; call < 1000; ++call) {
      std::set<int64_t> some;
      for (uint64_t n = 1 + random.below(8); some.size() < n;) {
        some.insert(static_cast<int64_t>(random.below(kRows)));
      }
      const Rows rows(some.begin(), some.end());
      const auto deadline = Clock::now() + std::chrono::microseconds(random.below(200));
      const Asked asked = ask(queue, rows, deadline, [&, rows](auto which, const std::byte* data) {
        promoted += static_cast<int64_t>(which.size());
        for (size_t i = 0; i < which.size(); ++i) {
          int64_t number;
          std::memcpy(&number, data + i * kNumberBytes, kNumberBytes);
          wrong += number != rows[which[i]];
        }
      });
      if (random.below(3) == 0) continue;  // does not even wait
      for (size_t i = 0; i < rows.size(); ++i) {
        joined += asked.places[i].request != asked.own;
        if (asked.places[i].request->wait(deadline) != Outcome::kAnswered) continue;
        ++answered;
        wrong += number_at(asked.places[i]) != rows[i];
      }
    }
  });
  queue.close();
  for (std::thread& thread : resolvers) thread.join();
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(twice, 0);
  CHECK(answered > 0);
  CHECK(joined > 0);
  CHECK_EQUAL(promoted, expected_promoted);
  Rows all(kRows);
  std::iota(all.begin(), all.end(), 0);
  CHECK(ask(queue, all).own->rows == all);
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"a row that is being read is not asked for again", rows_are_asked_for_once},
      {"own rows and those of others in one call", own_rows_and_those_of_others},
      {"no rows are no request", nothing_to_ask_for},
      {"rows whose request has ended are asked for anew", finished_rows_are_asked_for_anew},
      {"latecomers extend the deadline", latecomers_extend_the_deadline},
      {"a failure within a latecomer's deadline is a failure",
       failures_within_a_latecomers_deadline_are_failures},
      {"who gives up leaves the others waiting", who_gives_up_leaves_the_others_waiting},
      {"rows are promoted by who asked first, once", rows_are_promoted_by_who_asked_first},
      {"late answers are promoted too", late_answers_are_promoted_too},
      {"nothing but answers is promoted", only_answers_are_promoted},
      {"rows are promoted before they leave the flight",
       rows_are_promoted_before_they_leave_the_flight},
      {"a request that is let fall leaves the flight", abandoned_requests_leave_the_flight},
      {"closed queues fail what was not taken", closed_queues},
      {"latecomers outlive the queue", latecomers_outlive_the_queue},
      {"askers of one moment share all rows", askers_of_one_moment_share_all_rows},
      {"anything at any time", anything_at_any_time},
  });
}
