// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolver_queue.h"

#include <utility>

namespace jax_hps {

ResolverQueue::Asked ResolverQueue::ask(std::span<const int64_t> rows, size_t row_bytes,
                                        ResolverRequest::Time deadline, Promote promote) {
  Asked asked = join(rows, row_bytes, deadline, std::move(promote));
  if (asked.own) enqueue(asked.own);
  return asked;
}

// Behind this, whoever wants one of the rows waits for the new request.
ResolverQueue::Asked ResolverQueue::join(std::span<const int64_t> rows, size_t row_bytes,
                                         ResolverRequest::Time deadline, Promote promote) {
  Asked asked;
  asked.places.resize(rows.size());
  std::vector<size_t> which;
  std::vector<int64_t> wanted;
  const std::lock_guard lock(in_flight_->mutex);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto found = in_flight_->entries.find(rows[i]);
    auto request = found == in_flight_->entries.end() ? nullptr : found->second.request.lock();
    if (request) {
      request->extend(deadline);
      asked.places[i] = {std::move(request), found->second.index};
    } else {
      which.push_back(i);
      wanted.push_back(rows[i]);
    }
  }
  if (which.empty()) return asked;
  ResolverRequest::Promote promote_these;
  if (promote) {
    promote_these = [promote = std::move(promote), which](const std::byte* data) {
      promote(which, data);
    };
  }
  asked.own = std::make_shared<ResolverRequest>(std::move(wanted), row_bytes, deadline, in_flight_,
                                                std::move(promote_these));
  for (size_t i = 0; i < which.size(); ++i) {
    asked.places[which[i]] = {asked.own, i};
    in_flight_->entries[rows[which[i]]] = {asked.own, asked.own.get(), i};
  }
  return asked;
}

void ResolverQueue::enqueue(std::shared_ptr<ResolverRequest> request) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      waiting_.push_back(std::move(request));
      arrived_.notify_one();
      return;
    }
  }
  request->close();
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
  for (auto& request : dropped) request->close();
}

}  // namespace jax_hps
