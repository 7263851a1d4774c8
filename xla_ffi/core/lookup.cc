// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/lookup.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/registry.h"

namespace jax_hps {
namespace {

using Code = Failure::Code;

// Waking another thread costs some 10 us: calls that move less than this stay on one thread, and
// larger ones are dealt out in pieces that each take about as long as a wake-up.
constexpr size_t kParallelBytes = 384 << 10;
constexpr size_t kPieceBytes = 128 << 10;

// From this size on, glibc gives XLA fresh pages for every result, and clearing them by 4 KiB took
// three quarters of a call's time.
constexpr size_t kFreshBytes = 32 << 20;

// One part of a call under way, with the table and the base it was pinned to.
struct Running {
  std::shared_ptr<Table> table;
  GatherJob job;
  std::atomic<int64_t> known{0};
  std::atomic<bool> on_disk{false};
  std::shared_ptr<ResolverRequest> request;  // where rows come from a resolver
  std::vector<int64_t> wanted;               // row number of each key, -1 if unknown
};

struct Piece {
  Running* running;
  int64_t begin, end;
};

GatherJob job_for(const LookupPart& part, const Base& base) {
  GatherJob job = base.job();
  job.keys = part.keys;
  job.key_type = part.key_type;
  job.count = part.count;
  job.output = part.output;
  job.out = part.out;
  job.found = part.found;
  return job;
}

// What a key costs: its row in and out, and about one line of an index.
size_t bytes_moved_per_key(const GatherJob& job) {
  return job.row_bytes() + job.out_row_bytes() + (job.index.lines ? sizeof(IndexLine) : 0);
}

// Row number of each key, -1 where it is unknown.
std::vector<int64_t> row_numbers(const GatherJob& job, const std::vector<int64_t>& keys) {
  std::vector<int64_t> rows(keys.size());
  if (job.index.lines) {
    find_rows(job.index, keys.data(), static_cast<int64_t>(keys.size()), rows.data());
  } else {
    std::transform(keys.begin(), keys.end(), rows.begin(), [&](int64_t key) {
      return static_cast<uint64_t>(key) < job.num_rows ? key : -1;
    });
  }
  return rows;
}

std::string first_missing_key(const GatherJob& job) {
  for (int64_t i = 0; i < job.count; ++i) {
    const int64_t key = key_at(job, i);
    if (row_numbers(job, {key}).front() < 0) return std::to_string(key);
  }
  return "(none)";
}

class Call {
 public:
  Call(std::span<const LookupPart> parts, bool raise, Executor* executor)
      : raise_(raise), executor_(executor) {
    std::vector<std::string_view> names;
    for (const LookupPart& part : parts) names.push_back(part.table);
    std::vector<std::shared_ptr<Table>> tables = Registry::instance().find(names);
    for (size_t i = 0; i < parts.size(); ++i) start(parts[i], std::move(tables[i]));
  }

  std::optional<Failure> run() {
    gather_mapped();
    for (Running& running : running_) {
      const int64_t unanswered = running.request ? finish_resolved(running) : 0;
      count(running, unanswered);
    }
    return std::move(raised_);
  }

 private:
  void start(const LookupPart& part, std::shared_ptr<Table> table) {
    if (!table || table->base->dim() != part.dim) {
      zero(part);
      fail(part.table, table.get(), table ? wrong_dim(part, *table) : not_open(part));
      return;
    }
    const size_t out_bytes = static_cast<size_t>(part.count * part.dim) * itemsize(part.output);
    if (out_bytes >= kFreshBytes) prefer_huge_pages(part.out, out_bytes);
    Running& running = running_.emplace_back();
    running.job = job_for(part, *table->base);
    running.table = std::move(table);
    if (running.table->base->resolver()) ask(running);
  }

  static void zero(const LookupPart& part) {
    const size_t elements = static_cast<size_t>(part.count) * static_cast<size_t>(part.dim);
    if (elements > 0) std::memset(part.out, 0, elements * itemsize(part.output));
    if (part.found) std::fill_n(part.found, part.count, false);
  }

  static Failure not_open(const LookupPart& part) {
    return {Code::kClosed, "hps.lookup: table '" + std::string(part.table) +
                               "' is not open in this process. Open it with a ParameterServer, or "
                               "keep the server open while programs that use it run."};
  }

  static Failure wrong_dim(const LookupPart& part, const Table& table) {
    return {Code::kInvalidArgument,
            "hps.lookup: the program was compiled for dim " + std::to_string(part.dim) +
                " of table '" + table.name + "', which now has dim " +
                std::to_string(table.base->dim()) + ". Trace the program again."};
  }

  void gather_mapped() {
    std::vector<Piece> pieces;
    size_t total = 0;
    for (Running& running : running_) {
      if (running.request) continue;
      const GatherJob& job = running.job;
      const size_t per_key = bytes_moved_per_key(job);
      const int64_t piece = std::max<int64_t>(64, static_cast<int64_t>(kPieceBytes / per_key));
      total += static_cast<size_t>(job.count) * per_key;
      for (int64_t begin = 0; begin < job.count; begin += piece) {
        pieces.push_back({&running, begin, std::min(begin + piece, job.count)});
      }
    }
    parallel_for(total >= kParallelBytes ? executor_ : nullptr, pieces.size(), [&](size_t i) {
      Running& running = *pieces[i].running;
      running.known.fetch_add(gather(running.job, pieces[i].begin, pieces[i].end, &running.on_disk),
                              std::memory_order_relaxed);
    });
  }

