// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// What a custom call that gathers rows by number costs at least: prefetch ahead, then copy.

#include <cstdint>
#include <cstring>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

constexpr int64_t kAhead = 16;
constexpr int64_t kLine = 64;

// kDim as a constant turns memcpy into a few moves; 0: only known when it runs.
template <int64_t kDim>
void GatherSpan(const float* table, const int32_t* rows, int64_t begin, int64_t end, int64_t dim,
                float* out) {
  if (kDim != 0) dim = kDim;
  const auto prefetch = [&](int64_t i) {
    const char* row = reinterpret_cast<const char*>(table + rows[i] * dim);
    for (int64_t at = 0; at < dim * 4; at += kLine) __builtin_prefetch(row + at);
  };
  for (int64_t i = begin; i < begin + kAhead && i < end; ++i) prefetch(i);
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) prefetch(i + kAhead);
    std::memcpy(out + i * dim, table + rows[i] * dim, dim * sizeof(float));
  }
}

ffi::Error Gather(ffi::Buffer<ffi::F32> table, ffi::Buffer<ffi::S32> rows,
                  ffi::ResultBuffer<ffi::F32> out, int64_t threads) {
  const int64_t dim = table.dimensions()[1];
  const int64_t count = rows.element_count();
  const auto span = dim == 16    ? GatherSpan<16>
                    : dim == 64  ? GatherSpan<64>
                    : dim == 128 ? GatherSpan<128>
                                 : GatherSpan<0>;
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
