// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "core/array_writer.h"
#include "core/key_index.h"
#include "core/mapped_array.h"

namespace py = pybind11;

namespace jax_hps {
namespace {

ArrayLayout make_layout(int rank, int64_t num_rows, int64_t row_bytes, int64_t shard_rows,
                        int64_t chunk_rows, bool sharded, bool index_at_end) {
  ArrayLayout layout;
  layout.rank = rank;
  layout.num_rows = num_rows;
  layout.row_bytes = row_bytes;
  layout.shard_rows = shard_rows;
  layout.chunk_rows = chunk_rows;
  layout.sharded = sharded;
  layout.index_at_end = index_at_end;
  return layout;
}

void append(ArrayWriter& writer, const py::buffer& rows) {
  const py::buffer_info info = rows.request();
  if (PyBuffer_IsContiguous(info.view(), 'C') == 0) {
    throw py::value_error("append: expected a C-contiguous buffer.");
  }
  const GilReleased released;
  writer.append(info.ptr, static_cast<size_t>(info.size * info.itemsize));
}

// One element of the array, repeated to a row.
std::vector<std::byte> fill_row(const py::bytes& element, int64_t row_bytes) {
  const std::vector<std::byte> one = to_bytes(element);
  std::vector<std::byte> row;
  while (!one.empty() && static_cast<int64_t>(row.size()) < row_bytes) {
    row.insert(row.end(), one.begin(), one.end());
  }
  return row;
}

std::shared_ptr<MappedArray> map_array(const std::string& folder, int rank, int64_t num_rows,
                                       int64_t row_bytes, int64_t shard_rows, int64_t chunk_rows,
                                       bool sharded, bool index_at_end, const py::bytes& fill) {
  std::vector<std::byte> row = fill_row(fill, row_bytes);
  const GilReleased released;
  return std::make_shared<MappedArray>(
      folder, make_layout(rank, num_rows, row_bytes, shard_rows, chunk_rows, sharded, index_at_end),
      std::move(row));
}

void insert(KeyIndex& index, const Array<int64_t>& keys) {
  const GilReleased released;
  index.insert(keys.data(), keys.size());
}

void insert_array(KeyIndex& index, const MappedArray& keys) {
  if (keys.layout().row_bytes != 8) throw py::value_error("insert_array: expected int64 keys.");
  const GilReleased released;
  index.insert(keys);
}

Array<int64_t> find(const KeyIndex& index, const Array<int64_t>& keys) {
  Array<int64_t> rows(keys.size());
  const int64_t* in = keys.data();
  int64_t* out = rows.mutable_data();
  const GilReleased released;
  index.find(in, rows.size(), out);
  return rows;
}

}  // namespace

void bind_storage(py::module_& module) {
  py::class_<ArrayWriter>(module, "ArrayWriter")
      .def(py::init([](std::string folder, int rank, int64_t row_bytes, int64_t shard_rows,
                       int64_t chunk_rows) {
             return std::make_unique<ArrayWriter>(
                 std::move(folder),
                 make_layout(rank, 0, row_bytes, shard_rows, chunk_rows, true, true));
           }),
           py::arg("folder"), py::kw_only(), py::arg("rank"), py::arg("row_bytes"),
           py::arg("shard_rows"), py::arg("chunk_rows"))
      .def("append", &append, py::arg("rows"))
      .def("finish", &ArrayWriter::finish, py::call_guard<GilReleased>())
      .def_property_readonly("rows_written", &ArrayWriter::rows_written);

  py::class_<MappedArray, std::shared_ptr<MappedArray>>(module, "MappedArray")
      .def(py::init(&map_array), py::arg("folder"), py::kw_only(), py::arg("rank"),
           py::arg("num_rows"), py::arg("row_bytes"), py::arg("shard_rows"), py::arg("chunk_rows"),
           py::arg("sharded") = true, py::arg("index_at_end") = true,
           py::arg("fill") = py::bytes(""))
      .def_property_readonly("num_rows", [](const MappedArray& a) { return a.layout().num_rows; })
      .def_property_readonly("row_bytes", [](const MappedArray& a) { return a.layout().row_bytes; })
      .def_property_readonly("mapped_bytes", &MappedArray::mapped_bytes)
      .def_property_readonly("is_flat", &MappedArray::is_flat)
      .def_property_readonly("table_bytes", &MappedArray::table_bytes)
      .def_property_readonly("num_files", &MappedArray::num_files)
      .def("file_bytes", &MappedArray::file_bytes, py::arg("file"))
      .def("warm", &MappedArray::warm, py::arg("file"), py::arg("begin"), py::arg("length"),
           py::call_guard<GilReleased>());

  py::class_<KeyIndex, std::shared_ptr<KeyIndex>>(module, "KeyIndex")
      .def(py::init<int64_t>(), py::arg("expected_keys") = 0)
      .def("insert", &insert, py::arg("keys").noconvert())
      .def("insert_array", &insert_array, py::arg("keys"))
      .def("find", &find, py::arg("keys").noconvert())
      .def("shrink_to_fit", &KeyIndex::shrink_to_fit, py::call_guard<GilReleased>())
      .def_property_readonly("num_keys", &KeyIndex::num_keys)
      .def_property_readonly("nbytes", &KeyIndex::nbytes)
      .def_static("planned_bytes", &KeyIndex::planned_bytes, py::arg("num_keys"));
}

}  // namespace jax_hps
