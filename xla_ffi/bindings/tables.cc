// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "bindings/bindings.h"
#include "core/base.h"
#include "core/registry.h"
#include "core/resolver_queue.h"
#include "core/row_cache.h"
#include "core/table.h"

namespace py = pybind11;

namespace jax_hps {
namespace {

using Source = std::variant<std::shared_ptr<MappedArray>, std::shared_ptr<ResolverQueue>>;

DType parse_dtype(const std::string& name) {
  const auto dtype = dtype_of(name);
  if (!dtype) {
    throw py::value_error("dtype '" + name + "': expected float32, float16 or bfloat16.");
  }
  return *dtype;
}

std::shared_ptr<Base> make_base(const Source& rows, std::shared_ptr<KeyIndex> index,
                                int64_t num_rows, int64_t dim, const std::string& dtype,
                                const py::bytes& default_row) {
  Base::Options options;
  if (const auto* mapped = std::get_if<0>(&rows)) options.mapped = *mapped;
  if (const auto* resolver = std::get_if<1>(&rows)) options.resolver = *resolver;
  options.index = std::move(index);
  options.num_rows = num_rows;
  options.dim = dim;
  options.dtype = parse_dtype(dtype);
  options.default_row = to_bytes(default_row);
  return std::make_shared<Base>(std::move(options));
}

void read(const Base& base, const Array<int64_t>& keys, Array<uint8_t> rows, Array<bool> found) {
  GatherJob job = base.job();
  if (base.resolver()) throw py::value_error("read: this base has no rows of its own.");
  if (found.size() != keys.size() ||
      rows.nbytes() != keys.size() * static_cast<py::ssize_t>(job.row_bytes())) {
    throw py::value_error("read: expected rows [" + std::to_string(keys.size()) + ", " +
                          std::to_string(job.row_bytes()) + "] of uint8 and found [" +
                          std::to_string(keys.size()) + "].");
  }
  job.keys = keys.data();
  job.key_type = KeyType::kInt64;
  job.count = keys.size();
  job.out = reinterpret_cast<std::byte*>(rows.mutable_data());
  job.found = found.mutable_data();
  const GilReleased released;
  gather(job, 0, job.count);
}

const char* name_of(Failure::Code code) {
  switch (code) {
    case Failure::Code::kClosed:
      return "closed";
    case Failure::Code::kMissingKey:
      return "missing_key";
    case Failure::Code::kUnavailable:
      return "unavailable";
    case Failure::Code::kDeadline:
      return "deadline";
    case Failure::Code::kCorrupt:
      return "corrupt";
    case Failure::Code::kInvalidArgument:
      break;
  }
  return "invalid_argument";
}

py::list to_python(const std::vector<Failure>& failures) {
  py::list result;
  for (const Failure& failure : failures) {
    result.append(py::make_tuple(name_of(failure.code), failure.message));
  }
  return result;
}

py::dict stats(const Table& table) {
  const Counters& counters = table.counters;
  py::dict result;
  result["lookups"] = counters.lookups.load();
  result["keys"] = counters.keys.load();
  result["row_cache_hits"] = counters.row_cache_hits.load();
  result["base_hits"] = counters.base_hits.load();
  result["defaults"] = counters.defaults.load();
  result["deferred"] = counters.deferred.load();
  result["unavailable"] = counters.unavailable.load();
  result["degraded"] = counters.degraded.load();
  result["failures"] = counters.failures.load();
  result["bytes"] = counters.bytes.load();
  return result;
}

std::shared_ptr<Table> make_table(std::string name, std::shared_ptr<Base> base,
                                  std::shared_ptr<RowCache> row_cache, bool missing_is_error,
                                  bool strict, bool may_default, double deadline_s,
                                  double hit_rate_threshold) {
  Table::Options options;
  options.missing_is_error = missing_is_error;
  options.strict = strict;
  options.may_default = may_default;
  options.deadline_s = deadline_s;
  options.hit_rate_threshold_ppm = std::llround(hit_rate_threshold * kAlwaysWait);
  return std::make_shared<Table>(std::move(name), std::move(base), options, std::move(row_cache));
}

void open_table(const std::shared_ptr<Table>& table) {
  if (!Registry::instance().add(table)) {
    throw py::value_error("table '" + table->name + "' is open already.");
  }
}

// A view that keeps the request alive.
py::array_t<int64_t> wanted_rows(const std::shared_ptr<ResolverRequest>& request) {
  py::array_t<int64_t> rows(static_cast<py::ssize_t>(request->rows.size()), request->rows.data(),
                            py::cast(request));
  rows.attr("flags").attr("writeable") = false;
  return rows;
}

double seconds_left(const ResolverRequest& request) {
  return std::chrono::duration<double>(request.deadline() - ResolverRequest::Clock::now()).count();
}

void answer(ResolverRequest& request, const Array<uint8_t>& rows) {
  const auto* data = reinterpret_cast<const std::byte*>(rows.data());
  const size_t size = static_cast<size_t>(rows.nbytes());
  const GilReleased released;
  request.answer(std::vector<std::byte>(data, data + size));
}

void bind_resolver(py::module_& module) {
  py::class_<ResolverRequest, std::shared_ptr<ResolverRequest>>(module, "ResolverRequest")
      .def_property_readonly("rows", &wanted_rows)
      .def_property_readonly("timeout_s", &seconds_left)
      .def("answer", &answer, py::arg("rows").noconvert())
      .def("fail", &ResolverRequest::fail, py::arg("message"), py::arg("is_damage") = false,
           py::call_guard<GilReleased>());
  py::class_<ResolverQueue, std::shared_ptr<ResolverQueue>>(module, "ResolverQueue")
      .def(py::init<>())
      .def("take", &ResolverQueue::take, py::call_guard<GilReleased>())
      .def("close", &ResolverQueue::close, py::call_guard<GilReleased>());
}

}  // namespace

void bind_tables(py::module_& module) {
  bind_resolver(module);
  py::class_<Base, std::shared_ptr<Base>>(module, "Base")
      .def(py::init(&make_base), py::arg("rows"), py::arg("index").none(true), py::kw_only(),
           py::arg("num_rows"), py::arg("dim"), py::arg("dtype"), py::arg("default"))
      .def("read", &read, py::arg("keys").noconvert(), py::arg("rows").noconvert(),
           py::arg("found").noconvert())
      .def_property_readonly("resident_bytes", &Base::resident_bytes);

  py::class_<Table, std::shared_ptr<Table>>(module, "Table")
      .def(py::init(&make_table), py::arg("name"), py::arg("base"), py::kw_only(),
           py::arg("row_cache").none(true) = py::none(), py::arg("missing_is_error") = false,
           py::arg("strict") = false, py::arg("may_default") = false, py::arg("deadline_s") = 1.0,
           py::arg("hit_rate_threshold") = 1.0)
      .def("open", &open_table)
      .def("close", [](const Table& table) { Registry::instance().remove(table); })
      .def("stats", &stats)
      .def("take_failures", [](Table& table) { return to_python(table.failures.take()); });
  module.def(
      "take_orphan_failures",
      [](const std::string& prefix) {
        return to_python(Registry::instance().orphan_failures.take(prefix));
      },
      py::arg("prefix"));
}

}  // namespace jax_hps
