# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Outcomes of the policies as rows: ours beside HPS' LRU, and beside what is possible.

Figures are shares of the requests, and less is better. Where there was nothing at all,
one request in the whole measurement is taken instead, so that there is a ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .cache_policies import DEFAULT, VARIANTS
from .outcomes import BELADY, EXACT_LFU, LRU_16, LRU_64, STATIC_TOP, Outcome
from .replay import Figures
from .rows import Row, size

UNIT = "% of requests"
LINE = (LRU_64, "s3fifo", DEFAULT, EXACT_LFU, BELADY)
METRICS = {"unique misses": "unique_misses", "rows inserted": "inserted"}


def line(outcome: Outcome) -> str:
    """An outcome in short, for progress."""
    misses = (f"{name} {_percent(outcome, name):.3g}" for name in LINE)
    return f"{outcome.stream} · {outcome.size}: % missed by {', '.join(misses)}"


def of_outcome(outcome: Outcome) -> Iterator[Row]:
    """Every variant of ours beside HPS' LRU, and the default beside the references."""
    for what, metric in METRICS.items():
        for name in VARIANTS:
            yield size(
                f"{outcome.stream}: {what} vs {LRU_64}",
                f"{outcome.size}, {name}",
                _percent(outcome, name, metric),
                _percent(outcome, LRU_64, metric),
                UNIT,
            )
    for name in (LRU_16, STATIC_TOP, EXACT_LFU, BELADY):
        yield size(
            f"{outcome.stream}: unique misses by default vs references",
            f"{outcome.size}, {name}",
            _percent(outcome, DEFAULT),
            _percent(outcome, name),
            UNIT,
        )


def of_all(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Geometric means over all streams and sizes, and where each variant is worst."""
    for what, metric in METRICS.items():
        case = f"all streams and sizes: {what} vs {LRU_64}"
        for name in VARIANTS:
            ours = [_percent(outcome, name, metric) for outcome in outcomes]
            theirs = [_percent(outcome, LRU_64, metric) for outcome in outcomes]
            shape = f"{name}, geometric mean"
            yield size(case, shape, _mean(ours), _mean(theirs), UNIT)
            worst = int(np.argmin(np.divide(theirs, ours)))
            where = f"{outcomes[worst].stream}, {outcomes[worst].size}"
            shape = f"{name}, worst: {where}"
            yield size(case, shape, ours[worst], theirs[worst], UNIT)


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """The default policy's unique misses beside LRU's: streams down, sizes across."""
    marks = (f": unique misses vs {LRU_64}", f", {DEFAULT}")
    yield (
        f"| unique misses, % of requests: `CacheSpec()` vs {LRU_64} | "
        "cache of 1 % | 2 % | 5 % | 10 % | 20 % |"
    )
    yield "|---|" + "---:|" * 5
    ours: dict[str, list[Row]] = {}
    for row in rows:
        if row.case.endswith(marks[0]) and row.shape.endswith(marks[1]):
            ours.setdefault(row.case.removesuffix(marks[0]), []).append(row)
    for stream, sizes in ours.items():
        # MovieLens is too small for a cache of 1 %.
        cells = [f"{row.ours:.1f} vs {row.baseline:.1f}" for row in sizes]
        yield f"| {stream} | " + " | ".join([""] * (5 - len(cells)) + cells) + " |"


def _percent(outcome: Outcome, name: str, metric: str = "unique_misses") -> float:
    figures: Figures = outcome.figures[name]
    share: float = getattr(figures, metric)
    return 100 * max(share, figures.least)


def _mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
