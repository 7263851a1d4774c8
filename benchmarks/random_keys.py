# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Random keys for the cache, and rows that say whose they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import Permutation, scatter_keys

Keys = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class RandomKeys:
    """Distinct random keys, never the same again.

    Args:
        bits: keys are below `2**bits`; 64: all of int64.
        seed: chooses them.
    """

    def __init__(self, bits: int, *, seed: int) -> None:
        self._permutation = Permutation(2**bits, seed=seed) if bits < 64 else None
        self._seed = seed
        self._given = 0

    def next(self, count: int) -> Keys:
        """The next `count` keys, int64 `[count]`."""
        numbers = np.arange(self._given, self._given + count)
        self._given += count
        if self._permutation is None:
            return scatter_keys(numbers, seed=self._seed)
        return self._permutation(numbers)


def rows_of(keys: Keys, row_bytes: int) -> Bytes:
    """A row for each key, uint8 `[keys, row_bytes]`: the key, again and again."""
    return np.repeat(keys, row_bytes // 8).view(np.uint8).reshape(-1, row_bytes)


def aligned(count: int, row_bytes: int) -> Bytes:
    """Room for rows, uint8 `[count, row_bytes]`, that starts at a line of the CPU.

    NumPy's own starts 16 bytes behind one: rows of 64 bytes would lie on two.
    """
    room = np.empty(count * row_bytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + count * row_bytes].reshape(count, row_bytes)
