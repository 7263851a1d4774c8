# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A stream of batches, requested from a cache; what it missed and what it took in."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Counts(NamedTuple):
    """What became of a batch, or of several.

    Attributes:
        hits: requests for rows that were resident when their batch began.
        unique_misses: distinct rows that missed, summed over the batches.
        inserted: rows that were written into the cache.
    """

    hits: int
    unique_misses: int
    inserted: int


class Contender(Protocol):
    """A cache, or what stands for one."""

    def batch(self, rows: NDArray[np.int64]) -> Counts:
        """Request rows, then insert what missed; those resident before are hits."""


@dataclasses.dataclass(frozen=True)
class Stream:
    """Requests for the rows of one table.

    Attributes:
        name: where they come from.
        num_rows: rows of the table.
        batches: row numbers, int64 `[batches, batch]`.
    """

    name: str
    num_rows: int
    batches: NDArray[np.int64]

    @property
    def warm_up(self) -> int:
        """Batches before those that are measured: the first half."""
        return len(self.batches) // 2


class Figures(NamedTuple):
    """Per request, over the measured batches.

    Attributes:
        hit_rate: hits.
        unique_misses: rows to fetch.
        inserted: rows written into the cache.
        least: one request in all of them: what is less cannot be told from nothing.
    """

    hit_rate: float
    unique_misses: float
    inserted: float
    least: float


def replay(contender: Contender, stream: Stream) -> Figures:
    """Request all batches, and measure the second half of them."""
    for rows in stream.batches[: stream.warm_up]:
        contender.batch(rows)
    measured = stream.batches[stream.warm_up :]
    counts = [contender.batch(rows) for rows in measured]
    hits, unique_misses, inserted = np.sum(counts, axis=0) / measured.size
    return Figures(
        hit_rate=float(hits),
        unique_misses=float(unique_misses),
        inserted=float(inserted),
        least=1 / measured.size,
    )
