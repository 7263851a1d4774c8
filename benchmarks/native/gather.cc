// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// What a custom call that gathers rows by number costs at least.

#include <cstdint>

#include "gather_span.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

ffi::Error Gather(ffi::Buffer<ffi::F32> table, ffi::Buffer<ffi::S32> rows,
                  ffi::ResultBuffer<ffi::F32> out, int64_t threads) {
  const int64_t dim = table.dimensions()[1];
  const int64_t count = rows.element_count();
  const auto span = ChooseGatherSpan(dim);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int64_t part = 0; part < threads; ++part) {
    span(table.typed_data(), rows.typed_data(), count * part / threads,
         count * (part + 1) / threads, dim, out->typed_data());
  }
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(BenchmarkGather, Gather,
                              ffi::Ffi::Bind()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int64_t>("threads"));
