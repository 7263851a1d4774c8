# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Scores the test period from the tables on disk, and beside it from memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from dataset import Dataset
from model import Ranker
from numpy.typing import NDArray
from tables import NAMES, open_server, user_keys
from training import Params, Trained, user_rows

import jax_hps as hps
from jax_hps.flax.linen import Embed
from jax_hps.testing import pagecache

MIN_BATCHES = 50

Scores = NDArray[np.float32]
Seconds = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Requests:
    """What is asked: pairs of user and item, arrays of one length.

    Attributes:
        user_keys: hashed users, for the table on disk; int64.
        user_rows: rows of the users in the resident table; int32.
        items: numbers of the items, from 0; int32.
    """

    user_keys: NDArray[np.int64]
    user_rows: NDArray[np.int32]
    items: NDArray[np.int32]

    @classmethod
    def of_test_period(cls, data: Dataset, trained: Trained) -> Requests:
        users = data.test.users
        items = (data.test.items - 1).astype(np.int32)
        return cls(user_keys(users), user_rows(trained.user_ids, users), items)

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, size: int) -> Iterator[Requests]:
        """Batches of `size`, over all of the requests, again and again if they are few.

        All are of one size: the last one goes on at the start.
        """
        count = max(MIN_BATCHES, -(-len(self) // size))
        for start in range(0, count * size, size):
            span = np.arange(start, start + size) % len(self)
            yield Requests(self.user_keys[span], self.user_rows[span], self.items[span])


Scorer = Callable[[Requests], Scores]


def resident_scorer(trained: Trained) -> Scorer:
    """The trained model as it is: `jnp.take` on tables in memory, inside jit."""

    @jax.jit
    def score(params: Params, users: jax.Array, items: jax.Array) -> Any:
        return trained.model.apply({"params": params}, users, items)

    return lambda asked: np.asarray(score(trained.params, asked.user_rows, asked.items))


def served_scorer(trained: Trained, server: hps.ParameterServer) -> Scorer:
    """The same model over served tables: its parameters are the dense layers alone."""
    model = Ranker(user=Embed(server.table("user")), item=Embed(server.table("item")))
    dense = {name: p for name, p in trained.params.items() if name not in NAMES}

    @jax.jit
    def score(params: Params, users: hps.PackedKeys, items: jax.Array) -> Any:
        return model.apply({"params": params}, users, items)

    return lambda asked: np.asarray(
        score(dense, hps.keys(asked.user_keys), asked.items)
    )


@dataclasses.dataclass(frozen=True)
class Served:
    """The test period, served in batches of one size by both models.

    Attributes:
        batch_size: pairs in a batch.
        scores: scores of the served model, float32 [pairs].
        identical: whether the resident model's scores are the same, bit for bit.
        served_s: seconds of each batch, tables on disk and in the page cache.
        resident_s: seconds of each batch, tables in memory.
        cold_s: seconds of the first batch of a server whose tables the page cache does
            not hold.
    """

    batch_size: int
    scores: Scores
    identical: bool
    served_s: Seconds
    resident_s: Seconds
    cold_s: Seconds


def serve(
    trained: Trained,
    requests: Requests,
    folder: Path,
    *,
    batch_sizes: list[int],
    cold_rounds: int,
) -> tuple[list[Served], dict[str, hps.TableStats]]:
    """Serve the test period at every batch size, warm and cold.

    Returns:
        A result for each batch size, and what the tiers answered while warm.
    """
    resident = resident_scorer(trained)
    with open_server(folder) as server:
        served = served_scorer(trained, server)
        warm = [_warm(served, resident, requests, size) for size in batch_sizes]
        stats = dict(server.stats())
    # A new server has equal handles, so the compiled programs are used again.
    cold = [_cold(served, requests, folder, size, cold_rounds) for size in batch_sizes]
    return [
        dataclasses.replace(result, cold_s=seconds)
        for result, seconds in zip(warm, cold, strict=True)
    ], stats


def _warm(served: Scorer, resident: Scorer, requests: Requests, size: int) -> Served:
    first = next(requests.batches(size))
    served(first), resident(first)  # compiles
    ours, theirs = _Run(), _Run()
    for batch in requests.batches(size):
        ours.score(served, batch)
        theirs.score(resident, batch)
    scores, expected = ours.scores, theirs.scores
    return Served(
        batch_size=size,
        scores=scores[: len(requests)],
        identical=scores.tobytes() == expected.tobytes(),
        served_s=np.array(ours.seconds),
        resident_s=np.array(theirs.seconds),
        cold_s=np.empty(0),
    )


class _Run:
    """Batches scored one after another, and how long each took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._batches: list[Scores] = []

    def score(self, scorer: Scorer, batch: Requests) -> None:
        start = time.perf_counter()
        scores = scorer(batch)
        self.seconds.append(time.perf_counter() - start)
        self._batches.append(scores)

    @property
    def scores(self) -> Scores:
        return np.concatenate(self._batches)


def _cold(
    served: Scorer, requests: Requests, folder: Path, size: int, rounds: int
) -> Seconds:
    """Time the first batch after the page cache has lost the tables."""
    run = _Run()
    for _, batch in zip(range(rounds), requests.batches(size), strict=False):
        pagecache.drop(folder)
        with open_server(folder):
            run.score(served, batch)
    return np.array(run.seconds)
