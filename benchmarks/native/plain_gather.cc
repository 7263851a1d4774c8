// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
// The gather of gather.cc as a plain function, in one thread.

#include "gather_span.h"

extern "C" void plain_gather(const float* table, const int32_t* rows, int64_t count, int64_t dim,
                             float* out) {
  ChooseGatherSpan(dim)(table, rows, 0, count, dim, out);
}
