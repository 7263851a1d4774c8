# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The streams that replacement policies are measured on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import Drift, MetaReuse, Scans, Workload, Zipf, read_movielens

from .replay import Stream
from .run import Run

WORKLOADS: dict[str, Callable[[int, int], Workload]] = {
    "Zipf 1.05": lambda rows, seed: Zipf(rows, 1.05, seed=seed),
    "Zipf 1.2": lambda rows, seed: Zipf(rows, 1.2, seed=seed),
    "Zipf 1.3": lambda rows, seed: Zipf(rows, 1.3, seed=seed),
    "Zipf 1.05, drift .002": lambda rows, seed: Drift(rows, 1.05, 0.002, seed=seed),
    "Zipf 1.05, drift .01": lambda rows, seed: Drift(rows, 1.05, 0.01, seed=seed),
    "Zipf 1.2, drift .002": lambda rows, seed: Drift(rows, 1.2, 0.002, seed=seed),
    "Zipf 1.2, drift .01": lambda rows, seed: Drift(rows, 1.2, 0.01, seed=seed),
    "Zipf 1.05, scans": lambda rows, seed: Scans(rows, 1.05, 0.1, seed=seed),
    "Meta's reuse of 2022": lambda rows, seed: MetaReuse(rows, seed=seed),
}

RATINGS_BATCH = 128  # as large a share of the table as the batches of the others


def streams(run: Run) -> Iterator[Stream]:
    """One after another, since each takes some memory."""
    num_rows, batch, batches = (
        (32_768, 1024, 64) if run.quick else (2_000_000, 65_536, 256)
    )
    for name, workload in WORKLOADS.items():
        source = workload(num_rows, run.seed)
        drawn = np.empty((batches, batch), np.int64)
        for rows in drawn:
            rows[:] = source.draw(batch)
        yield Stream(name, num_rows, drawn)
    yield from _movielens(run)


def _movielens(run: Run) -> Iterator[Stream]:
    """Real people: each rating asks for its user and its item, as they were rated."""
    file = Path(os.environ.get("JAX_HPS_DATA", "")) / "ml-100k" / "u.data"
    if not file.is_file():
        run.skip("MovieLens 100K", "JAX_HPS_DATA names no folder with ml-100k/u.data")
        return
    ratings = read_movielens(file)
    items = ratings.users.max() + 1 + ratings.items  # users first, then items
    rows: NDArray[np.int64] = np.stack([ratings.users, items], axis=1).reshape(-1)
    batches = len(rows) // RATINGS_BATCH
    drawn = rows[: batches * RATINGS_BATCH].reshape(batches, RATINGS_BATCH)
    yield Stream("MovieLens 100K", int(rows.max()) + 1, drawn)
