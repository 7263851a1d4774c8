# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Streams that make it hard for a cache: popularity moves, or scans pass through."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .permutation import Permutation
from .workloads import Zipf

_DRIFT_STREAM = 0xD21F7  # keeps swaps and scans independent of what Zipf draws
_SCAN_STREAM = 0x5CA45


@dataclasses.dataclass
class Drift:
    """A `Zipf` stream whose rows become popular, and forgotten, as time goes on.

    Before each draw a share of all ranks gets other rows: `share * num_rows` ranks,
    chosen at random, swap their rows in pairs. So a draw is a step in time, and a row
    that was hot stays so for `1 / share` draws on average, however hot it was. What the
    share leaves of a pair is kept for the next draw. The distribution over the ranks is
    always that of `Zipf`. Holds 4 bytes per row, 8 from 2**31 rows on.

    Attributes:
        num_rows: rows of the table, at least 1.
        exponent: of the Zipf stream, at least 0.
        share: of the ranks that get another row before each draw, 0 to 1.
        seed: of the stream and of the swaps.

    Raises:
        ConfigError: `num_rows` is below 1, `exponent` below 0, or `share` not in
            `[0, 1]`.

    Example:
        >>> from jax_hps.testing import Drift
        >>> stream = Drift(1_000_000, exponent=1.2, share=0.01, seed=3)
        >>> stream.draw(65_536).shape
        (65536,)
        >>> round(stream.hot_share(10_000), 2)
        0.9
    """

    num_rows: int
    exponent: float = 1.05
    share: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        _check_share(self)
        self._zipf = Zipf(self.num_rows, self.exponent, seed=self.seed)
        self._rng = np.random.default_rng([self.seed, _DRIFT_STREAM])
        # Swapping the rows behind Zipf's rows is swapping the rows behind its ranks.
        self._row_now = np.arange(self.num_rows, dtype=_row_dtype(self.num_rows))
        self._due = 0.0

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """Let popularity move, then the next `num_keys` row numbers, int64."""
        self._due += self.share * self.num_rows / 2
        pairs = min(int(self._due), self.num_rows // 2)
        self._due -= int(self._due)
        self._swap(pairs)
        return self._row_now[self._zipf.draw(num_keys)].astype(np.int64)

    def _swap(self, pairs: int) -> None:
        chosen = self._rng.choice(self.num_rows, 2 * pairs, replace=False)
        one, other = chosen[:pairs], chosen[pairs:]
        rows = self._row_now
        rows[one], rows[other] = rows[other], rows[one]

    def hot_share(self, rows: int) -> float:
        """Expected share of a draw that goes to the `rows` hottest rows of then."""
        return self._zipf.hot_share(rows)


@dataclasses.dataclass
class Scans:
    """A `Zipf` stream, and scans of cold rows that pass through a cache only once.

    Each key belongs to the scan with probability `share`, else to the Zipf stream. The
    scan goes over the nine tenths of the rows that are least popular, in the order of
    their numbers, and starts over when it is through. Holds 4 bytes per row, 8 from
    2**31 rows on.

    Attributes:
        num_rows: rows of the table, at least 1.
        exponent: of the Zipf stream, at least 0.
        share: of the keys that the scan takes, 0 to 1.
        seed: of the stream.

    Raises:
        ConfigError: `num_rows` is below 1, `exponent` below 0, or `share` not in
            `[0, 1]`.

    Example:
        >>> from jax_hps.testing import Scans
        >>> Scans(1_000_000, share=1.0, seed=3).draw(5)
        array([0, 1, 2, 3, 4])
        >>> round(Scans(1_000_000, share=0.25).hot_share(10_000), 2)
        0.55
    """

    num_rows: int
    exponent: float = 1.05
    share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_share(self)
        self._zipf = Zipf(self.num_rows, self.exponent, seed=self.seed)
        self._rng = np.random.default_rng([self.seed, _SCAN_STREAM])
        self._first_cold = self.num_rows // 10
        place = Permutation(self.num_rows, seed=self.seed)  # Zipf's own: rank to row
        cold = place(np.arange(self._first_cold, self.num_rows))
        self._cold = np.sort(cold.astype(_row_dtype(self.num_rows)))
        self._position = 0

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""
        rows = self._zipf.draw(num_keys)
        scanned = np.flatnonzero(self._rng.random(num_keys) < self.share)
        places = np.arange(self._position, self._position + scanned.size)
        self._position = (self._position + scanned.size) % self._cold.size
        rows[scanned] = self._cold[places % self._cold.size]
        return rows

    def hot_share(self, rows: int) -> float:
        """Expected share of the draws that goes to the `rows` hottest rows."""
        scanned = max(0, rows - self._first_cold) / self._cold.size
        return (1 - self.share) * self._zipf.hot_share(rows) + self.share * scanned


def _row_dtype(num_rows: int) -> type[np.signedinteger]:
    return np.int32 if num_rows <= 2**31 else np.int64


def _check_share(workload: Drift | Scans) -> None:
    if not 0 <= workload.share <= 1:
        raise ConfigError(f"{workload}: expected a share of 0 to 1.")
