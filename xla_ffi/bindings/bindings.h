// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <vector>

namespace jax_hps {

/// Each adds its part of `_native`.
void bind_storage(pybind11::module_& module);
void bind_tables(pybind11::module_& module);
void bind_row_cache(pybind11::module_& module);

/// Gives the GIL up for a while. Unlike pybind11's guard it lets the thread end where it cannot get
/// the GIL back, because the interpreter is on its way out: Python ends such threads by unwinding
/// them, and a destructor that may not throw would end the process instead.
class GilReleased {
 public:
  GilReleased() : state_(PyEval_SaveThread()) {}
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;
  ~GilReleased() noexcept(false) { PyEval_RestoreThread(state_); }

 private:
  PyThreadState* state_;
};

/// Arrays are taken as they are or refused: a silent copy or conversion would hide a caller's bug.
template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

/// The bytes of a bytes object.
inline std::vector<std::byte> to_bytes(const pybind11::bytes& data) {
  const std::string_view view = data;
  const auto* begin = reinterpret_cast<const std::byte*>(view.data());
  return std::vector<std::byte>(begin, begin + view.size());
}

}  // namespace jax_hps
