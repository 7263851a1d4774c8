// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace jax_hps {

/// A thread pool that belongs to somebody else (XLA's, on the way of a lookup).
class Executor {
 public:
  virtual ~Executor() = default;
  virtual size_t num_threads() const = 0;
  /// Runs the task some time, on some thread, perhaps long after.
  virtual void schedule(std::function<void()> task) = 0;
};

/// Calls body(0) ... body(count - 1), helped by threads of the executor (null: none).
///
/// The caller takes part, and waits only for calls that another thread has begun, never for a
/// scheduled task to start: it cannot deadlock on a pool whose threads all do the same.
/// `body` must not throw.
void parallel_for(Executor* executor, size_t count, const std::function<void(size_t)>& body);

}  // namespace jax_hps
