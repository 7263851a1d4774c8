// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0

// What becomes of the row cache when a resolver fails or is late, or when keys are updated between
// a call and what answers it. Calls that wait for nobody leave the rest to the test.

#include <set>

#include "lookup_fixture.h"
#include "resolver_fixture.h"

namespace jax_hps::test {
namespace {

using Code = Failure::Code;
using Rows = std::vector<int64_t>;

const TableShape kShape = {5, 200, 3, 1 << 18};
constexpr int64_t kNewer = 6;  // seed of the rows of another version
constexpr size_t kRowBytes = 12;

// Rows 7, 199 and 0 in this order, 7 twice, and the unknown keys -1 and 3.
Rows six_keys() { return {kShape.key(7), -1, kShape.key(199), kShape.key(7), 3, kShape.key(0)}; }

std::set<int64_t> keys_in(const RowCache& cache) {
  const RowCache::Contents contents = cache.contents();
  return {contents.keys.begin(), contents.keys.end()};
}

void answer(ResolverRequest& request, int64_t seed = kShape.seed) {
  request.answer(rows_of(seed, request.rows, kShape.dim));
}

// A table with a row cache and a resolver; its calls wait for nobody.
struct Hasty {
  const std::shared_ptr<ResolverQueue> queue = std::make_shared<ResolverQueue>();
  std::shared_ptr<RowCache> cache = make_row_cache(kRowBytes, 1024);
  OpenTable table{"s/m/t", make_base(kShape, queue), {.deadline_s = 0}, cache};

