# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Times two contenders in turns, so that whatever drifts hits both alike."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Batch = TypeVar("Batch")

WARM_UP = 4
BLOCK = 8


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds that each call took."""

    seconds: NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def p99(self) -> float:
        return float(np.percentile(self.seconds, 99))

    @property
    def count(self) -> int:
        return len(self.seconds)


def interleave(
    ours: Callable[[Batch], object],
    baseline: Callable[[Batch], object],
    batches: Sequence[Batch],
    *,
    warm_up: int = WARM_UP,
    block: int = BLOCK,
    clock: Callable[[], float] = time.perf_counter,
    between: Callable[[], object] = lambda: None,
) -> tuple[Timing, Timing]:
    """Call both with the same batches, in blocks: ours, baseline, baseline, ours, ...

    A call must not return before its work is done. What it returns is freed within
    its time. The first `warm_up` batches are not timed.

    Args:
        ours: a contender.
        baseline: the other one.
        batches: an argument for each call.
        warm_up: calls of each, before the clock starts.
        block: calls of one contender in a row.
        clock: seconds.
        between: called after every call, untimed.

    Returns:
        The timings of both.
    """
    contenders = (ours, baseline)
    for batch in batches[:warm_up]:
        for contender in contenders:
            contender(batch)
            between()
    seconds: tuple[list[float], list[float]] = ([], [])
    order = [0, 1]
    for start in range(warm_up, len(batches), block):
        for which in order:
            chosen = batches[start : start + block]
            seconds[which].extend(_timed(contenders[which], chosen, clock, between))
        order.reverse()
    return Timing(np.array(seconds[0])), Timing(np.array(seconds[1]))


def _timed(
    contender: Callable[[Batch], object],
    batches: Sequence[Batch],
    clock: Callable[[], float],
    between: Callable[[], object],
) -> list[float]:
    seconds = []
    gc.disable()
    try:
        for batch in batches:
            start = clock()
            contender(batch)
            seconds.append(clock() - start)
            between()
    finally:
        gc.enable()
    return seconds
