// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>

#include "check.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

// An executor that does with its tasks what a test wants, on the thread that schedules.
class ScriptedExecutor : public Executor {
 public:
  explicit ScriptedExecutor(size_t threads) : threads_(threads) {}
  size_t num_threads() const override { return threads_; }

 protected:
  const size_t threads_;
};

struct AtOnce : ScriptedExecutor {
  using ScriptedExecutor::ScriptedExecutor;
  void schedule(std::function<void()> task) override { task(); }
};

struct Never : ScriptedExecutor {
  using ScriptedExecutor::ScriptedExecutor;
  void schedule(std::function<void()>) override {}
};

struct Late : ScriptedExecutor {
  using ScriptedExecutor::ScriptedExecutor;
  void schedule(std::function<void()> task) override { tasks.push_back(std::move(task)); }
  std::vector<std::function<void()>> tasks;
};

// Calls of a body, which must come once for each index. Unsynchronised where the index is the
// same: what parallel_for has run must be visible to its caller.
struct Calls {
  explicit Calls(size_t count) : counts(count, 0) {}
  void run(Executor* executor) {
    parallel_for(executor, counts.size(), [&](size_t i) { ++counts.at(i); });
  }
  void check_once() const {
    for (const int count : counts) CHECK_EQUAL(count, 1);
  }
  std::vector<int> counts;
};

struct Refuses : ScriptedExecutor {
  using ScriptedExecutor::ScriptedExecutor;
  void schedule(std::function<void()> task) override {
    if (tasks.size() == 2) throw std::bad_alloc();
    tasks.push_back(std::move(task));
  }
  std::vector<std::function<void()>> tasks;
};

constexpr size_t kCounts[] = {0, 1, 2, 3, 7, 100, 1000};

void without_threads() {
  for (const size_t count : kCounts) {
    for (const size_t threads : {0, 1}) {
      Calls none(count), single(count);
      Never executor(threads);
      none.run(nullptr);
      none.check_once();
      single.run(&executor);
      single.check_once();
    }
  }
}

void whenever_tasks_run() {
  for (const size_t count : kCounts) {
    for (const size_t threads : {2, 3, 1000}) {
      const Scope scope("count ", count, ", threads ", threads);
      Calls at_once(count), never(count), late(count);
      AtOnce at_once_executor(threads);
      at_once.run(&at_once_executor);
      at_once.check_once();
      Never never_executor(threads);
      never.run(&never_executor);
      never.check_once();
      Late late_executor(threads);
      late.run(&late_executor);
      CHECK(late_executor.tasks.size() < std::max<size_t>(1, count));
      for (const auto& task : late_executor.tasks) task();
      late.check_once();
    }
  }
}

void executors_without_memory() {
  Refuses executor(10);
  Calls calls(100);
  calls.run(&executor);
  calls.check_once();
  CHECK_EQUAL(executor.tasks.size(), size_t{2});
}

void late_tasks_touch_nothing_of_the_call() {
  Late executor(4);
  {
    auto gone = std::make_unique<Calls>(10);
    gone->run(&executor);
  }
  CHECK_EQUAL(executor.tasks.size(), size_t{3});
  for (const auto& task : executor.tasks) task();
}

void many_threads() {
  for (const size_t threads : {1, 2, 8}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      Calls calls(kCounts[round % 7]);
      calls.run(&pool);
      calls.check_once();
    }
  }
}

void what_others_have_begun_is_waited_for() {
  const std::thread::id caller = std::this_thread::get_id();
  ThreadPool pool(2);
  std::atomic<bool> helped = false;
  Calls calls(2);
  parallel_for(&pool, 2, [&](size_t i) {
    if (std::this_thread::get_id() == caller) {
      helped.wait(false);  // until a thread of the pool is in the other call
    } else {
      helped = true;
      helped.notify_all();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ++calls.counts[i];
  });
  calls.check_once();
}

void pool_whose_only_threads_are_busy() {
  for (const size_t threads : {1, 2}) {
    std::atomic<bool> done = false;
    ThreadPool pool(threads);
    struct TwoThreads : Executor {  // so that even one thread gets tasks
      explicit TwoThreads(ThreadPool& pool) : pool(pool) {}
      size_t num_threads() const override { return 2; }
      void schedule(std::function<void()> task) override { pool.schedule(std::move(task)); }
      ThreadPool& pool;
    } executor(pool);
    for (size_t i = 0; i < threads; ++i) {
      pool.schedule([&] { done.wait(false); });
    }
    Calls calls(100);
    calls.run(&executor);
    calls.check_once();
    done = true;
    done.notify_all();
  }
}

// Programs run on the pool that their lookups use.
void calls_from_the_pool_itself() {
  constexpr size_t kCalls = 64;
  std::vector<Calls> calls(kCalls, Calls(50));
  {
    ThreadPool pool(2);
    for (Calls& one : calls) pool.schedule([&] { one.run(&pool); });
  }
  for (const Calls& one : calls) one.check_once();
}

void nested_calls() {
  ThreadPool pool(3);
  std::vector<Calls> calls(20, Calls(20));
  parallel_for(&pool, calls.size(), [&](size_t i) { calls[i].run(&pool); });
  for (const Calls& one : calls) one.check_once();
}

void callers_on_many_threads() {
  ThreadPool pool(2);
  run_threads(6, [&](size_t) {
    for (int round = 0; round < 100; ++round) {
      Calls calls(kCounts[round % 6]);
      calls.run(&pool);
      for (const int count : calls.counts) {
        if (count != 1) std::abort();
      }
    }
  });
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"without an executor, or one that is alone", without_threads},
      {"tasks that run at once, never, late: each index once", whenever_tasks_run},
      {"an executor that has no memory for more tasks", executors_without_memory},
      {"tasks that start after the call touch nothing of it", late_tasks_touch_nothing_of_the_call},
      {"threads of a pool help: each index once", many_threads},
      {"what others have begun is waited for", what_others_have_begun_is_waited_for},
      {"a pool whose threads are all busy is not waited for", pool_whose_only_threads_are_busy},
      {"calls from the threads of the pool", calls_from_the_pool_itself},
      {"calls within calls", nested_calls},
      {"calls from many threads", callers_on_many_threads},
  });
}
