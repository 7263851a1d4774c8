# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What a reader of the cache loses when rows are inserted all the while.

Another core inserts flat out, and each insertion throws a row out. What that costs the
reader in memory bandwidth and shared caches of the CPU is not the cache's fault: the
same insertions into another cache of the same size show how much it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from jax_hps.testing import Uniform

from .full_cache import NUM_KEYS, FullCache, full_cache
from .inserter import BATCH, Inserter
from .random_keys import Bytes, Keys, aligned, rows_of
from .rows import rate
from .run import Run
from .timing import Timing

HOT = 0.5  # of the rows: asked for often, so that they stay while others come and go
CALLS = 8  # of the reader in a row, beside the same inserter

Inserting = Callable[[], AbstractContextManager[None]]


def measure_readers(run: Run, dim: int, core: int) -> None:
    """One reader: alone, beside an inserter into its cache, and into another one.

    Args:
        run: gets the rows.
        dim: float32 numbers of a row.
        core: where the inserters run.
    """
    full, other = (
        full_cache(run, dim, hot=HOT, admit="always", seed=run.seed + i)
        for i in range(2)
    )
    into_same, into_other = Inserter(full, core), Inserter(other, core)
    alone, beside_same, beside_other = _read(
        run, full, [nullcontext, into_same.running, into_other.running]
    )
    shape = full.shape(f"uniform over {100 * HOT:.0f} % of the rows")
    reader, to_other = "reader beside an inserter", "into another cache"
    for case, ours, baseline in (
        (f"{reader} vs alone", beside_same, alone),
        (f"{reader} {to_other} vs alone", beside_other, alone),
        (f"{reader} vs {to_other}", beside_same, beside_other),
    ):
        amount = NUM_KEYS / 1e6
        run.add(rate(case, shape, ours, baseline, amount=amount, unit="Mkeys/s"))
    same, apart = (Timing(np.array(one.seconds)) for one in (into_same, into_other))
    case = "inserter beside a reader of its cache vs of another"
    run.add(rate(case, shape, same, apart, amount=BATCH / 1e6, unit="Mkeys/s"))


def _read(run: Run, full: FullCache, modes: list[Inserting]) -> list[Timing]:
    """Time lookups in each of the modes, some of each in turns."""
    stream = Uniform(len(full.keys), seed=run.seed)
    out = aligned(NUM_KEYS, full.row_bytes)
    seconds: list[list[float]] = [[] for _ in modes]
    order = list(range(len(modes)))
    for turn in range(4 if run.quick else 24):
        for mode in order:
            drawn = [full.keys[stream.draw(NUM_KEYS)] for _ in range(CALLS)]
            with modes[mode]():
                for keys in drawn:
                    start = time.perf_counter()
                    states = full.cache.lookup(keys, out)
                    seconds[mode].append(time.perf_counter() - start)
            _check(full, drawn[-1], states, out)
        if turn == 0:  # to warm up
            for one in seconds:
                one.clear()
        order.reverse()
    return [Timing(np.array(one)) for one in seconds]


def _check(full: FullCache, keys: Keys, states: Bytes, out: Bytes) -> None:
    """Those that are asked for have stayed, and rows are those of their keys."""
    found = states == 1
    if np.mean(found) < 0.95:
        raise AssertionError("rows that are asked for all the time were evicted")
    np.testing.assert_array_equal(out[found], rows_of(keys[found], full.row_bytes))
