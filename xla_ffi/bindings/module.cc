// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include <exception>
#include <string>

#include "bindings/bindings.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/gather_kernels.h"
#include "handlers/lookup_cpu.h"

namespace py = pybind11;

namespace jax_hps {
namespace {

const char* python_class(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadData:
      return "TableDataError";
    case ErrorCode::kCorrupt:
      return "CorruptTableError";
    default:
      return nullptr;
  }
}

// Core errors become the classes of jax_hps.errors, failed system calls OSError with errno.
void translate(const Error& error) {
  if (error.code == ErrorCode::kIo) {
    errno = error.system_error;
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, error.path.c_str());
  } else if (const char* name = python_class(error.code)) {
    const py::object type = py::module_::import("jax_hps.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
  } else {
    PyErr_SetString(PyExc_ValueError, error.what());
  }
}

uint32_t crc32c_of_buffer(const py::buffer& data, uint32_t initial) {
  const py::buffer_info info = data.request();
  if (PyBuffer_IsContiguous(info.view(), 'C') == 0) {
    throw py::value_error("crc32c: expected a C-contiguous buffer.");
  }
  const GilReleased released;
  return crc32c(info.ptr, static_cast<size_t>(info.size * info.itemsize), initial);
}

py::capsule capsule(XLA_FFI_Error* (*handler)(XLA_FFI_CallFrame*)) {
  return py::capsule(reinterpret_cast<void*>(handler));
}

py::dict handlers() {
  py::dict by_target;
  by_target["hps_lookup"] = capsule(hps_lookup_cpu);
  by_target["hps_noop"] = capsule(hps_noop_cpu);
  return by_target;
}

}  // namespace
}  // namespace jax_hps

PYBIND11_MODULE(_native, module, py::mod_gil_not_used()) {
  using namespace jax_hps;
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      translate(error);
    }
  });
  module.attr("FFI_API_VERSION") = py::make_tuple(ffi_version().major, ffi_version().minor);
  module.def("isa", [] { return std::string(gather_kernels().isa); });
  module.def("crc32c", &crc32c_of_buffer, py::arg("data"), py::arg("initial") = 0);
  module.def("crc32c_of_file", &crc32c_of_file, py::arg("path"), py::call_guard<GilReleased>());
  module.def("handlers", &handlers);
  bind_storage(module);
  bind_row_cache(module);
  bind_tables(module);
}