  static void ask(Running& running) {
    const GatherJob& job = running.job;
    std::vector<int64_t> rows, keys(static_cast<size_t>(job.count));
    for (int64_t i = 0; i < job.count; ++i) keys[i] = key_at(job, i);
    running.wanted = row_numbers(job, keys);
    for (int64_t i = 0; i < job.count; ++i) {
      const bool is_known = running.wanted[i] >= 0;
      if (is_known) rows.push_back(running.wanted[i]);
      if (job.found) job.found[i] = is_known;
    }
    if (rows.empty()) return;  // Nobody need be asked: the gather answers default rows.
    running.known = static_cast<int64_t>(rows.size());
    // A century is for ever, and still fits the clock.
    const std::chrono::duration<double> patience(std::min(running.table->options.deadline_s, 3e9));
    const auto deadline = ResolverRequest::Clock::now() +
                          std::chrono::duration_cast<ResolverRequest::Clock::duration>(patience);
    running.request = running.table->base->resolver()->ask(std::move(rows), deadline);
  }

  // Waits and copies; returns how many known keys got no answer.
  int64_t finish_resolved(Running& running) {
    const GatherJob& job = running.job;
    const size_t expected = static_cast<size_t>(running.known.load()) * job.row_bytes();
    ResolverQueue::Answer answer = running.table->base->resolver()->wait(*running.request);
    if (answer.outcome == ResolverRequest::Outcome::kAnswered && answer.data.size() != expected) {
      answer.outcome = ResolverRequest::Outcome::kFailed;
      answer.message = "the answer has " + std::to_string(answer.data.size()) +
                       " bytes, expected " + std::to_string(expected);
    }
    const bool answered = answer.outcome == ResolverRequest::Outcome::kAnswered;
    std::vector<const std::byte*> rows(static_cast<size_t>(job.count), job.default_row);
    const std::byte* next = answer.data.data();
    for (int64_t i = 0; i < job.count; ++i) {
      if (running.wanted[i] < 0) continue;
      if (answered) rows[i] = std::exchange(next, next + job.row_bytes());
      if (job.found) job.found[i] = answered;
    }
    copy_rows(job, rows.data());
    return answered ? 0 : report_unresolved(running, answer);
  }

  int64_t report_unresolved(Running& running, const ResolverQueue::Answer& answer) {
    Table& table = *running.table;
    const int64_t keys = running.known.exchange(0);
    const bool late = answer.outcome == ResolverRequest::Outcome::kTimedOut;
    Counters::add(late ? table.counters.degraded : table.counters.unavailable, keys);
    const std::string who = "hps.lookup(table='" + table.name + "'): ";
    const std::string what = std::to_string(keys) + " keys answered the default vector";
    if (late) {
      fail(table.name, &table,
           {Code::kDeadline, who + "no answer within deadline_s=" +
                                 std::to_string(table.options.deadline_s) + "; " + what + "."});
    } else if (answer.outcome == ResolverRequest::Outcome::kClosed) {
      fail(table.name, &table, {Code::kClosed, who + "the server was closed; " + what + "."});
    } else {
      const Code code = answer.is_damage ? Code::kCorrupt : Code::kUnavailable;
      fail(table.name, &table, {code, who + answer.message + "; " + what + "."});
    }
    return keys;
  }

  void count(Running& running, int64_t unanswered) {
    const GatherJob& job = running.job;
    Counters& counters = running.table->counters;
    const int64_t known = running.known;
    const int64_t unknown = job.count - known - unanswered;
    Counters::add(counters.lookups, 1);
    Counters::add(counters.keys, job.count);
    Counters::add(counters.base_hits, known);
    Counters::add(counters.defaults, unknown);
    Counters::add(counters.bytes, job.count * static_cast<int64_t>(job.out_row_bytes()));
    if (unknown > 0 && running.table->options.missing_is_error) {
      fail(running.table->name, running.table.get(),
           {Code::kMissingKey,
            "hps.lookup(table='" + running.table->name + "'): " + std::to_string(unknown) + " of " +
                std::to_string(job.count) + " keys are unknown, the first is " +
                first_missing_key(job) + ". The table was opened with on_missing='error'."});
    }
  }

  void fail(std::string_view name, Table* table, Failure failure) {
    failure.table = name;
    const bool unanswered = failure.code == Code::kDeadline || failure.code == Code::kUnavailable;
    const bool tolerated = unanswered && table && table->options.may_default;
    if ((raise_ && !tolerated) || (table && table->options.strict)) {
      if (!raised_) {
        raised_ = std::move(failure);
        return;
      }
    }
    if (table) {
      Counters::add(table->counters.failures, 1);
      table->failures.add(std::move(failure));
    } else {
      Registry::instance().orphan_failures.add(std::move(failure));
    }
  }

  const bool raise_;
  Executor* const executor_;
  std::deque<Running> running_;  // addresses stay
  std::optional<Failure> raised_;
};

}  // namespace

std::optional<Failure> lookup(std::span<const LookupPart> parts, bool raise, Executor* executor) {
  return Call(parts, raise, executor).run();
}

}  // namespace jax_hps
