# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What tests of JAX programs assert again and again."""

from __future__ import annotations

import re

import jax
import numpy as np

# What a failing call raises: the first call of a jitted function the one, later calls,
# which take JAX's C++ path, the other.
CALL_ERRORS = (jax.errors.JaxRuntimeError, ValueError)

_COLLECTIVES = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"


def assert_same(actual, expected):
    """Assert that two arrays agree in shape, dtype and every bit."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    bits = np.dtype(f"u{actual.itemsize}")
    np.testing.assert_array_equal(actual.view(bits), expected.view(bits))


def collectives(hlo):
    """Names of the collectives in the text of a compiled program."""
    return sorted(set(re.findall(rf"\b(?:{_COLLECTIVES})\b", hlo)))


def lookups(hlo):
    """Number of lookups that a compiled program calls."""
    return hlo.count('custom_call_target="hps_lookup"')
