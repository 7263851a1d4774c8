// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// From xla/ffi/api/c_api.h, which stays behind the handlers.
struct XLA_FFI_CallFrame;
struct XLA_FFI_Error;

namespace jax_hps {

/// Version of the FFI headers that the handlers were built with.
struct FfiVersion {
  int major, minor;
};
FfiVersion ffi_version();

/// The FFI handlers of platform cpu; `_native.pyi` states their operands and attributes.
extern "C" XLA_FFI_Error* hps_lookup_cpu(XLA_FFI_CallFrame* frame);
extern "C" XLA_FFI_Error* hps_noop_cpu(XLA_FFI_CallFrame* frame);

}  // namespace jax_hps
