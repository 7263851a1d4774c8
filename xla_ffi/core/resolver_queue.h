// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace jax_hps {

/// Rows that a lookup wants from a source that is not ours to read (TensorStore, say).
///
/// The request owns its buffers: a lookup that gives up at its deadline leaves it to the resolver.
class ResolverRequest {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Outcome { kAnswered, kFailed, kTimedOut, kClosed };

  ResolverRequest(std::vector<int64_t> rows, Clock::time_point deadline)
      : rows(std::move(rows)), deadline(deadline) {}

  /// For resolvers. The first call of either counts; a failure past the deadline is a time-out.
  void answer(std::vector<std::byte> data);
  /// `is_damage`: what was read is damaged; asking again will not help.
  void fail(std::string message, bool is_damage = false);

  const std::vector<int64_t> rows;  ///< Row numbers, in the order of the answer; may repeat.
  const Clock::time_point deadline;

 private:
  friend class ResolverQueue;

  void finish(Outcome outcome, std::vector<std::byte> data, std::string message,
              bool is_damage = false);

  std::mutex mutex_;
  std::condition_variable finished_;
  bool is_finished_ = false;
  Outcome outcome_ = Outcome::kTimedOut;
  std::vector<std::byte> data_;
  std::string message_;
  bool is_damage_ = false;
};

/// Requests on their way to the resolver threads of one table.
class ResolverQueue {
 public:
  struct Answer {
    ResolverRequest::Outcome outcome;
    std::vector<std::byte> data;  ///< where answered
    std::string message;          ///< where failed
    bool is_damage = false;       ///< where failed
  };

  /// For lookups: ask, do other things, wait until the request's deadline at the longest.
  std::shared_ptr<ResolverRequest> ask(std::vector<int64_t> rows,
                                       ResolverRequest::Clock::time_point deadline);
  Answer wait(ResolverRequest& request);

  /// For resolver threads: the next request, null once the queue is closed.
  std::shared_ptr<ResolverRequest> take();

  /// Fails what waits in the queue and all that is asked from now on.
  void close();

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<ResolverRequest>> waiting_;
  bool closed_ = false;
};

}  // namespace jax_hps
