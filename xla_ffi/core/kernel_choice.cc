// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_choice.h"

#include <cstdlib>
#include <string_view>

namespace jax_hps {

Isa chosen_isa() {
  const char* wanted = std::getenv("JAX_HPS_ISA");
  const auto may_use = [&](std::string_view isa) { return wanted == nullptr || isa == wanted; };
#if defined(__x86_64__)
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c");
  if (has_avx512 && may_use("avx512")) return Isa::kAvx512;
  if (has_avx2 && may_use("avx2")) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

}  // namespace jax_hps
