// SPDX-FileCopyrightText: The jax_hps authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "core/lookup_part.h"
#include "core/parallel.h"
#include "core/table.h"

namespace jax_hps {

/// Answers all parts. Every output is written, whatever happens: what fails, and what an unknown
/// table would have answered, reads as the default vector, or as zeros where there is none.
///
/// Returns the first failure that should be raised: those of strict tables in any case, and with
/// `raise`, which says that the host can raise now, all but those that the table's options
/// tolerate. The others are counted and kept.
std::optional<Failure> lookup(std::span<const LookupPart> parts, bool raise, Executor* executor);

}  // namespace jax_hps
