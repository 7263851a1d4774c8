# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Popularity moves as fast as it should, and scans pass over cold rows alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from jax_hps.errors import ConfigError
from jax_hps.testing import Drift, Scans, Workload, Zipf

STREAMS: dict[str, Callable[[int, int], Workload]] = {
    "drift": lambda rows, seed: Drift(rows, seed=seed),
    "drift of everything": lambda rows, seed: Drift(rows, 1.2, 1.0, seed=seed),
    "scans": lambda rows, seed: Scans(rows, seed=seed),
    "scans alone": lambda rows, seed: Scans(rows, share=1.0, seed=seed),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("num_rows", [1, 2, 3, 1000])
def test_rows_are_int64_and_in_range(name: str, num_rows: int) -> None:
    stream = STREAMS[name](num_rows, 0)
    assert stream.draw(0).tolist() == []
    for _ in range(3):
        rows = stream.draw(5_000)
        assert rows.dtype == np.int64
        assert rows.shape == (5_000,)
        assert rows.min() >= 0
        assert rows.max() < num_rows


@pytest.mark.parametrize("name", STREAMS)
def test_equal_seeds_give_equal_streams_and_each_draw_goes_on(name: str) -> None:
    first, again, other = (STREAMS[name](10**5, seed) for seed in (7, 7, 8))
    for _ in range(3):
        rows = first.draw(500)
        np.testing.assert_array_equal(rows, again.draw(500))
        assert (rows != other.draw(500)).any()
        assert (rows != first.draw(500)).any()
        again.draw(500)


def hottest(stream: Workload, rows: int, *, draws: int = 40_000) -> NDArray[np.int64]:
    """The most popular rows of one draw, most popular first."""
    counts = np.bincount(stream.draw(draws), minlength=stream.num_rows)
    return np.argsort(-counts, kind="stable")[:rows]


def test_without_a_share_there_is_the_zipf_stream_alone() -> None:
    for stream in (Drift(1000, 1.2, 0.0, seed=5), Scans(1000, 1.2, 0.0, seed=5)):
        plain = Zipf(1000, 1.2, seed=5)
        for _ in range(3):
            np.testing.assert_array_equal(stream.draw(100), plain.draw(100))


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_the_share_of_all_ranks_has_another_row_after_each_draw(share: float) -> None:
    stream = Drift(1000, share=share, seed=1)
    for _ in range(5):
        before = stream._row_now.copy()
        stream.draw(1)
        assert np.count_nonzero(stream._row_now != before) == 1000 * share
        assert np.array_equal(np.sort(stream._row_now), np.arange(1000))


def test_what_a_draw_leaves_of_a_pair_is_swapped_later() -> None:
    stream = Drift(100, share=0.005, seed=1)  # half a row a draw, a pair in four
    moved = []
    for _ in range(8):
        before = stream._row_now.copy()
        stream.draw(1)
        moved.append(int(np.count_nonzero(stream._row_now != before)))
    assert moved == [0, 0, 0, 2, 0, 0, 0, 2]


def test_hot_rows_are_forgotten_at_the_rate_of_the_share() -> None:
    draws, share = 20, 0.05
    kept = []
    for seed in range(20):
        stream = Drift(10_000, 1.05, share, seed=seed)
        before = stream._row_now[np.arange(1000)]
        for _ in range(draws):
            stream.draw(1)
        kept.append(np.mean(stream._row_now[np.arange(1000)] == before))
    assert np.mean(kept) == pytest.approx((1 - share) ** draws, abs=0.01)


def test_the_distribution_stays_while_the_rows_change() -> None:
    stream = Drift(1000, 1.2, 1.0, seed=2)
    first, then = hottest(stream, 20), hottest(stream, 20)
    assert len(np.intersect1d(first, then)) < 10
    counts = np.sort(np.bincount(stream.draw(400_000), minlength=1000))[::-1]
    for rows in (1, 10, 100):
        share = counts[:rows].sum() / 400_000
        assert share == pytest.approx(stream.hot_share(rows), abs=0.01)


def test_a_scan_takes_its_share_in_order_and_starts_over() -> None:
    stream = Scans(100, share=1.0, seed=3)
    cold = stream.draw(90)  # nine tenths of a hundred rows
    assert (np.diff(cold) > 0).all()
    np.testing.assert_array_equal(stream.draw(90), cold)


def test_a_scan_leaves_the_hottest_tenth_alone() -> None:
    popular = hottest(Zipf(1000, 1.5, seed=4), 30)
    scanned = Scans(1000, 1.5, share=1.0, seed=4).draw(900)
    assert len(np.unique(scanned)) == 900
    assert not np.intersect1d(popular, scanned).size


def test_a_scan_is_mixed_into_every_draw() -> None:
    stream, plain = Scans(10**6, 1.2, 0.25, seed=6), Zipf(10**6, 1.2, seed=6)
    swept = []
    for _ in range(50):
        rows, popular = stream.draw(1000), plain.draw(1000)
        swept.append(rows[rows != popular])
        assert 150 < len(swept[-1]) < 350
    once = np.concatenate(swept)
    assert (np.diff(once) > 0).all()
    assert len(once) == pytest.approx(0.25 * 50_000, rel=0.05)


def test_hot_share_of_scans_is_met() -> None:
    stream = Scans(1000, 1.2, 0.3, seed=2)
    counts = np.sort(np.bincount(stream.draw(400_000), minlength=1000))[::-1]
    for rows in (1, 10, 100, 500, 1000):
        share = counts[:rows].sum() / 400_000
        assert share == pytest.approx(stream.hot_share(rows), abs=0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Drift(0),
        lambda: Drift(10, -0.1),
        lambda: Drift(10, share=-0.1),
        lambda: Drift(10, share=1.1),
        lambda: Drift(10, share=float("nan")),
        lambda: Scans(0),
        lambda: Scans(10, -0.1),
        lambda: Scans(10, share=2),
    ],
)
def test_impossible_streams_are_refused(make: Callable[[], Workload]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()
