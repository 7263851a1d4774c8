// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <memory>

namespace jax_hps {
namespace {

// Shared with tasks that may start after the caller has gone, and then find nothing to do.
struct Work {
  Work(size_t count, const std::function<void(size_t)>& body) : count(count), body(&body) {}

  void run() {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      (*body)(i);
      if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == count) done.notify_all();
    }
  }

  void wait() {
    for (size_t seen; (seen = done.load(std::memory_order_acquire)) < count;) done.wait(seen);
  }

  const size_t count;
  const std::function<void(size_t)>* const body;  // valid while done < count
  std::atomic<size_t> next{0};
  std::atomic<size_t> done{0};
};

}  // namespace

void parallel_for(Executor* executor, size_t count, const std::function<void(size_t)>& body) {
  const size_t threads = executor ? std::min(count, executor->num_threads()) : 1;
  if (threads <= 1) {
    for (size_t i = 0; i < count; ++i) body(i);
    return;
  }
  auto work = std::make_shared<Work>(count, body);
  try {
    for (size_t i = 1; i < threads; ++i) executor->schedule([work] { work->run(); });
  } catch (...) {
    // Fewer helpers, then: those that were scheduled may be running already.
  }
  work->run();
  work->wait();
}

}  // namespace jax_hps