  // A call that has to do without the rows of some positions.
  void miss(const Rows& keys, int64_t unanswered) {
    PartBuffers buffers("s/m/t", keys, 3);
    check_failure(lookup_parts({&buffers}, true), Code::kDeadline, "s/m/t",
                  "; " + std::to_string(unanswered) + " keys answered the default");
    for (size_t i = 0; i < keys.size(); ++i) {
      if (!buffers.found[i]) CHECK_EQUAL(buffers.out[3 * i], kDefault);
    }
    table.check_counters();
  }
  // A call that finds all in the cache.
  void hit(const Rows& keys) {
    const int64_t before = table.counters().base_hits;
    PartBuffers buffers("s/m/t", keys, 3);
    CHECK(!lookup_parts({&buffers}, true));
    buffers.check(kShape);
    CHECK_EQUAL(table.counters().base_hits, before);
    table.check_counters();
  }
  std::shared_ptr<ResolverRequest> take(const Rows& rows) {
    auto request = queue->take();
    CHECK(request->rows == rows);
    return request;
  }
  void check_nothing_left() {
    miss({kShape.key(123)}, 1);
    take({123});
  }
};

void late_answers_are_for_the_next_call() {
  Hasty hasty;
  hasty.miss(six_keys(), 4);
  CHECK(keys_in(*hasty.cache) == (std::set<int64_t>{-1, 3}));
  hasty.miss(six_keys(), 4);  // and waits for the first one's request
  const auto request = hasty.take({7, 199, 0});
  hasty.check_nothing_left();
  answer(*request);
  hasty.hit(six_keys());
  CHECK_EQUAL(hasty.table.counters().row_cache_hits, 4);
  CHECK_EQUAL(hasty.table.counters().degraded, 9);
  CHECK_EQUAL(hasty.table.counters().defaults, 6);
}

void trouble_is_not_cached() {
  struct Trouble {
    Code code;
    void (*make)(ResolverRequest&);
  };
  const Trouble troubles[] = {
      {Code::kUnavailable, [](auto& request) { request.fail("403 Forbidden"); }},
      {Code::kCorrupt, [](auto& request) { request.fail("bad chunk", true); }},
      {Code::kUnavailable, [](auto& request) { request.answer({}); }},
      {Code::kUnavailable, [](auto& request) { request.answer(Bytes(35)); }},
      {Code::kUnavailable, [](auto& request) { request.answer(Bytes(48)); }},
      {Code::kClosed, [](auto& request) { request.close(); }},
  };
  for (const Trouble& trouble : troubles) {
    ResolverThread resolver([&](ResolverRequest& request) {
      resolver.requests == 1 ? trouble.make(request) : answer(request);
    });
    const auto cache = make_row_cache(kRowBytes, 1024);
    const OpenTable table("s/m/t", make_base(kShape, resolver.queue), {.deadline_s = 60}, cache);
    PartBuffers first("s/m/t", six_keys(), 3), second = {"s/m/t", six_keys(), 3},
                                               third = {"s/m/t", six_keys(), 3};
    check_failure(lookup_parts({&first}, true), trouble.code, "s/m/t", "4 keys answered");
    first.check(kShape, false);
    CHECK(keys_in(*cache) == (std::set<int64_t>{-1, 3}));
    CHECK(!lookup_parts({&second}, true));
    second.check(kShape);
    CHECK_EQUAL(table.counters().row_cache_hits, 0);
    CHECK(!lookup_parts({&third}, true));
    third.check(kShape);
    CHECK_EQUAL(table.counters().row_cache_hits, 4);
    CHECK_EQUAL(resolver.requests, 2);
    table.check_counters();
  }
}

// What a closed resolver left is for whoever opens the table anew.
void closed_resolvers_leave_the_cache_sound() {
  Hasty hasty;
  hasty.miss({kShape.key(7), kShape.key(8)}, 2);
  answer(*hasty.queue->take());
  hasty.queue->close();
  PartBuffers buffers("s/m/t", six_keys(), 3);
  check_failure(lookup_parts({&buffers}, true), Code::kClosed, "s/m/t", "2 keys answered");
  const auto [seven, eight] = std::pair(kShape.key(7), kShape.key(8));
  CHECK(keys_in(*hasty.cache) == (std::set<int64_t>{-1, 3, seven, eight}));
  const OpenTable reopened("s/m/reopened", make_base(kShape), {}, hasty.cache);
  PartBuffers again("s/m/reopened", six_keys(), 3);
  CHECK(!lookup_parts({&again}, true));
  again.check(kShape);
  CHECK_EQUAL(reopened.counters().row_cache_hits, 2);
}

void answers_may_come_behind_the_table() {
  std::shared_ptr<ResolverRequest> request;
  std::weak_ptr<RowCache> cache;
  {
    Hasty hasty;
    cache = hasty.cache;
    hasty.miss(six_keys(), 4);
    request = hasty.queue->take();
    hasty.miss({kShape.key(9)}, 1);  // and this one is not even taken
  }
  CHECK(!cache.expired());
  answer(*request);
  CHECK(cache.expired());
}

// The resolver has read the old row when a key is updated: the answer is too old for the cache.
void answers_from_before_an_update_are_not_cached() {
  for (const bool is_erasure : {true, false}) {
    const Scope scope(is_erasure ? "erased" : "overwritten");
    Hasty hasty;
    hasty.miss(six_keys(), 4);
    const auto request = hasty.take({7, 199, 0});
    const Rows updated = {kShape.key(7), kShape.key(50)};
    const Bytes newer = rows_of(kNewer, {7, 50}, 3);
    CHECK_EQUAL(
        is_erasure ? hasty.cache->erase(updated) : hasty.cache->overwrite(updated, newer.data()),
        0);
    answer(*request);
    CHECK_EQUAL(hasty.cache->counters.stale, 1);
    CHECK(!keys_in(*hasty.cache).contains(kShape.key(7)));
    hasty.hit({kShape.key(199), kShape.key(0), -1});
    hasty.miss(six_keys(), 2);
    answer(*hasty.take({7}), kNewer);
    PartBuffers buffers("s/m/t", six_keys(), 3);
    CHECK(!lookup_parts({&buffers}, true));
    for (const size_t at : {0, 3}) CHECK_EQUAL(buffers.out[3 * at], element(kNewer, 7, 0));
    CHECK_EQUAL(hasty.cache->counters.stale, 1);
  }
}

void rows_read_behind_an_update_are_cached() {
  Hasty hasty;
  const Rows keys = {kShape.key(7), kShape.key(199), kShape.key(0), -1};
  hasty.cache->erase(keys);
  hasty.cache->overwrite(keys, rows_of(kNewer, {7, 199, 0, 0}, 3).data());
  hasty.miss(six_keys(), 4);
  answer(*hasty.take({7, 199, 0}));
  CHECK_EQUAL(hasty.cache->counters.stale, 0);
  hasty.hit(six_keys());
}

void updates_of_what_is_cached_are_answered() {
  Hasty hasty;
  hasty.miss(six_keys(), 4);
  answer(*hasty.take({7, 199, 0}));
  const Rows keys = {kShape.key(199)};
  CHECK_EQUAL(hasty.cache->overwrite(keys, rows_of(kNewer, {199}, 3).data()), 1);
  PartBuffers buffers("s/m/t", six_keys(), 3);
  CHECK(!lookup_parts({&buffers}, true));
  CHECK_EQUAL(buffers.out[3 * 2], element(kNewer, 199, 0));
  CHECK_EQUAL(buffers.out[3 * 5], element(kShape.seed, 0, 0));
  CHECK_EQUAL(hasty.cache->erase(keys), 1);
  hasty.miss(six_keys(), 1);
  answer(*hasty.take({199}));
  hasty.hit(six_keys());
}

// Runs something when a call has begun, and has not looked anything up yet: calls as large as this
// test's ask how many threads there are.
class AtTheBeginning : public Executor {
 public:
  explicit AtTheBeginning(std::function<void()> run) : run_(std::move(run)) {}
  size_t num_threads() const override {
    run_();
    return 1;
  }
  void schedule(std::function<void()>) override { CHECK(false); }

