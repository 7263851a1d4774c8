// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace jax_hps {

/// Names of the instruction sets that kernels are compiled for, best first.
enum class Isa { kAvx512, kAvx2, kBaseline };

/// The best one of this CPU; JAX_HPS_ISA=baseline|avx2|avx512 in the environment chooses another,
/// where the CPU has it.
Isa chosen_isa();

#if defined(__x86_64__)
/// Of kernels compiled for each, those to use.
template <typename Kernels>
const Kernels& choose_kernels(const Kernels& avx512, const Kernels& avx2, const Kernels& baseline) {
  switch (chosen_isa()) {
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    case Isa::kBaseline:
      break;
  }
  return baseline;
}
#endif

}  // namespace jax_hps
