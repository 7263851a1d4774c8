# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""JAX as strict as it can be: whatever promotes silently is an error."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def no_silent_promotion():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
