# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""One case of the lookup suite: a lookup beside something else, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from jax_hps.testing import Workload

from .contestants import Contestants, lookup_program
from .rows import rate
from .run import Run
from .timing import WARM_UP, interleave

NUM_KEYS = (1024, 4096, 16384, 65536)


def compare(
    run: Run,
    made: Contestants,
    case: str,
    stream: Workload,
    num_keys: int,
    *,
    note: str,
    baseline: Callable[[Any], object],
    place: Callable[[NDArray[Any]], Any],
) -> None:
    """Time a jitted lookup and a baseline, in turns, on fresh keys for every call.

    Args:
        run: gets the row.
        made: the table, on disk and in memory.
        case: name of the row.
        stream: draws the rows that are asked for.
        num_keys: keys in a call.
        note: what else the shape should say.
        baseline: answers the same rows, and waits until it has them.
        place: brings row numbers into the form that `baseline` takes, untimed.
    """
    lookup = lookup_program(made)
    drawn = [stream.draw(num_keys) for _ in range(WARM_UP + _num_calls(run, num_keys))]
    ours, theirs = interleave(
        lambda batch: lookup(batch[0]),
        lambda batch: baseline(batch[1]),
        [(made.keys(rows), place(rows)) for rows in drawn],
    )
    gib = made.resident.nbytes / 2**30
    shape = f"{num_keys} keys, {note}, dim {made.table.dim}, {gib:.3g} GiB"
    run.add(rate(case, shape, ours, theirs, amount=num_keys / 1e6, unit="Mkeys/s"))


def _num_calls(run: Run, num_keys: int) -> int:
    """Enough for a p99 at small batches, few enough for memory at large ones."""
    calls = min(1000, max(100, 2**23 // num_keys))
    return calls // 5 if run.quick else calls
