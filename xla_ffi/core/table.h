// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base.h"
#include "core/counters.h"
#include "core/row_cache.h"

namespace jax_hps {

/// Why a lookup could not answer as asked. Hosts map the code to an exception or a status.
struct Failure {
  enum class Code { kClosed, kMissingKey, kUnavailable, kDeadline, kCorrupt, kInvalidArgument };
  Code code;
  std::string message;
  std::string table = {};  ///< full name
};

/// The failures that no call could raise, until somebody asks. Keeps the first few of each table.
class FailureLog {
 public:
  void add(Failure failure);
  /// Takes out those of tables whose full names begin with the prefix.
  std::vector<Failure> take(std::string_view prefix = "");

 private:
  static constexpr size_t kKept = 64;
  std::mutex mutex_;
  std::vector<Failure> failures_;
};

/// A threshold that no hit rate reaches: what is missed is always waited for.
inline constexpr int64_t kAlwaysWait = 1'000'000;

/// An open table: its current base, how it treats what goes wrong, what it has counted.
class Table {
 public:
  struct Options {
    bool missing_is_error = false;  ///< Unknown keys are failures.
    bool strict = false;            ///< Failures are raised in the call, come what may.
    bool may_default = false;       ///< A resolver that is late or down is no failure to raise.
    double deadline_s = 1.0;        ///< How long rows from a resolver are waited for.
    /// Rows from a resolver are not waited for where the row cache has had so many of a call's
    /// million (distinct) keys, or more; they come into the cache behind the call.
    int64_t hit_rate_threshold_ppm = kAlwaysWait;
  };

  /// Throws Error(kInvalidArgument) where the cache is for rows of another size than the base's.
  Table(std::string name, std::shared_ptr<const Base> base, Options options,
        std::shared_ptr<RowCache> row_cache = nullptr);

  const std::string name;  ///< "server/model/table"
  const std::shared_ptr<const Base> base;
  const std::shared_ptr<RowCache> row_cache;  ///< In front of the base; null: none.
  const Options options;
  Counters counters;
  FailureLog failures;
};

}  // namespace jax_hps
