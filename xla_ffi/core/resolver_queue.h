// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/resolver_request.h"

namespace jax_hps {

/// Requests on their way to the resolver threads of one table. A row that is being read already is
/// not asked for again: whoever wants it waits for the same request.
class ResolverQueue {
 public:
  using Place = ResolverRequest::Place;
  /// Called with the asked rows, by their places in the argument of `ask`, that this call was the
  /// first to want, and with their bytes in that order.
  using Promote = std::function<void(std::span<const size_t> which, const std::byte* rows)>;

  /// For lookups: where each of some rows will be found. They must differ from one another.
  ///
  /// The caller then waits for the requests of all places; those that are its own, the first to
  /// have asked, are the same object.
  struct Asked {
    std::vector<Place> places;
    std::shared_ptr<ResolverRequest> own;  ///< null where others have asked for all of them
  };
  Asked ask(std::span<const int64_t> rows, size_t row_bytes, ResolverRequest::Time deadline,
            Promote promote = nullptr);

  /// For resolver threads: the next request, null once the queue is closed.
  std::shared_ptr<ResolverRequest> take();

  /// Fails what waits in the queue and all that is asked from now on.
  void close();

 private:
  Asked join(std::span<const int64_t> rows, size_t row_bytes, ResolverRequest::Time deadline,
             Promote promote);
  void enqueue(std::shared_ptr<ResolverRequest> request);

  const std::shared_ptr<ResolverRequest::InFlight> in_flight_ =
      std::make_shared<ResolverRequest::InFlight>();
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<ResolverRequest>> waiting_;
  bool closed_ = false;
};

}  // namespace jax_hps
