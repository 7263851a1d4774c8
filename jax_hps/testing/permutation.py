# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Bijections that scatter row numbers, computed and never stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError

_ROUNDS = 3


class Permutation:
    """A pseudo-random permutation of `[0, size)` in a few bytes of memory.

    Each round adds a constant, folds the upper half of the bits into the lower one and
    multiplies by an odd constant, all modulo the power of two at or above `size`: each
    step can be undone, so their chain is a bijection of that power of two. A number
    that leaves `[0, size)` is permuted again until it is back inside (cycle walking:
    fewer than two passes on average), which makes it a bijection of `[0, size)`.

    Args:
        size: how many numbers to permute, 1 to 2**62.
        seed: chooses the permutation.

    Raises:
        ConfigError: `size` is out of range.

    Example:
        >>> from jax_hps.testing import Permutation
        >>> sorted(Permutation(5, seed=1)(range(5)).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        if not 1 <= size <= 2**62:
            raise ConfigError(f"Permutation: size={size}: expected 1 to 2**62.")
        self.size = size
        bits = max(2, (size - 1).bit_length())
        rng = np.random.default_rng([seed, 0x9E3779B9])
        constants = rng.integers(0, 2**63, size=(_ROUNDS, 2), dtype=np.uint64)
        self._mask = np.uint64(2**bits - 1)
        self._shift = np.uint64((bits + 1) // 2)
        self._rounds = [(add, times | np.uint64(1)) for add, times in constants]

    def __call__(self, numbers: ArrayLike) -> NDArray[np.int64]:
        """Permute `numbers`.

        Args:
            numbers: integers in `[0, size)`, of any shape.

        Returns:
            int64 of the same shape, in `[0, size)`.
        """
        given = np.asarray(numbers)
        mixed = self._mix(given.astype(np.uint64).reshape(-1))
        outside = np.flatnonzero(mixed >= self.size)
        while outside.size:
            mixed[outside] = self._mix(mixed[outside])
            outside = outside[mixed[outside] >= self.size]
        return mixed.astype(np.int64).reshape(given.shape)

    def _mix(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        for add, times in self._rounds:
            x = (x + add) & self._mask
            x = ((x ^ (x >> self._shift)) * times) & self._mask
        return x ^ (x >> self._shift)


def scatter_keys(rows: ArrayLike, *, seed: int = 0) -> NDArray[np.int64]:
    """Give each row number a random-looking 64-bit key, as hashed features have.

    The finaliser of splitmix64 over `row + seed * odd`: a bijection of the 64-bit
    integers, so distinct rows get distinct keys.

    Args:
        rows: integers of any shape.
        seed: chooses the mapping.

    Returns:
        int64 keys of the same shape, over the whole range of int64.

    Example:
        >>> from jax_hps.testing import scatter_keys
        >>> scatter_keys([0, 1])
        array([-2152535657050944081, -7995527694508729151])
    """
    given = np.asarray(rows)
    x = given.astype(np.int64).reshape(-1).view(np.uint64)
    x = x + np.uint64(((seed + 1) * 0x9E3779B97F4A7C15) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))).view(np.int64).reshape(given.shape)
