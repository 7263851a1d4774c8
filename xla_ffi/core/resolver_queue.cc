// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolver_queue.h"

#include <utility>

namespace jax_hps {

void ResolverRequest::answer(std::vector<std::byte> data) {
  finish(Outcome::kAnswered, std::move(data), {});
}

void ResolverRequest::fail(std::string message, bool is_damage) {
  const bool late = Clock::now() >= deadline;
  finish(late ? Outcome::kTimedOut : Outcome::kFailed, {}, std::move(message), is_damage);
}

void ResolverRequest::finish(Outcome outcome, std::vector<std::byte> data, std::string message,
                             bool is_damage) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(is_finished_, true)) return;
  outcome_ = outcome;
  data_ = std::move(data);
  message_ = std::move(message);
  is_damage_ = is_damage;
  finished_.notify_all();
}

std::shared_ptr<ResolverRequest> ResolverQueue::ask(std::vector<int64_t> rows,
                                                    ResolverRequest::Clock::time_point deadline) {
  auto request = std::make_shared<ResolverRequest>(std::move(rows), deadline);
  const std::lock_guard lock(mutex_);
  if (closed_) {
    request->finish(ResolverRequest::Outcome::kClosed, {}, {});
  } else {
    waiting_.push_back(request);
    arrived_.notify_one();
  }
  return request;
}

ResolverQueue::Answer ResolverQueue::wait(ResolverRequest& request) {
  std::unique_lock lock(request.mutex_);
  request.finished_.wait_until(lock, request.deadline, [&] { return request.is_finished_; });
  request.is_finished_ = true;  // An answer that comes later is dropped.
  return {request.outcome_, std::move(request.data_), std::move(request.message_),
          request.is_damage_};
}

std::shared_ptr<ResolverRequest> ResolverQueue::take() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
  if (waiting_.empty()) return nullptr;
  auto request = std::move(waiting_.front());
  waiting_.pop_front();
  return request;
}

void ResolverQueue::close() {
  std::deque<std::shared_ptr<ResolverRequest>> dropped;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(waiting_);
    arrived_.notify_all();
  }
  for (auto& request : dropped) request->finish(ResolverRequest::Outcome::kClosed, {}, {});
}

}  // namespace jax_hps
