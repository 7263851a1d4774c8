// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// Replacement policies to measure a cache beside: bounds that no cache reaches, and what others do.
//
// They hold row numbers and no rows. Requests come in batches: what is resident when a batch
// begins is a hit, and what missed is inserted, each row once, when the batch is over.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <queue>
#include <utility>
#include <vector>

namespace {

using Row = int32_t;

// Finds the distinct rows of a batch, in the order in which they first come.
class Distinct {
 public:
  explicit Distinct(int64_t num_rows) : batch_of_(num_rows, 0), place_of_(num_rows) {}

  void Begin() {
    ++batch_;
    rows_.clear();
    counts_.clear();
  }

  void Add(Row row) {
    if (batch_of_[row] != batch_) {
      batch_of_[row] = batch_;
      place_of_[row] = static_cast<int32_t>(rows_.size());
      rows_.push_back(row);
      counts_.push_back(0);
    }
    ++counts_[place_of_[row]];
  }

  const std::vector<Row>& rows() const { return rows_; }
  // How often each of `rows` came.
  const std::vector<uint32_t>& counts() const { return counts_; }

 private:
  int32_t batch_ = 0;
  std::vector<int32_t> batch_of_;  // the last batch that had the row
  std::vector<int32_t> place_of_;  // the row's place in `rows_`, in that batch
  std::vector<Row> rows_;
  std::vector<uint32_t> counts_;
};

struct Counts {
  int64_t hits;
  int64_t unique_misses;
  int64_t inserted;
};

class Policy {
 public:
  explicit Policy(int64_t num_rows) : misses_(num_rows) {}
  virtual ~Policy() = default;

  Counts Batch(const int64_t* rows, int64_t count) {
    int64_t hits = 0;
    misses_.Begin();
    for (int64_t i = 0; i < count; ++i) {
      const Row row = static_cast<Row>(rows[i]);
      if (Request(row)) {
        ++hits;
      } else {
        misses_.Add(row);
      }
    }
    const int64_t unique = static_cast<int64_t>(misses_.rows().size());
    return {hits, unique, Insert(misses_.rows())};
  }

 protected:
  // Takes note of a request; whether the row is resident.
  virtual bool Request(Row row) = 0;
  // Takes in what missed, as far as it wants to; how many rows went in.
  virtual int64_t Insert(const std::vector<Row>& missed) = 0;

 private:
  Distinct misses_;
};

// Belady's optimum for batches: keeps the rows that are wanted soonest, and lets others pass by.
// Knows the whole stream from the start, and must be given it in the same order.
class Belady : public Policy {
 public:
  Belady(int64_t num_rows, int64_t capacity, const int64_t* stream, int64_t count, int64_t batch)
      : Policy(num_rows),
        capacity_(capacity),
        never_(static_cast<int32_t>((count + batch - 1) / batch)),
        wanted_after_(count),
        wanted_(num_rows),
        resident_(num_rows),
        by_batch_(never_ + 1) {
    std::vector<int32_t> later(num_rows, never_);
    for (int32_t b = never_ - 1; b >= 0; --b) {
      const int64_t begin = b * batch, end = std::min(count, begin + batch);
      for (int64_t i = begin; i < end; ++i) wanted_after_[i] = later[stream[i]];
      for (int64_t i = begin; i < end; ++i) later[stream[i]] = b;
    }
  }

 protected:
  bool Request(Row row) override {
    const int32_t next = wanted_after_[position_++];
    const bool known = wanted_[row] == next;
    wanted_[row] = next;
    if (resident_[row] && !known) File(row);
    return resident_[row];
  }

  int64_t Insert(const std::vector<Row>& missed) override {
    // Soonest first, so that none that goes in drives out one that just went in.
    std::vector<Row> order;
    for (const Row row : missed) {
      if (wanted_[row] != never_) order.push_back(row);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](Row a, Row b) { return wanted_[a] < wanted_[b]; });
    int64_t inserted = 0;
    for (const Row row : order) {
      if (size_ == capacity_ && !MakeRoom(wanted_[row])) break;
      resident_[row] = true;
      File(row);
      ++size_;
      ++inserted;
    }
    return inserted;
  }

