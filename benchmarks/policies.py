# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Replacement policies of the cache beside references: what they miss and take in.

Nothing is timed. This is what the default of the cache is chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from . import cache_policies, policy_plots, policy_rows, reference_policies
from .native_helpers import NoCompilerError
from .outcomes import BELADY, EXACT_LFU, LRU_16, LRU_64, STATIC_TOP, Outcome
from .replay import Contender, Stream, replay
from .run import Run
from .streams import streams

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # of the table's rows, in the cache
GRAIN = 64  # rows; whole sets for everyone, so that all hold equally many

REFERENCES: dict[str, Callable[[Stream, int], Contender]] = {
    LRU_64: lambda stream, rows: reference_policies.set_lru(stream, rows, ways=64),
    LRU_16: lambda stream, rows: reference_policies.set_lru(stream, rows, ways=16),
    STATIC_TOP: reference_policies.static_top,
    EXACT_LFU: reference_policies.exact_lfu,
    BELADY: reference_policies.belady,
}


def measure(run: Run, plots: Path | None = None) -> None:
    """Everything; plots go beside the file `plots`."""
    try:
        outcomes = list(_outcomes(run))
    except NoCompilerError as error:
        run.skip("policies", str(error))
        return
    for outcome in outcomes:
        run.rows.extend(policy_rows.of_outcome(outcome))
    run.rows.extend(policy_rows.of_all(outcomes))
    if plots:
        policy_plots.draw(run, outcomes, plots)


def _outcomes(run: Run) -> Iterator[Outcome]:
    for stream in streams(run):
        for capacity in _capacities(stream.num_rows):
            outcome = _outcome(stream, capacity)
            run.console.print(policy_rows.line(outcome))
            yield outcome


def _capacities(num_rows: int) -> list[int]:
    """Cache sizes in rows, ascending; a small table has fewer of them."""
    grains = (max(1, round(share * num_rows / GRAIN)) for share in SHARES)
    return sorted({GRAIN * number for number in grains})


def _outcome(stream: Stream, capacity: int) -> Outcome:
    figures = {
        name: replay(make(stream, capacity), stream)
        for name, make in REFERENCES.items()
    }
    for name, options in cache_policies.VARIANTS.items():
        contender = cache_policies.CachePolicy(stream, capacity, **options)
        figures[name] = replay(contender, stream)
    return Outcome(stream.name, stream.num_rows, capacity, figures)
