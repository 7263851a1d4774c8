// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/gather_kernels.h"

namespace jax_hps::test {

/// Whether the kernels that JAX_HPS_ISA asks for are in use; says which are.
inline bool has_wanted_kernels() {
  const char* wanted = std::getenv("JAX_HPS_ISA");
  const std::string isa(gather_kernels().isa);
  std::printf("kernels: %s%s\n", isa.c_str(),
              wanted && isa != wanted ? "; skipped, this CPU has not those asked for" : "");
  return wanted == nullptr || isa == wanted;
}

}  // namespace jax_hps::test