 private:
  void File(Row row) {
    by_batch_[wanted_[row]].push_back(row);
    farthest_ = std::max(farthest_, wanted_[row]);
  }

  // Drives out the row that is wanted last, if that is after batch `next`.
  bool MakeRoom(int32_t next) {
    for (; farthest_ > next; --farthest_) {
      std::vector<Row>& rows = by_batch_[farthest_];
      while (!rows.empty()) {
        const Row row = rows.back();
        rows.pop_back();
        if (resident_[row] && wanted_[row] == farthest_) {
          resident_[row] = false;
          --size_;
          return true;
        }
      }
    }
    return false;
  }

  const int64_t capacity_;
  const int32_t never_;                // one more than the last batch
  std::vector<int32_t> wanted_after_;  // for each request: the next batch with that row
  std::vector<int32_t> wanted_;        // for each row: the next batch with it, once requested
  std::vector<char> resident_;
  // Resident rows by the batch that wants them next; rows stay behind where that has changed.
  std::vector<std::vector<Row>> by_batch_;
  int32_t farthest_ = 0;
  int64_t position_ = 0;
  int64_t size_ = 0;
};

// Keeps the rows that were requested most often so far, counting every row of the table: the best
// that can be done without the future where popularity does not change.
class ExactLfu : public Policy {
 public:
  ExactLfu(int64_t num_rows, int64_t capacity)
      : Policy(num_rows), capacity_(capacity), requests_(num_rows), resident_(num_rows) {}

 protected:
  bool Request(Row row) override {
    ++requests_[row];
    return resident_[row];
  }

  int64_t Insert(const std::vector<Row>& missed) override {
    // Most requested first, so that none that goes in drives out one that just went in.
    std::vector<Row> order(missed);
    std::stable_sort(order.begin(), order.end(),
                     [&](Row a, Row b) { return requests_[a] > requests_[b]; });
    int64_t inserted = 0;
    for (const Row row : order) {
      if (static_cast<int64_t>(least_.size()) == capacity_) {
        const Row victim = Least();
        if (requests_[victim] >= requests_[row]) break;
        resident_[victim] = false;
        least_.pop();
      }
      resident_[row] = true;
      least_.emplace(requests_[row], row);
      ++inserted;
    }
    return inserted;
  }

 private:
  using Entry = std::pair<int32_t, Row>;  // requests when it was entered

  // The resident row with the fewest requests. Counts only grow, so the entry on top is the least
  // once its count is up to date.
  Row Least() {
    for (;;) {
      const auto [requests, row] = least_.top();
      if (requests == requests_[row]) return row;
      least_.pop();
      least_.emplace(requests_[row], row);
    }
  }

  const int64_t capacity_;
  std::vector<int32_t> requests_;
  std::vector<char> resident_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> least_;
};

// Holds the rows that a stream requests most often, and never changes.
class StaticTop : public Policy {
 public:
  StaticTop(int64_t num_rows, int64_t capacity, const int64_t* stream, int64_t count)
      : Policy(num_rows), resident_(num_rows) {
    std::vector<int32_t> requests(num_rows);
    for (int64_t i = 0; i < count; ++i) ++requests[stream[i]];
    std::vector<Row> order(num_rows);
    std::iota(order.begin(), order.end(), 0);
    const auto end = order.begin() + std::min(capacity, num_rows);
    std::nth_element(order.begin(), end, order.end(), [&](Row a, Row b) {
      return std::pair(-requests[a], a) < std::pair(-requests[b], b);
    });
    for (auto row = order.begin(); row != end; ++row) resident_[*row] = requests[*row] > 0;
  }

