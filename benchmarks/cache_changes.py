# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What is not a hit: misses, insertions, both together, updates.

Beside a hash map of as many rows, in which the oldest row goes when another one comes.
"""

from __future__ import annotations

import numpy as np

from jax_hps.testing import Uniform

from .full_cache import NUM_KEYS, FullCache
from .random_keys import Keys, aligned, rows_of
from .row_map import RowMap
from .rows import per_key
from .run import Run
from .timing import WARM_UP, Timing, interleave

MAP = "absl::flat_hash_map"
ONE_MISSED_OF = 10  # keys, of the mixed calls


def measure_changes(run: Run, full: FullCache, row_map: RowMap) -> None:
    """Everything; cache and map have other rows afterwards."""
    _measure_overwrites(run, full, row_map)
    _measure_misses(run, full, row_map)
    _measure_mixed(run, full, row_map)
    measure_insertions(run, full, row_map, "default admission")


def measure_insertions(
    run: Run, full: FullCache, row_map: RowMap, admission: str
) -> None:
    """Keys that neither knows, each asked for once, into a cache that is full."""
    before = full.cache.stats()
    timings = interleave(
        lambda batch: full.cache.insert(*batch),
        lambda batch: row_map.insert(*batch),
        [(keys, rows_of(keys, full.row_bytes)) for keys in _unknown(run, full)],
    )
    after = full.cache.stats()
    offered, let_in = (
        sum(after[name] - before[name] for name in names)
        for names in (["attempts"], ["fills", "evictions"])
    )
    note = f"{admission}, {100 * let_in / offered:.0f} % let in"
    _add(run, full, f"insertions when full vs {MAP}'s", note, timings)


def _measure_overwrites(run: Run, full: FullCache, row_map: RowMap) -> None:
    rows = rows_of(np.arange(NUM_KEYS), full.row_bytes)
    timings = interleave(
        lambda keys: full.cache.overwrite(keys, rows),
        lambda keys: row_map.overwrite(keys, rows),
        _known(run, full),
    )
    _add(run, full, f"rows overwritten vs in {MAP}", "uniform", timings)


def _measure_misses(run: Run, full: FullCache, row_map: RowMap) -> None:
    out = aligned(NUM_KEYS, full.row_bytes)
    timings = interleave(
        lambda keys: full.cache.lookup(keys, out),
        lambda keys: row_map.lookup(keys, out),
        _unknown(run, full),
    )
    _add(run, full, f"cache misses vs {MAP}'s", "no key known", timings)


def _measure_mixed(run: Run, full: FullCache, row_map: RowMap) -> None:
    """Hits and misses, and what was missed is inserted behind the lookup."""
    out = aligned(NUM_KEYS, full.row_bytes)
    rows = rows_of(np.arange(NUM_KEYS), full.row_bytes)
    once = np.ones(NUM_KEYS, np.uint32)

    def through_cache(keys: Keys) -> None:
        missed = keys[full.cache.lookup(keys, out) == 0]
        full.cache.insert(missed, rows[: len(missed)], once[: len(missed)])

    def through_map(keys: Keys) -> None:
        missed = keys[row_map.lookup(keys, out) == 0]
        row_map.insert(missed, rows[: len(missed)])

    num_missed = len(range(0, NUM_KEYS, ONE_MISSED_OF))
    # The map will let go of the rows that it was given first: they are not asked for.
    batches = _known(run, full, first=num_missed * _num_calls(run))
    for keys in batches:
        keys[::ONE_MISSED_OF] = full.others.next(num_missed)
    timings = interleave(through_cache, through_map, batches)
    note = f"{100 - 100 // ONE_MISSED_OF} % hits, misses inserted"
    _add(run, full, f"lookups with misses vs {MAP}'s", note, timings)


def _num_calls(run: Run) -> int:
    return WARM_UP + (24 if run.quick else 104)


def _known(run: Run, full: FullCache, *, first: int = 0) -> list[Keys]:
    """Batches of keys that both hold, those before the `first` left out."""
    stream = Uniform(len(full.keys) - first, seed=run.seed)
    return [full.keys[first + stream.draw(NUM_KEYS)] for _ in range(_num_calls(run))]


def _unknown(run: Run, full: FullCache) -> list[Keys]:
    """Batches of keys that neither has ever seen."""
    return [full.others.next(NUM_KEYS) for _ in range(_num_calls(run))]


def _add(
    run: Run, full: FullCache, case: str, note: str, timings: tuple[Timing, Timing]
) -> None:
    run.add(per_key(case, full.shape(note), *timings, NUM_KEYS))
