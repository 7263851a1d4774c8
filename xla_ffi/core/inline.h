// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For functions in headers that the kernels use. The kernels are compiled once per instruction
/// set; a function that is not inlined there would exist once for all of them, and the linker
/// might keep the one that this CPU cannot run.
#define JAX_HPS_INLINE inline __attribute__((always_inline))

/// The same, for functions that CUDA kernels use too.
#if defined(__CUDACC__)
#define JAX_HPS_HD __host__ __device__ __forceinline__
#else
#define JAX_HPS_HD JAX_HPS_INLINE
#endif