 protected:
  bool Request(Row row) override { return resident_[row]; }
  int64_t Insert(const std::vector<Row>&) override { return 0; }

 private:
  std::vector<char> resident_;
};

// Least recently used within a set of ways, inserting everything. A row's time is the number of
// the batch that had it last; of equal ones the first way goes.
class SetLru : public Policy {
 public:
  SetLru(int64_t num_rows, int64_t capacity, int64_t ways)
      : Policy(num_rows),
        ways_(ways),
        sets_(capacity / ways),
        slot_of_(num_rows, -1),
        row_in_(sets_ * ways, -1),
        last_batch_(sets_ * ways, -1) {}

 protected:
  bool Request(Row row) override {
    const int32_t slot = slot_of_[row];
    if (slot < 0) return false;
    last_batch_[slot] = batch_;
    return true;
  }

  int64_t Insert(const std::vector<Row>& missed) override {
    for (const Row row : missed) {
      const auto begin = last_batch_.begin() + SetOf(row) * ways_;
      const auto slot = std::min_element(begin, begin + ways_) - last_batch_.begin();
      if (row_in_[slot] >= 0) slot_of_[row_in_[slot]] = -1;
      row_in_[slot] = row;
      slot_of_[row] = static_cast<int32_t>(slot);
      last_batch_[slot] = batch_;
    }
    ++batch_;
    return static_cast<int64_t>(missed.size());
  }

 private:
  // The finaliser of splitmix64, scaled to the number of sets.
  int64_t SetOf(Row row) const {
    uint64_t x = static_cast<uint64_t>(row) + 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    x ^= x >> 31;
    return static_cast<int64_t>(static_cast<unsigned __int128>(x) * sets_ >> 64);
  }

  const int64_t ways_;
  const int64_t sets_;
  std::vector<int32_t> slot_of_;     // of a row; -1: not resident
  std::vector<Row> row_in_;          // a slot; -1: none
  std::vector<int32_t> last_batch_;  // of the row in a slot; -1: empty
  int32_t batch_ = 0;
};

}  // namespace

extern "C" {

Policy* policy_belady(int64_t num_rows, int64_t capacity, const int64_t* stream, int64_t count,
                      int64_t batch) {
  return new Belady(num_rows, capacity, stream, count, batch);
}

Policy* policy_exact_lfu(int64_t num_rows, int64_t capacity) {
  return new ExactLfu(num_rows, capacity);
}

Policy* policy_static_top(int64_t num_rows, int64_t capacity, const int64_t* stream,
                          int64_t count) {
  return new StaticTop(num_rows, capacity, stream, count);
}

Policy* policy_set_lru(int64_t num_rows, int64_t capacity, int64_t ways) {
  return new SetLru(num_rows, capacity, ways);
}

// Requests a batch; writes hits, unique misses and rows inserted.
void policy_batch(Policy* policy, const int64_t* rows, int64_t count, int64_t* counts) {
  const Counts counted = policy->Batch(rows, count);
  counts[0] = counted.hits;
  counts[1] = counted.unique_misses;
  counts[2] = counted.inserted;
}

void policy_free(Policy* policy) { delete policy; }

Distinct* distinct_new(int64_t num_rows) { return new Distinct(num_rows); }

// Writes the distinct rows of `rows` and how often each is there; how many there are.
int64_t distinct_find(Distinct* distinct, const int64_t* rows, int64_t count, int64_t* found,
                      uint32_t* counts) {
  distinct->Begin();
  for (int64_t i = 0; i < count; ++i) distinct->Add(static_cast<Row>(rows[i]));
  const std::vector<Row>& unique = distinct->rows();
  std::copy(unique.begin(), unique.end(), found);
  std::copy(distinct->counts().begin(), distinct->counts().end(), counts);
  return static_cast<int64_t>(unique.size());
}

void distinct_free(Distinct* distinct) { delete distinct; }

}  // extern "C"
