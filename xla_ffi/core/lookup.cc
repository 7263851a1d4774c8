// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/lookup.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "core/part_lookup.h"
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

struct Piece {
  PartLookup* part;
  int64_t begin, end;
};

std::string first_unknown_key(const PartLookup& part) {
  const GatherJob& job = part.job();
  for (int64_t i = 0; i < job.count; ++i) {
    // The row cache may have heard of keys that the base does not know.
    if (job.found && job.found[i]) continue;
    const int64_t key = key_at(job, i);
    if (part.table().base->row_numbers({&key, 1}).front() < 0) return std::to_string(key);
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
    // Resolvers work while this reads what is mapped.
    gather([](const PartLookup& part) { return part.has_resolver(); });
    for (PartLookup& part : parts_) {
      if (part.has_resolver()) part.ask();
    }
    gather([](const PartLookup& part) { return !part.has_resolver(); });
    for (PartLookup& part : parts_) {
      if (part.has_resolver()) report(part, part.finish());
      count(part);
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
    parts_.emplace_back(part, std::move(table));
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

  // Gathers, on all threads, the parts of a kind.
  template <typename Chooses>
  void gather(Chooses chooses) {
    std::vector<Piece> pieces;
    size_t total = 0;
    for (PartLookup& part : parts_) {
      if (!chooses(part) || !part.needs_gather()) continue;
      const int64_t count = part.job().count;
      const size_t per_key = part.bytes_per_key();
      const int64_t piece = std::max<int64_t>(64, static_cast<int64_t>(kPieceBytes / per_key));
      total += static_cast<size_t>(count) * per_key;
      for (int64_t begin = 0; begin < count; begin += piece) {
        pieces.push_back({&part, begin, std::min(begin + piece, count)});
      }
    }
    parallel_for(total >= kParallelBytes ? executor_ : nullptr, pieces.size(),
                 [&](size_t i) { pieces[i].part->gather(pieces[i].begin, pieces[i].end); });
  }

  void report(const PartLookup& part, const ResolvedMisses::Result& result) {
    if (result.unanswered == 0) return;
    Table& table = part.table();
    const bool late = result.outcome == ResolverRequest::Outcome::kTimedOut;
    Counters::add(late ? table.counters.degraded : table.counters.unavailable, result.unanswered);
    const std::string who = "hps.lookup(table='" + table.name + "'): ";
    const std::string what =
        std::to_string(result.unanswered) + " keys answered the default vector";
    if (late) {
      fail(table.name, &table,
           {Code::kDeadline, who + "no answer within deadline_s=" +
                                 std::to_string(table.options.deadline_s) + "; " + what + "."});
    } else if (result.outcome == ResolverRequest::Outcome::kClosed) {
      fail(table.name, &table, {Code::kClosed, who + "the server was closed; " + what + "."});
    } else {
      const Code code = result.is_damage ? Code::kCorrupt : Code::kUnavailable;
      fail(table.name, &table, {code, who + result.message + "; " + what + "."});
    }
  }

  void count(const PartLookup& part) {
    const GatherJob& job = part.job();
    Table& table = part.table();
    Counters& counters = table.counters;
    const int64_t unknown = part.tally().unknown;
    Counters::add(counters.lookups, 1);
    Counters::add(counters.keys, job.count);
    Counters::add(counters.row_cache_hits, part.tally().cached);
    Counters::add(counters.base_hits, part.tally().base);
    Counters::add(counters.defaults, unknown);
    Counters::add(counters.deferred, part.tally().deferred);
    Counters::add(counters.bytes, job.count * static_cast<int64_t>(job.out_row_bytes()));
    if (unknown > 0 && table.options.missing_is_error) {
      fail(table.name, &table,
           {Code::kMissingKey,
            "hps.lookup(table='" + table.name + "'): " + std::to_string(unknown) + " of " +
                std::to_string(job.count) + " keys are unknown, the first is " +
                first_unknown_key(part) + ". The table was opened with on_missing='error'."});
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
  std::deque<PartLookup> parts_;  // addresses stay
  std::optional<Failure> raised_;
};

}  // namespace

std::optional<Failure> lookup(std::span<const LookupPart> parts, bool raise, Executor* executor) {
  return Call(parts, raise, executor).run();
}

}  // namespace jax_hps
