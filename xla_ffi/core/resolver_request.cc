// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/resolver_request.h"

#include <algorithm>
#include <utility>

namespace jax_hps {

ResolverRequest::ResolverRequest(std::vector<int64_t> rows, size_t row_bytes, Time deadline,
                                 std::shared_ptr<InFlight> in_flight, Promote promote)
    : rows(std::move(rows)),
      row_bytes_(row_bytes),
      in_flight_(std::move(in_flight)),
      deadline_(deadline),
      promote_(std::move(promote)) {}

void ResolverRequest::answer(std::vector<std::byte> data) {
  const size_t expected = rows.size() * row_bytes_;
  if (data.size() != expected) {
    fail("the answer has " + std::to_string(data.size()) + " bytes, expected " +
         std::to_string(expected));
    return;
  }
  finish(Outcome::kAnswered, std::move(data), {});
}

void ResolverRequest::fail(std::string message, bool is_damage) {
  const bool late = Clock::now() >= deadline();
  finish(late ? Outcome::kTimedOut : Outcome::kFailed, {}, std::move(message), is_damage);
}

ResolverRequest::Time ResolverRequest::deadline() const {
  const std::lock_guard lock(mutex_);
  return deadline_;
}

void ResolverRequest::extend(Time deadline) {
  const std::lock_guard lock(mutex_);
  deadline_ = std::max(deadline_, deadline);
}

ResolverRequest::Outcome ResolverRequest::wait(Time deadline) {
  std::unique_lock lock(mutex_);
  finished_.wait_until(lock, deadline, [&] { return is_finished_; });
  return is_finished_ ? outcome_ : Outcome::kTimedOut;
}

void ResolverRequest::finish(Outcome outcome, std::vector<std::byte> data, std::string message,
                             bool is_damage) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_taken_, true)) return;
  }
  // Whoever comes by from now on finds the rows promoted, or asks anew.
  if (promote_ && outcome == Outcome::kAnswered) promote_(data.data());
  promote_ = nullptr;
  leave_flight();
  std::function<void(const ResolverRequest&)> tell;
  {
    const std::lock_guard lock(mutex_);
    outcome_ = outcome;
    data_ = std::move(data);
    message_ = std::move(message);
    is_damage_ = is_damage;
    is_finished_ = true;
    finished_.notify_all();
    tell.swap(tell_);
  }
  if (tell && outcome == Outcome::kFailed) tell(*this);
}

void ResolverRequest::on_failure(std::function<void(const ResolverRequest&)> tell) {
  {
    const std::lock_guard lock(mutex_);
    if (!is_finished_) {
      tell_ = std::move(tell);
      return;
    }
  }
  if (outcome_ == Outcome::kFailed) tell(*this);
}

void ResolverRequest::leave_flight() {
  if (!in_flight_) return;
  const std::lock_guard lock(in_flight_->mutex);
  for (const int64_t row : rows) {
    const auto found = in_flight_->entries.find(row);
    if (found != in_flight_->entries.end() && found->second.id == this) {
      in_flight_->entries.erase(found);
    }
  }
}

}  // namespace jax_hps