 private:
  const std::function<void()> run_;
};

// Rows of a mapped base, and that keys are absent: read, as far as the cache can tell, before the
// update.
void what_a_call_read_itself_can_be_too_old() {
  for (const bool is_mapped : {true, false}) {
    const Scope scope(is_mapped ? "mapped" : "resolver");
    ResolverThread resolver([](auto& request) { answer(request); });
    const auto cache = make_row_cache(kRowBytes, 1024);
    const OpenTable table("s/m/t", make_base(kShape, is_mapped ? nullptr : resolver.queue),
                          {.deadline_s = 60}, cache);
    const Rows updated = {kShape.key(7), -1};
    PartBuffers large("s/m/t", Rows(20'000, 3), 3);
    const Rows few = six_keys();
    std::copy(few.begin(), few.end(), large.keys.begin() + 10'000);
    AtTheBeginning update([&] { cache->erase(updated); });
    CHECK(!lookup_parts({&large}, true, &update));
    large.check(kShape);
    CHECK(keys_in(*cache) == (std::set<int64_t>{3, kShape.key(199), kShape.key(0)}));
    CHECK(cache->counters.stale >= 2);
    AtTheBeginning nothing([] {});
    CHECK(!lookup_parts({&large}, true, &nothing));
    large.check(kShape);
    CHECK_EQUAL(keys_in(*cache).size(), size_t{5});
    table.check_counters();
  }
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"a late answer is for the next call", late_answers_are_for_the_next_call},
      {"trouble is not cached, and the next call works", trouble_is_not_cached},
      {"a closed resolver leaves the cache sound", closed_resolvers_leave_the_cache_sound},
      {"an answer may come behind the table", answers_may_come_behind_the_table},
      {"answers from before an update are not cached",
       answers_from_before_an_update_are_not_cached},
      {"rows read behind an update are cached", rows_read_behind_an_update_are_cached},
      {"updates of what is cached are answered", updates_of_what_is_cached_are_answered},
      {"what a call read itself can be too old", what_a_call_read_itself_can_be_too_old},
  });
}
