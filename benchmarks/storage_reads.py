# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How fast rows are read: from the page cache, and from the disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import jax_hps as hps
from jax_hps.testing import Permutation, Uniform, pagecache

from . import native_helpers
from .direct_reads import DirectReads
from .rows import rate
from .run import Run
from .storage_ingest import rows_folder
from .tensorstore_rows import Gather
from .timing import interleave

NUM_KEYS = (1024, 16384, 131072)
PAGE = 4096
QUEUE_DEPTH = 32

Reader = Callable[[NDArray[np.int64]], object]


def measure_warm(run: Run, path: Path, npy: Path) -> None:
    """Random rows of a table that the page cache holds."""
    gather = Gather(rows_folder(path))
    mapped = np.asarray(np.load(npy, mmap_mode="r"))
    mapped.sum()  # every page in memory and mapped
    with hps.open_table(path) as table:
        _touch(table, mapped)
        for num_keys in NUM_KEYS:
            calls = max(10, (2**17 if run.quick else 2**19) // num_keys)
            _warm(run, table, "TensorStore's gather", gather, num_keys, min(calls, 100))
        for num_keys in NUM_KEYS:
            calls = max(50, (2**19 if run.quick else 2**23) // num_keys)
            _warm(run, table, "np.take on a memmap", _take(mapped), num_keys, calls)


def _take(rows: NDArray[np.float32]) -> Reader:
    return lambda numbers: np.take(rows, numbers, axis=0, mode="clip")


def _touch(table: hps.StoredTable, expected: NDArray[np.float32]) -> None:
    """Read every page once, and see that the rows are right."""
    numbers = np.arange(0, table.num_rows, PAGE // (4 * table.dim))
    for some in np.array_split(numbers, 16):
        rows, found = table.read(some)
        np.testing.assert_array_equal(rows, expected[some])
        assert found.all()


def _warm(
    run: Run,
    table: hps.StoredTable,
    name: str,
    baseline: Reader,
    num_keys: int,
    calls: int,
) -> None:
    stream = Uniform(table.num_rows, seed=run.seed + num_keys)
    batches = [stream.draw(num_keys) for _ in range(4 + calls)]
    ours, theirs = interleave(table.read, baseline, batches)
    case, shape = f"warm read vs {name}", _shape(table, num_keys)
    run.add(rate(case, shape, ours, theirs, amount=num_keys / 1e6, unit="Mrows/s"))


def _shape(table: hps.StoredTable, num_keys: int) -> str:
    gib = table.nbytes / 2**30
    return f"{num_keys} keys, uniform, rows of {4 * table.dim} B, {gib:.3g} GiB"


def measure_cold(run: Run, path: Path, npy: Path) -> None:
    """Random rows of a table that the page cache does not hold, a page for each.

    No page is read twice, neither by one side nor by both.
    """
    gather = Gather(rows_folder(path), io_threads=64)
    for num_keys in NUM_KEYS[:2]:
        _cold(run, path, "TensorStore's gather", gather, num_keys)
    name = f"random direct reads at depth {QUEUE_DEPTH}"
    try:
        direct = DirectReads(npy, page_bytes=PAGE, depth=QUEUE_DEPTH)
    except (native_helpers.NoCompilerError, OSError) as error:
        run.skip(f"cold read vs {name}", str(error))
        return
    rows_in_page = PAGE // np.load(npy, mmap_mode="r").strides[0]
    with closing(direct):
        for num_keys in NUM_KEYS[:2]:
            _cold(run, path, name, lambda at: direct(at // rows_in_page), num_keys)


def _cold(run: Run, path: Path, name: str, baseline: Reader, num_keys: int) -> None:
    pagecache.drop(path)
    if left := pagecache.cached_bytes(path):
        run.skip(f"cold read vs {name}", f"{left} bytes of the table stay in memory")
        return
    with hps.open_table(path) as table:
        batches = _batches_of_pages(run, table, num_keys)
        if len(batches) < 3:
            run.skip(f"cold read of {num_keys} keys", "the table has too few pages")
            return
        ours, theirs = interleave(
            lambda pair: table.read(pair[0]),
            lambda pair: baseline(pair[1]),
            batches,
            warm_up=1,
            block=1,
        )
        case, shape = f"cold read vs {name}", _shape(table, num_keys)
        run.add(rate(case, shape, ours, theirs, amount=num_keys / 1e3, unit="krows/s"))


def _batches_of_pages(
    run: Run, table: hps.StoredTable, num_keys: int
) -> list[NDArray[np.int64]]:
    """Pairs of batches of row numbers; no two rows of all of them share a page."""
    rows_in_page = PAGE // (4 * table.dim)
    pages = table.num_rows // rows_in_page
    rounds = min(pages // (2 * num_keys), 2**18 // num_keys)
    chosen = Permutation(pages, seed=run.seed)(np.arange(rounds * 2 * num_keys))
    rows = chosen * rows_in_page + chosen % rows_in_page
    return list(rows.reshape(rounds, 2, num_keys))
