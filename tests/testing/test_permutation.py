# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Permutations and scattered keys are bijections that only the seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from jax_hps.errors import ConfigError
from jax_hps.testing import Permutation, scatter_keys


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 1000, 65536, 65537, 100_003])
@pytest.mark.parametrize("seed", [0, 1])
def test_permutation_is_a_bijection(size: int, seed: int) -> None:
    permuted = Permutation(size, seed=seed)(np.arange(size))
    np.testing.assert_array_equal(np.sort(permuted), np.arange(size))


def test_permutation_scatters_neighbours() -> None:
    size = 100_000
    permuted = Permutation(size)(np.arange(size))
    # Two numbers drawn at random lie a third of the range apart on average.
    assert np.abs(np.diff(permuted)).mean() == pytest.approx(size / 3, rel=0.05)


def test_permutation_stays_in_range_at_its_largest_size() -> None:
    permuted = Permutation(2**62)(np.array([0, 1, 2**62 - 1]))
    assert permuted.min() >= 0
    assert permuted.max() < 2**62
    assert np.unique(permuted).size == 3


def test_permutation_keeps_the_shape_and_depends_on_the_seed_alone() -> None:
    numbers = np.arange(60).reshape(3, 20)
    first = Permutation(60, seed=5)(numbers)
    assert first.shape == (3, 20)
    np.testing.assert_array_equal(first, Permutation(60, seed=5)(numbers))
    assert (first != Permutation(60, seed=6)(numbers)).any()
    assert Permutation(60)(7).shape == ()
    assert scatter_keys(7).shape == ()


@pytest.mark.parametrize("size", [0, -1, 2**62 + 1])
def test_permutation_refuses_a_size_out_of_range(size: int) -> None:
    with pytest.raises(ConfigError, match="expected 1 to"):
        Permutation(size)


def test_scattered_keys_are_distinct_and_spread_over_all_of_int64() -> None:
    keys = scatter_keys(np.arange(200_000))
    assert keys.dtype == np.int64
    assert np.unique(keys).size == keys.size
    assert np.mean(keys < 0) == pytest.approx(0.5, abs=0.01)
    quarters = np.bincount((keys >> 62) + 2, minlength=4)
    np.testing.assert_allclose(quarters / keys.size, 0.25, atol=0.01)


def test_scattered_keys_depend_on_the_seed_alone() -> None:
    rows = np.arange(10)
    np.testing.assert_array_equal(
        scatter_keys(rows, seed=1), scatter_keys(rows, seed=1)
    )
    assert not np.isin(scatter_keys(rows, seed=1), scatter_keys(rows, seed=2)).any()
