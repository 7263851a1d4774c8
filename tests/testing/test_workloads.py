# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Streams are reproducible, stay in range and have the distribution they promise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from jax_hps.errors import ConfigError
from jax_hps.testing import MetaReuse, TraceReplay, Uniform, Workload, Zipf
from jax_hps.testing.meta_reuse import reuse_curve

DRAWS = 400_000

STREAMS: dict[str, Callable[[int, int], Workload]] = {
    "uniform": lambda rows, seed: Uniform(rows, seed=seed),
    "zipf 0": lambda rows, seed: Zipf(rows, 0.0, seed=seed),
    "zipf 0.8": lambda rows, seed: Zipf(rows, 0.8, seed=seed),
    "zipf 1": lambda rows, seed: Zipf(rows, 1.0, seed=seed),
    "zipf 1.05": lambda rows, seed: Zipf(rows, seed=seed),
    "zipf 2": lambda rows, seed: Zipf(rows, 2.0, seed=seed),
    "meta 2021": lambda rows, seed: MetaReuse(rows, 2021, seed=seed),
    "meta 2022": lambda rows, seed: MetaReuse(rows, seed=seed),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("num_rows", [1, 2, 1000, 10**9])
def test_rows_are_int64_and_in_range(name: str, num_rows: int) -> None:
    rows = STREAMS[name](num_rows, 0).draw(10_000)
    assert rows.dtype == np.int64
    assert rows.shape == (10_000,)
    assert rows.min() >= 0
    assert rows.max() < num_rows


@pytest.mark.parametrize("name", STREAMS)
def test_equal_seeds_give_equal_streams_and_each_draw_goes_on(name: str) -> None:
    first, again, other = (STREAMS[name](10**6, seed) for seed in (7, 7, 8))
    rows = first.draw(500)
    np.testing.assert_array_equal(rows, again.draw(500))
    assert (rows != other.draw(500)).any()
    assert (rows != first.draw(500)).any()


def popularity(stream: Workload) -> NDArray[np.float64]:
    """Shares of the draws that the rows get, most popular first."""
    counts = np.bincount(stream.draw(DRAWS), minlength=stream.num_rows)
    return np.sort(counts)[::-1] / DRAWS


def five_sigma(share: float) -> float:
    return float(5 * np.sqrt(share * (1 - share) / DRAWS))


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.05, 1.5])
def test_zipf_ranks_have_the_exact_mass_of_the_bounded_pareto(exponent: float) -> None:
    num_rows = 1000
    edges = np.arange(1, num_rows + 2, dtype=np.float64)
    if exponent == 1:
        below = np.log(edges) / np.log(num_rows + 1)
    else:
        below = (edges ** (1 - exponent) - 1) / ((num_rows + 1) ** (1 - exponent) - 1)
    drawn = popularity(Zipf(num_rows, exponent, seed=1))
    for rank in range(5):
        expected = below[rank + 1] - below[rank]
        assert drawn[rank] == pytest.approx(expected, abs=five_sigma(expected))


@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.0, 1.05, 1.5])
def test_zipf_hot_share_is_met(exponent: float) -> None:
    stream = Zipf(1000, exponent, seed=2)
    assert stream.hot_share(1000) == pytest.approx(1)
    hottest = np.argsort(stream._place(np.arange(1000)))  # rank of each row
    drawn = hottest[stream.draw(DRAWS)]
    for rows in (1, 10, 100, 500):
        expected = stream.hot_share(rows)
        assert np.mean(drawn < rows) == pytest.approx(
            expected, abs=five_sigma(expected)
        )


def test_zipf_near_exponent_one_is_continuous() -> None:
    shares = [Zipf(10**6, a).hot_share(1000) for a in (1 - 1e-9, 1.0, 1 + 1e-9)]
    np.testing.assert_allclose(shares, shares[1], rtol=1e-6)


def test_hot_rows_of_zipf_are_scattered() -> None:
    stream = Zipf(100_000, 1.2, seed=4)
    counts = np.bincount(stream.draw(DRAWS), minlength=stream.num_rows)
    hottest = np.sort(np.argsort(counts)[-100:])
    assert np.diff(hottest).max() < 20_000  # no fifth of the table is without any


def test_uniform_covers_the_rows_evenly() -> None:
    counts = np.bincount(Uniform(100, seed=1).draw(DRAWS), minlength=100)
    np.testing.assert_allclose(counts / DRAWS, 0.01, atol=five_sigma(0.01))
    assert Uniform(100).hot_share(25) == 0.25


@pytest.mark.parametrize("year", [2021, 2022])
def test_meta_reuse_meets_its_histogram_bin_by_bin(year: int) -> None:
    num_rows = 10**6
    stream = MetaReuse(num_rows, year, seed=1)
    ranks = np.argsort(stream._place(np.arange(num_rows)))[stream.draw(DRAWS)]
    rows, accesses = reuse_curve(year)
    ends = np.cumsum(rows) * num_rows
    for end, expected in zip(ends, np.cumsum(accesses), strict=True):
        # A bin may end within a row, which then counts to the bin where it starts.
        tolerance = five_sigma(min(expected, 1)) + 2e-2 * (end < 1000)
        assert np.mean(ranks < end) == pytest.approx(expected, abs=tolerance)
    assert stream.hot_share(num_rows) == pytest.approx(1)


@pytest.mark.parametrize(
    ("year", "touches_per_row", "printed"),
    [
        (2021, 6.9, (0.473, 0.152, 0.139, 0.112, 0.072, 0.032, 0.011, 0.005, 0.002)),
        (2022, 12.7, (0.342, 0.144, 0.149, 0.138, 0.112, 0.068, 0.029, 0.010, 0.004)),
    ],
)
def test_meta_curve_meets_the_printed_shares_of_rows(
    year: int, touches_per_row: float, printed: tuple[float, ...]
) -> None:
    rows, accesses = reuse_curve(year)
    assert rows.sum() == pytest.approx(1)
    assert accesses.sum() == pytest.approx(1)
    np.testing.assert_allclose(rows[::-1][: len(printed)], printed, atol=0.007)
    # Rows touched once have as many accesses as rows.
    assert rows[-1] / accesses[-1] == pytest.approx(touches_per_row, rel=0.01)


def test_a_trace_is_replayed_in_order_and_starts_over() -> None:
    stream = TraceReplay(np.array([[4, 0], [9, 4]], dtype=np.int32))
    assert stream.num_rows == 10
    assert stream.draw(3).tolist() == [4, 0, 9]
    assert stream.draw(7).tolist() == [4, 4, 0, 9, 4, 4, 0]
    assert stream.draw(0).tolist() == []
    assert stream.draw(1).tolist() == [9]


@pytest.mark.parametrize("trace", [[], [1.5], [3, -1]])
def test_a_trace_of_no_row_numbers_is_refused(trace: list[float]) -> None:
    with pytest.raises(ConfigError, match="expected at least one row number"):
        TraceReplay(trace)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(0),
        lambda: Zipf(0),
        lambda: Zipf(10, -0.1),
        lambda: Zipf(10, float("nan")),
        lambda: MetaReuse(0),
        lambda: MetaReuse(10, 2023),
    ],
)
def test_impossible_streams_are_refused(make: Callable[[], Workload]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()
