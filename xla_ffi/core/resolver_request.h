// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace jax_hps {

/// Rows that lookups want from a source that is not ours to read (TensorStore, say).
///
/// Several lookups may wait for one request. It owns its buffers: a lookup that gives up at its
/// deadline leaves it to the resolver.
class ResolverRequest {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  enum class Outcome { kAnswered, kFailed, kTimedOut, kClosed };

  /// Where a row that is being read will be found.
  struct Place {
    std::shared_ptr<ResolverRequest> request;
    size_t index = 0;  ///< row of the request
  };
  /// All rows of a source that are being read. Keeps no request alive.
  struct InFlight {
    struct Entry {
      std::weak_ptr<ResolverRequest> request;
      const ResolverRequest* id = nullptr;
      size_t index = 0;
    };
    std::mutex mutex;
    std::unordered_map<int64_t, Entry> entries;
  };
  /// What else is to be done with the rows, before anybody hears that they are there.
  using Promote = std::function<void(const std::byte* rows)>;

  ResolverRequest(std::vector<int64_t> rows, size_t row_bytes, Time deadline,
                  std::shared_ptr<InFlight> in_flight = nullptr, Promote promote = nullptr);
  ResolverRequest(const ResolverRequest&) = delete;
  ~ResolverRequest() { leave_flight(); }

  /// For resolvers. The first call of any counts; a failure past the deadline is a time-out.
  void answer(std::vector<std::byte> data);
  /// `is_damage`: what was read is damaged; asking again will not help.
  void fail(std::string message, bool is_damage = false);
  void close() { finish(Outcome::kClosed, {}, {}); }

  /// When the last of those who wait will give up.
  Time deadline() const;
  /// Somebody more waits.
  void extend(Time deadline);

  /// For who does not wait: called once the request has failed, or now where it has.
  void on_failure(std::function<void(const ResolverRequest&)> tell);

  /// For lookups: how it has ended; kTimedOut also where it has not by that time.
  Outcome wait(Time deadline);
  /// Row of an answer.
  const std::byte* row(size_t index) const { return data_.data() + index * row_bytes_; }
  /// Of a failure.
  const std::string& message() const { return message_; }
  bool is_damage() const { return is_damage_; }

  const std::vector<int64_t> rows;  ///< Row numbers, in the order of the answer.

 private:
  void finish(Outcome outcome, std::vector<std::byte> data, std::string message,
              bool is_damage = false);
  void leave_flight();

  const size_t row_bytes_;
  const std::shared_ptr<InFlight> in_flight_;
  mutable std::mutex mutex_;
  std::condition_variable finished_;
  Time deadline_;
  Promote promote_;
  std::function<void(const ResolverRequest&)> tell_;
  bool is_taken_ = false;     // by the call that finishes it
  bool is_finished_ = false;  // what follows does not change any more
  Outcome outcome_ = Outcome::kTimedOut;
  std::vector<std::byte> data_;
  std::string message_;
  bool is_damage_ = false;
};

}  // namespace jax_hps
