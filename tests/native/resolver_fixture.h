// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "core/resolver_queue.h"

namespace jax_hps::test {

/// Rows that are their own numbers: who waits must get those that it asked for.
inline constexpr size_t kNumberBytes = 8;

inline std::vector<std::byte> numbers(std::span<const int64_t> rows) {
  std::vector<std::byte> data(rows.size() * kNumberBytes);
  std::memcpy(data.data(), rows.data(), data.size());
  return data;
}

/// The number that was answered at a place.
inline int64_t number_at(const ResolverRequest::Place& place) {
  int64_t number;
  std::memcpy(&number, place.request->row(place.index), kNumberBytes);
  return number;
}

/// A thread that does the same with every request.
class ResolverThread {
 public:
  using Resolve = std::function<void(ResolverRequest&)>;

  explicit ResolverThread(Resolve resolve)
      : queue(std::make_shared<ResolverQueue>()), thread_([this, resolve] {
          while (const auto request = queue->take()) {
            ++requests;
            remember(*request);
            resolve(*request);
          }
        }) {}
  ~ResolverThread() {
    queue->close();
    thread_.join();
  }

  /// How often each row was asked for.
  std::map<int64_t, int> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

  const std::shared_ptr<ResolverQueue> queue;
  std::atomic<int> requests = 0;

 private:
  void remember(const ResolverRequest& request) {
    const std::lock_guard lock(mutex_);
    for (const int64_t row : request.rows) ++asked_[row];
  }

  mutable std::mutex mutex_;
  std::map<int64_t, int> asked_;
  std::thread thread_;  // the last: it uses all the others
};

/// Waits until somebody else has come to wait for a request, for longer than those before.
inline void await_latecomer(const ResolverRequest& request, ResolverRequest::Time deadline) {
  while (request.deadline() <= deadline) std::this_thread::yield();
}

}  // namespace jax_hps::test
