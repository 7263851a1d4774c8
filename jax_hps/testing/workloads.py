# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Seeded streams of row numbers: which rows of a table a program asks for."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from .meta_reuse import ACCESS_SHARES, reuse_curve
from .permutation import Permutation


class Workload(Protocol):
    """A stream of row numbers in `[0, num_rows)`; equal seeds give equal streams."""

    @property
    def num_rows(self) -> int:
        """Rows of the table that the stream is for."""

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""


@dataclasses.dataclass
class Uniform:
    """Every row is as likely as every other.

    Attributes:
        num_rows: rows of the table, at least 1.
        seed: of the stream.

    Raises:
        ConfigError: `num_rows` is below 1.

    Example:
        >>> from jax_hps.testing import Uniform
        >>> Uniform(1000, seed=3).draw(4)
        array([811,  85, 179, 236])
    """

    num_rows: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rows(self)
        self._rng = np.random.default_rng(self.seed)

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""
        return self._rng.integers(0, self.num_rows, size=num_keys)

    def hot_share(self, rows: int) -> float:
        """Expected share of the draws that goes to the `rows` hottest rows."""
        return rows / self.num_rows


@dataclasses.dataclass
class Zipf:
    """Popularity falls with the rank `k` as `k ** -exponent`; ranks are scattered.

    Ranks come from the inverse distribution function of a bounded Pareto variable,
    with density proportional to `x ** -a` on `[1, N + 1)`:

        x(u) = (1 + u ((N + 1)^(1 - a) - 1)) ^ (1 / (1 - a)),  a != 1
        x(u) = (N + 1)^u,                                      a == 1

    for `u` uniform on `[0, 1)`, and `k = floor(x)`. `exponent` is that of the density
    (HugeCTR's and NVE's "alpha"), not that of the distribution function. A seeded
    permutation then maps ranks to row numbers, so that hot rows do not share pages.

    Attributes:
        num_rows: rows of the table, `N`, at least 1.
        exponent: `a`, at least 0 (0 is uniform).
        seed: of the stream and of the permutation.

    Raises:
        ConfigError: `num_rows` is below 1 or `exponent` below 0.

    Example:
        >>> from jax_hps.testing import Zipf
        >>> stream = Zipf(1_000_000, exponent=1.05, seed=3)
        >>> stream.draw(3).shape
        (3,)
        >>> round(stream.hot_share(10_000), 2)
        0.74
    """

    num_rows: int
    exponent: float = 1.05
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rows(self)
        if not self.exponent >= 0:
            raise ConfigError(f"{self}: expected an exponent of 0 or more.")
        self._rng = np.random.default_rng(self.seed)
        self._place = Permutation(self.num_rows, seed=self.seed)
        self._slope = 1 - self.exponent
        self._span = self._growth(math.log(self.num_rows + 1))

    def _growth(self, log_x: float) -> float:
        """Integral of `x ** -a` from 1 to `exp(log_x)`, times `1 - a` unless 0."""
        return math.expm1(self._slope * log_x) if self._slope else log_x

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""
        grown = self._span * self._rng.random(num_keys)
        log_x = np.log1p(grown) / self._slope if self._slope else grown
        ranks = np.exp(log_x).astype(np.int64) - 1
        return self._place(np.clip(ranks, 0, self.num_rows - 1))

    def hot_share(self, rows: int) -> float:
        """Expected share of the draws that goes to the `rows` hottest rows."""
        return self._growth(math.log(rows + 1)) / self._span


@dataclasses.dataclass
class MetaReuse:
    """Popularity as in Meta's production models, from their published histograms.

    Rows are cut into 17 bins by how often they are touched (see `meta_reuse`); a draw
    picks a bin by its share of the accesses, then a row of the bin at random. Row
    numbers are scattered by a seeded permutation. Without the permutation the row
    number is `floor(N F(u))`, `F` the piecewise linear curve from the share of
    accesses to the share of rows, hottest bin first.

    The histograms tell how often rows recur, not when: draws are independent.

    Attributes:
        num_rows: rows of the table, at least 1.
        year: of the histogram, 2021 or 2022.
        seed: of the stream and of the permutation.

    Raises:
        ConfigError: `num_rows` is below 1, or there is no histogram for `year`.

    Example:
        >>> from jax_hps.testing import MetaReuse
        >>> round(MetaReuse(1_000_000).hot_share(10_000), 2)
        0.46
    """

    num_rows: int
    year: int = 2022
    seed: int = 0

    def __post_init__(self) -> None:
        _check_rows(self)
        if self.year not in ACCESS_SHARES:
            raise ConfigError(f"{self}: expected year in {sorted(ACCESS_SHARES)}.")
        self._rng = np.random.default_rng(self.seed)
        self._place = Permutation(self.num_rows, seed=self.seed)
        rows, accesses = reuse_curve(self.year)
        self._rows_up_to = np.append(0, np.cumsum(rows))
        self._accesses_up_to = np.append(0, np.cumsum(accesses))

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""
        chosen = self._rng.random(num_keys)
        share = np.interp(chosen, self._accesses_up_to, self._rows_up_to)
        ranks = (share * self.num_rows).astype(np.int64)
        return self._place(np.clip(ranks, 0, self.num_rows - 1))

    def hot_share(self, rows: int) -> float:
        """Expected share of the draws that goes to the `rows` hottest rows."""
        share = rows / self.num_rows
        return float(np.interp(share, self._rows_up_to, self._accesses_up_to))


class TraceReplay:
    """A recorded trace, again and again from its start.

    Args:
        trace: row numbers, integers of any shape, at least one, none negative.

    Raises:
        ConfigError: the trace is empty, holds a negative number or no integers.

    Example:
        >>> from jax_hps.testing import TraceReplay
        >>> TraceReplay([7, 3, 5]).draw(5)
        array([7, 3, 5, 7, 3])
    """

    def __init__(self, trace: ArrayLike) -> None:
        given = np.asarray(trace)
        if given.dtype.kind not in "iu" or not given.size or given.min() < 0:
            raise ConfigError(
                "TraceReplay: expected at least one row number, none negative, got "
                f"{given.size} of {given.dtype}."
            )
        self._trace = given.reshape(-1).astype(np.int64)
        self._position = 0

    @property
    def num_rows(self) -> int:
        """One more than the largest row number of the trace."""
        return int(self._trace.max()) + 1

    def draw(self, num_keys: int) -> NDArray[np.int64]:
        """The next `num_keys` row numbers, int64 `[num_keys]`."""
        places = np.arange(self._position, self._position + num_keys)
        self._position = (self._position + num_keys) % self._trace.size
        return self._trace[places % self._trace.size]


def _check_rows(workload: Workload) -> None:
    if workload.num_rows < 1:
        raise ConfigError(f"{workload}: expected num_rows of 1 or more.")
