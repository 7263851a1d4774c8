# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Our cache as a contender: every policy it has, each answer checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jax_hps import _native

from .reference_policies import Distinct
from .replay import Counts, Stream

DEFAULT = "frequency, adaptive"

VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {"policy": "frequency"},
    "frequency, halving 1": {"policy": "frequency", "halving": 1},
    "frequency, halving 2": {"policy": "frequency", "halving": 2},
    "frequency, halving 4": {"policy": "frequency", "halving": 4},
    "frequency, halving 8": {"policy": "frequency", "halving": 8},
    "frequency, admit always": {"policy": "frequency", "admit": "always"},
    "lru": {"policy": "lru"},
    "s3fifo": {"policy": "s3fifo"},
}


class CachePolicy:
    """A `Contender`: `RowCache` with rows of 8 bytes, each of them its own number.

    Args:
        stream: says how many rows the table has, and how large a batch is.
        capacity: rows that the cache holds.
        options: policy, admit and halving.
    """

    def __init__(self, stream: Stream, capacity: int, **options: Any) -> None:
        self._cache = _native.RowCache(
            num_rows=capacity,
            row_bytes=8,
            key_bits=max(1, (stream.num_rows - 1).bit_length()),
            **options,
        )
        self._distinct = Distinct(stream.num_rows)
        self._answers = np.zeros((stream.batches.shape[1], 8), np.uint8)
        self._inserted = 0

    def batch(self, rows: NDArray[np.int64]) -> Counts:
        answers = self._answers[: rows.size]
        found = self._cache.lookup(rows, answers).astype(bool)
        answered = answers.view(np.int64).reshape(-1)
        if (answered[found] != rows[found]).any():
            raise AssertionError("the cache answered a row of another key")
        missed, counts = self._distinct(rows[~found])
        self._cache.insert(missed, missed.view(np.uint8).reshape(-1, 8), counts)
        hits = int(np.count_nonzero(found))
        return Counts(hits, missed.size, self._newly_inserted())

    def _newly_inserted(self) -> int:
        stats = self._cache.stats()
        before, self._inserted = self._inserted, stats["attempts"] - stats["rejects"]
        return self._inserted - before
