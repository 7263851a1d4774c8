// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/registry.h"

#include <atomic>

#include "lookup_fixture.h"
#include "thread_pool.h"

namespace jax_hps::test {
namespace {

constexpr int64_t kDim = 8;
// Several megabytes: lookups of all rows run in pieces.
constexpr int64_t kRows = 40'000;

TableShape shape_of(int64_t version) { return {version, kRows, kDim, 0}; }

std::shared_ptr<Table> make_table(const std::string& name, std::shared_ptr<const Base> base) {
  return std::make_shared<Table>(name, std::move(base), Table::Options());
}

void names_are_unique() {
  Registry& registry = Registry::instance();
  const auto base = make_base({});
  const auto first = make_table("s/m/t", base), second = make_table("s/m/t", base);
  CHECK(registry.find("s/m/t") == nullptr);
  CHECK(registry.add(first));
  CHECK(!registry.add(second));
  CHECK(registry.find("s/m/t") == first);
  CHECK(registry.find("s/m/") == nullptr);
  registry.remove(*second);  // not the one of that name
  CHECK(registry.find("s/m/t") == first);
  registry.remove(*first);
  registry.remove(*first);
  CHECK(registry.find("s/m/t") == nullptr);
  CHECK(registry.add(second));
  registry.remove(*second);
}

void removed_tables_die_with_their_last_user() {
  Registry& registry = Registry::instance();
  auto table = make_table("s/m/t", make_base({}));
  const std::weak_ptr<Table> watch = table;
  registry.add(table);
  registry.remove(*table);
  CHECK(!watch.expired());
  table.reset();
  CHECK(watch.expired());
}

void finds_race_with_adds_and_removes() {
  Registry& registry = Registry::instance();
  const auto base = make_base({});
  const auto stays = make_table("s/m/stays", base);
  registry.add(stays);
  std::atomic<int> wrong = 0, writers = 3;
  run_threads(6, [&](size_t thread) {
    if (thread < 3) {
      const std::string name = "s/m/" + std::to_string(thread);
      for (int i = 0; i < 500; ++i) {
        const auto table = make_table(name, base);
        wrong += !registry.add(table);
        wrong += registry.find(name) != table;
        registry.remove(*table);
        wrong += registry.find(name) != nullptr;
      }
      --writers;
    } else {
      do {
        wrong += registry.find("s/m/stays") != stays;
        const auto table = registry.find("s/m/1");
        wrong += table && table->name != "s/m/1";
      } while (writers > 0);
    }
  });
  registry.remove(*stays);
  CHECK_EQUAL(wrong, 0);
}

// Tables that come and go together: a call that names them all sees all of them or none.
void several_names_are_found_as_of_one_moment() {
  const auto base = make_base({});
  const std::string_view names[] = {"s/m/a", "s/m/none", "s/m/b"};
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::thread writer([&] {
    for (int i = 0; i < 500; ++i) {
      const OpenTable first("s/m/a", base), second("s/m/b", base);
    }
    done = true;
  });
  run_threads(2, [&](size_t) {
    do {
      const auto tables = Registry::instance().find(names);
      wrong += tables.size() != 3 || tables[1] != nullptr;
      wrong += tables[0] && tables[0]->name != "s/m/a";
      wrong += tables[2] && (tables[2]->name != "s/m/b" || !tables[0]);  // b comes last, goes first
    } while (!done);
  });
  writer.join();
  CHECK_EQUAL(wrong, 0);
}

// One name, whose table is replaced again and again: each answer is one version's, whole, or the
// zeros of a moment without any.
void lookups_race_with_versions() {
  Registry& registry = Registry::instance();
  std::vector<std::shared_ptr<const Base>> versions;
  for (int64_t version = 1; version <= 3; ++version)
    versions.push_back(make_base(shape_of(version)));
  ThreadPool pool(2);
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0, answered = 0;
  std::thread writer([&] {
    for (int i = 0; i < 300; ++i) {
      const auto table = make_table("s/m/t", versions[static_cast<size_t>(i) % 3]);
      registry.add(table);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      registry.remove(*table);
      if (i % 10 == 0) registry.orphan_failures.take("s/");
    }
    done = true;
  });
  run_threads(3, [&](size_t thread) {
    std::vector<int64_t> keys(thread == 0 ? kRows : 50);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(i);
    PartBuffers buffers("s/m/t", keys, kDim);
    do {
      lookup_parts({&buffers}, thread == 1, &pool);
      const bool found = buffers.found[0];
      const auto version = static_cast<int64_t>(buffers.out[0]) / 100'000;
      wrong += found != (version >= 1 && version <= 3);
      answered += found;
      for (size_t i = 0; i < buffers.out.size(); ++i) {
        const float expected =
            found ? element(version, static_cast<int64_t>(i) / kDim, static_cast<int64_t>(i) % kDim)
                  : 0.0f;
        wrong += buffers.out[i] != expected || buffers.found[i / kDim] != found;
      }
    } while (!done);
  });
  writer.join();
  registry.orphan_failures.take();
  CHECK_EQUAL(wrong, 0);
  CHECK(answered > 0);
}

void counters_and_logs_are_shared_by_calls() {
  constexpr int kThreads = 4, kCalls = 200;
  OpenTable table("s/m/t", make_base({}), {.missing_is_error = true});
  std::atomic<int> taken = 0;
  run_threads(kThreads, [&](size_t) {
    PartBuffers buffers("s/m/t", {1, -1, 2}, 4);
    for (int i = 0; i < kCalls; ++i) {
      lookup_parts({&buffers});
      taken += static_cast<int>(table->failures.take().size());
    }
  });
  table.check_counters();
  CHECK_EQUAL(table.counters().lookups, kThreads * kCalls);
  CHECK_EQUAL(table.counters().base_hits, 2 * kThreads * kCalls);
  CHECK_EQUAL(table.counters().failures, kThreads * kCalls);
  CHECK_EQUAL(taken, kThreads * kCalls);
}

void resolved_lookups_race_with_close() {
  const TableShape shape;
  for (int round = 0; round < 20; ++round) {
    const auto queue = std::make_shared<ResolverQueue>();
    OpenTable table("s/m/t", make_base(shape, queue), {.deadline_s = 60});
    std::atomic<int> wrong = 0, calls = 0;
    std::thread resolver([&] {
      while (const auto request = queue->take()) {
        request->answer(rows_of(shape.seed, request->rows, shape.dim));
      }
    });
    std::thread closer([&] {
      while (calls < 30) std::this_thread::yield();
      queue->close();
    });
    run_threads(3, [&](size_t) {
      for (bool closed = false; !closed;) {
        PartBuffers buffers("s/m/t", {3, -1, 4}, 4);
        const auto failure = lookup_parts({&buffers}, true);
        closed = failure.has_value();
        ++calls;
        wrong += closed && failure->code != Failure::Code::kClosed;
        wrong += buffers.found[0] == closed || buffers.found[1] || buffers.found[2] == closed;
        wrong += buffers.out[0] != (closed ? kDefault : element(shape.seed, 3, 0));
      }
    });
    resolver.join();
    closer.join();
    CHECK_EQUAL(wrong, 0);
    table.check_counters();
  }
}

// Lookups fault pages in while they are warmed and given back.
void lookups_race_with_warming() {
  const TempFolder folder;
  const TableShape shape = shape_of(1);
  const ArrayLayout layout = {2, kRows, kDim * 4, 32'768, 128, true, true};
  std::vector<int64_t> keys;
  for (int64_t key = 0; key < kRows; key += 3) keys.push_back(key);
  std::vector<int64_t> rows(kRows);
  for (int64_t row = 0; row < kRows; ++row) rows[static_cast<size_t>(row)] = row;
  write_array(folder.path(), layout, rows_of(1, rows, kDim));
  Base::Options parts;
  const auto array = std::make_shared<MappedArray>(folder.path(), layout, Bytes());
  parts.mapped = array;
  parts.num_rows = kRows;
  parts.dim = kDim;
  parts.default_row.resize(kDim * 4);
  const OpenTable table("s/m/t", std::make_shared<const Base>(parts));
  std::atomic<bool> done = false;
  std::thread warmer([&] {
    for (int i = 0; i < 30; ++i) {
      array->end_scan();
      for (size_t file = 0; file < array->num_files(); ++file) array->warm(file, 0, SIZE_MAX);
    }
    done = true;
  });
  PartBuffers buffers("s/m/t", keys, kDim);
  do {
    lookup_parts({&buffers}, true);
    buffers.check(shape);
  } while (!done);
  warmer.join();
}

}  // namespace
}  // namespace jax_hps::test

int main() {
  using namespace jax_hps::test;
  return run_all({
      {"names are unique, and only the table itself is removed", names_are_unique},
      {"a removed table dies with its last user", removed_tables_die_with_their_last_user},
      {"finds while tables are added and removed", finds_race_with_adds_and_removes},
      {"several names are found as of one moment", several_names_are_found_as_of_one_moment},
      {"lookups while a table is replaced answer one version", lookups_race_with_versions},
      {"counters and failure logs are shared by calls", counters_and_logs_are_shared_by_calls},
      {"resolved lookups while the resolver closes", resolved_lookups_race_with_close},
      {"lookups while pages are warmed and given back", lookups_race_with_warming},
  });
}
