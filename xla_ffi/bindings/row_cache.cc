// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/row_cache.h"

#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "core/cached_gather.h"

namespace py = pybind11;

namespace jax_hps {
namespace {

constexpr const char* kPolicies[] = {"frequency", "lru", "s3fifo"};

cache::Policy parse_policy(const std::string& name) {
  for (int i = 0; i < 3; ++i) {
    if (name == kPolicies[i]) return static_cast<cache::Policy>(i);
  }
  throw py::value_error("policy '" + name + "': expected frequency, lru or s3fifo.");
}

std::shared_ptr<RowCache> make_cache(int64_t row_bytes, int64_t num_rows, size_t max_bytes,
                                     int key_bits, std::optional<bool> exact,
                                     const std::string& policy, const std::string& admit,
                                     int halving) {
  RowCacheOptions options;
  options.num_rows = num_rows;
  options.bytes = max_bytes;
  options.row_bytes = row_bytes;
  options.key_bits = key_bits;
  options.exact = exact;
  options.policy.policy = parse_policy(policy);
  if (admit != "frequency" && admit != "always") {
    throw py::value_error("admit '" + admit + "': expected frequency or always.");
  }
  options.policy.admit_always = admit == "always";
  if (halving < 0 || halving > 15) {
    throw py::value_error("halving " + std::to_string(halving) + ": expected 0 to 15.");
  }
  options.policy.halving = static_cast<uint8_t>(halving);
  return std::make_shared<RowCache>(options);
}

void expect(bool holds, const std::string& what) {
  if (!holds) throw py::value_error("RowCache: expected " + what + ".");
}

template <typename Rows>
void expect_rows(const RowCache& cache, const Array<int64_t>& keys, const Rows& rows) {
  const int64_t row_bytes = cache.view().row_bytes;
  expect(rows.nbytes() == keys.size() * row_bytes,
         "rows [" + std::to_string(keys.size()) + ", " + std::to_string(row_bytes) + "] of uint8");
}

std::span<const int64_t> span_of(const Array<int64_t>& keys) {
  return {keys.data(), static_cast<size_t>(keys.size())};
}

enum State : uint8_t { kMissed, kFound, kAbsent };

Array<uint8_t> lookup(const RowCache& cache, const Array<int64_t>& keys, Array<uint8_t> rows) {
  expect_rows(cache, keys, rows);
  expect(cache.view().row_bytes % 2 == 0, "rows of an even number of bytes");
  const std::vector<std::byte> default_row(cache.view().row_bytes);
  const auto found = std::make_unique<bool[]>(static_cast<size_t>(keys.size()));
  Array<uint8_t> states(keys.size());
  uint8_t* state = states.mutable_data();
  GatherJob job;
  job.keys = keys.data();
  job.count = keys.size();
  job.stored = job.output = DType::kFloat16;  // two bytes, moved as they are
  job.dim = cache.view().row_bytes / 2;
  job.default_row = default_row.data();
  job.out = reinterpret_cast<std::byte*>(rows.mutable_data());
  job.found = found.get();
  const GilReleased released;
  std::vector<int64_t> missed;
  gather_cached(job, cache.view(), 0, job.count, missed);
  for (int64_t i = 0; i < job.count; ++i) state[i] = job.found[i] ? kFound : kAbsent;
  for (const int64_t position : missed) state[position] = kMissed;
  return states;
}

void insert(RowCache& cache, const Array<int64_t>& keys, const std::optional<Array<uint8_t>>& rows,
            const std::optional<Array<uint32_t>>& counts, std::optional<RowCache::Batch> batch) {
  if (rows) expect_rows(cache, keys, *rows);
  if (counts) expect(counts->size() == keys.size(), "as many counts as keys");
  std::vector<const std::byte*> places(static_cast<size_t>(keys.size()));
  for (size_t i = 0; rows && i < places.size(); ++i) {
    places[i] = reinterpret_cast<const std::byte*>(rows->data()) + i * cache.view().row_bytes;
  }
  const uint32_t* how_often = counts ? counts->data() : nullptr;
  const GilReleased released;
  cache.insert(span_of(keys), places.data(), how_often, batch.value_or(cache.begin_batch()));
}

int64_t overwrite(RowCache& cache, const Array<int64_t>& keys, const Array<uint8_t>& rows) {
  expect_rows(cache, keys, rows);
  const auto* data = reinterpret_cast<const std::byte*>(rows.data());
  const GilReleased released;
  return cache.overwrite(span_of(keys), data);
}

int64_t erase(RowCache& cache, const Array<int64_t>& keys) {
  const std::span<const int64_t> erased = span_of(keys);
  const GilReleased released;
  return cache.erase(erased);
}

py::tuple contents(const RowCache& cache) {
  RowCache::Contents all;
  {
    const GilReleased released;
    all = cache.contents();
  }
  const auto size = static_cast<py::ssize_t>(all.keys.size());
  Array<bool> absent(size);
  std::copy(all.absent.begin(), all.absent.end(), absent.mutable_data());
  return py::make_tuple(Array<int64_t>(size, all.keys.data()),
                        Array<uint8_t>(size, all.uses.data()), absent);
}

py::dict stats(const RowCache& cache) {
  const RowCache::Counters& counters = cache.counters;
  py::dict result;
  result["capacity"] = cache.num_rows();
  result["rows"] = cache.num_cached();
  result["bytes"] = cache.nbytes();
  result["attempts"] = counters.attempts.load();
  result["fills"] = counters.fills.load();
  result["evictions"] = counters.replacements.load();
  result["rejects"] = counters.rejects.load();
  result["stale"] = counters.stale.load();
  result["ghost_hits"] = counters.ghost_hits.load();
  result["absents"] = counters.absents.load();
  result["overwrites"] = counters.overwrites.load();
  result["erasures"] = counters.erasures.load();
  return result;
}

}  // namespace

void bind_row_cache(py::module_& module) {
  py::class_<RowCache::Batch>(module, "CacheBatch");
  py::class_<RowCache, std::shared_ptr<RowCache>>(module, "RowCache")
      .def(py::init(&make_cache), py::kw_only(), py::arg("row_bytes"), py::arg("num_rows") = 0,
           py::arg("max_bytes") = 0, py::arg("key_bits") = 64,
           py::arg("exact").none(true) = py::none(), py::arg("policy") = "frequency",
           py::arg("admit") = "frequency", py::arg("halving") = 0)
      .def("lookup", &lookup, py::arg("keys").noconvert(), py::arg("rows").noconvert())
      .def("insert", &insert, py::arg("keys").noconvert(), py::arg("rows").noconvert().none(true),
           py::arg("counts").noconvert().none(true) = py::none(),
           py::arg("batch").none(true) = py::none())
      .def("overwrite", &overwrite, py::arg("keys").noconvert(), py::arg("rows").noconvert())
      .def("erase", &erase, py::arg("keys").noconvert())
      .def("contents", &contents)
      .def("stats", &stats)
      .def("begin_batch", &RowCache::begin_batch)
      .def_property_readonly("ageing_period", &RowCache::ageing_period)
      .def_property_readonly("num_rows", &RowCache::num_rows)
      .def_property_readonly("is_exact", &RowCache::is_exact)
      .def_property_readonly("nbytes", &RowCache::nbytes);
  module.def(
      "row_cache_bytes",
      [](int64_t row_bytes, int64_t num_rows, size_t max_bytes, int key_bits) {
        RowCacheOptions options;
        options.row_bytes = row_bytes;
        options.num_rows = num_rows;
        options.bytes = max_bytes;
        options.key_bits = key_bits;
        const RowCacheLayout layout(options);
        check_memory(layout);
        return py::make_tuple(layout.num_rows(), layout.total_bytes);
      },
      py::kw_only(), py::arg("row_bytes"), py::arg("num_rows") = 0, py::arg("max_bytes") = 0,
      py::arg("key_bits") = 64);
}

}  // namespace jax_hps
