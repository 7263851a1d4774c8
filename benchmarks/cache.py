# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The cache on one core, beside what one would use without it."""

from __future__ import annotations

from . import native_helpers
from .cache_changes import measure_changes, measure_insertions
from .cache_hits import measure_hits
from .cache_readers import measure_readers
from .cache_serving import measure_serving
from .cores import one_core
from .full_cache import FullCache, full_cache
from .random_keys import Bytes, aligned, rows_of
from .row_map import RowMap
from .run import Run

DIMS = (4, 16, 64, 128, 256, 1024)
MAIN_DIMS = (16, 64, 128)  # where everything is measured


def measure(run: Run) -> None:
    """The cache by itself, then in front of a table that is slow to read."""
    _measure_cache(run)
    measure_serving(run)


def _measure_cache(run: Run) -> None:
    """Everything; a second core is there for insertions beside a reader alone."""
    try:
        native_helpers.load("plain_gather.cc")
    except native_helpers.NoCompilerError as error:
        run.skip("cache", str(error))
        return
    with one_core() as others:
        for dim in DIMS:
            _measure_one(run, dim)
        for dim in MAIN_DIMS:
            _measure_verified(run, dim)
        if not others:
            run.skip("readers beside an inserter", "they need a second core")
            return
        for dim in MAIN_DIMS:
            measure_readers(run, dim, others[-1])


def _measure_one(run: Run, dim: int) -> None:
    full = full_cache(run, dim)
    rows = _side_by_side(full)
    row_map = _row_map(run, full, rows)
    measure_hits(run, full, rows, row_map, with_jax=dim in MAIN_DIMS)
    if dim in MAIN_DIMS and row_map:
        measure_changes(run, full, row_map)
        del full  # before there is another one
        full = full_cache(run, dim, admit="always")
        measure_insertions(run, full, row_map, "no admission")


def _measure_verified(run: Run, dim: int) -> None:
    """Keys of 64 bits, of which tags tell too little."""
    full = full_cache(run, dim, key_bits=64)
    rows = _side_by_side(full)
    measure_hits(run, full, rows, _row_map(run, full, rows), with_jax=False)


def _side_by_side(full: FullCache) -> Bytes:
    """The rows of `full.keys` without a cache."""
    rows = aligned(len(full.keys), full.row_bytes)
    for start in range(0, len(rows), 2**16):
        some = slice(start, start + 2**16)
        rows[some] = rows_of(full.keys[some], full.row_bytes)
    return rows


def _row_map(run: Run, full: FullCache, rows: Bytes) -> RowMap | None:
    try:
        return RowMap(full.keys, rows)
    except native_helpers.NoCompilerError as error:
        run.skip("absl::flat_hash_map", str(error))
        return None
