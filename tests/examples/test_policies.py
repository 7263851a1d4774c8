# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The policies suite: its streams, its sizes, and what its rows say."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import policy_rows
from benchmarks.cache_policies import DEFAULT, VARIANTS
from benchmarks.outcomes import BELADY, EXACT_LFU, LRU_16, LRU_64, STATIC_TOP, Outcome
from benchmarks.policies import _capacities
from benchmarks.replay import Figures
from benchmarks.run import Run
from benchmarks.streams import WORKLOADS, streams

REFERENCES = (LRU_64, LRU_16, STATIC_TOP, EXACT_LFU, BELADY)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("JAX_HPS_DATA", str(tmp_path))
    console = Console(file=io.StringIO(), width=200)
    return Run(tmp_path, console, quick=True, seed=3)


def test_streams_are_in_range_and_the_same_again(quick: Run) -> None:
    made = {stream.name: stream for stream in streams(quick)}
    assert list(made) == list(WORKLOADS)
    for again in streams(quick):
        stream = made[again.name]
        np.testing.assert_array_equal(again.batches, stream.batches)
        assert stream.batches.dtype == np.int64
        assert stream.batches.min() >= 0
        assert stream.batches.max() < stream.num_rows
    assert "MovieLens 100K left out" in quick.console.file.getvalue()  # type: ignore


def test_ratings_ask_for_their_user_and_their_item(quick: Run, tmp_path: Path) -> None:
    file = tmp_path / "ml-100k" / "u.data"
    file.parent.mkdir()
    lines = [f"{1 + time % 3}\t{7 - time % 5}\t5\t{time}\n" for time in range(200)]
    file.write_text("".join(lines))
    *_, stream = streams(quick)
    assert stream.batches.shape == (3, 128)
    rows = stream.batches.ravel()
    assert rows[::2].tolist() == [1 + time % 3 for time in range(192)]
    assert rows[1::2].tolist() == [4 + 7 - time % 5 for time in range(192)]
    assert stream.num_rows == 12


def test_caches_are_of_whole_sets_and_small_tables_have_fewer() -> None:
    sizes = [19_968, 40_000, 99_968, 200_000, 400_000]
    assert _capacities(2_000_000) == sizes
    assert _capacities(2626) == [64, 128, 256, 512]
    assert _capacities(10) == [64]


def outcome(stream: str, ours: float, theirs: float) -> Outcome:
    def figures(misses: float) -> Figures:
        return Figures(1 - misses, misses, misses / 4, least=1e-6)

    made = {name: figures(theirs) for name in REFERENCES}
    made |= {name: figures(ours) for name in VARIANTS}
    return Outcome(stream, 1000, 64, made)


def test_rows_compare_each_variant_with_lru_and_the_default_with_all() -> None:
    rows = list(policy_rows.of_outcome(outcome("stream", 0.1, 0.2)))
    misses, inserted = rows[: len(VARIANTS)], rows[len(VARIANTS) : 2 * len(VARIANTS)]
    for name, row in zip(VARIANTS, misses, strict=True):
        assert row.case == "stream: unique misses vs LRU of 64 ways"
        assert row.shape == f"64 rows (6.4 %), {name}"
        assert (row.ours, row.baseline, row.ratio) == pytest.approx((10, 20, 2))
    for row in inserted:
        assert row.case == "stream: rows inserted vs LRU of 64 ways"
        assert (row.ours, row.baseline, row.ratio) == pytest.approx((2.5, 5, 2))
    against = [row.shape.rpartition(", ")[2] for row in rows[2 * len(VARIANTS) :]]
    assert against == [LRU_16, STATIC_TOP, EXACT_LFU, BELADY]


def test_nothing_at_all_counts_as_one_request() -> None:
    rows = list(policy_rows.of_outcome(outcome("stream", 0.0, 0.2)))
    assert (rows[0].ours, rows[0].ratio) == pytest.approx((1e-4, 2e5))


def test_the_summary_has_geometric_means_and_the_worst_case() -> None:
    outcomes = [outcome("good", 0.1, 0.4), outcome("bad", 0.2, 0.1)]
    rows = {
        row.shape: row for row in policy_rows.of_all(outcomes) if "unique" in row.case
    }
    assert rows[f"{DEFAULT}, geometric mean"].ratio == pytest.approx((4 / 2) ** 0.5)
    assert rows[f"{DEFAULT}, worst: bad, 64 rows (6.4 %)"].ratio == pytest.approx(0.5)
