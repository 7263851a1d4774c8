# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How fast a table is written, beside TensorStore's write of the same array."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import jax_hps as hps

from .rows import rate
from .run import Run
from .tensorstore_rows import Gather, write_like
from .timing import interleave

GB = 1e9


def measure_ingest(run: Run, folder: Path, rows: NDArray[np.float32]) -> Path:
    """Write the same rows by turns, both into the same layout, both synced.

    Returns:
        The table, written once more.
    """
    table = folder / "table"
    hps.create_table(table, rows).close()
    zarr_json = rows_folder(table) / "zarr.json"
    written = folder / "written"

    def ours(_: int) -> None:
        hps.create_table(written, rows).close()

    def theirs(_: int) -> None:
        write_like(zarr_json, written, rows)

    write_like(zarr_json, written, rows)
    _check_same(table, written, rows)
    shutil.rmtree(written)
    timings = interleave(
        ours,
        theirs,
        range(3 if run.quick else 6),
        warm_up=1,
        block=1,
        between=lambda: shutil.rmtree(written),
    )
    shape = f"{rows.nbytes / 2**30:.3g} GiB, rows of {rows.strides[0]} B, synced"
    case = "create_table vs TensorStore's write"
    run.add(rate(case, shape, *timings, amount=rows.nbytes / GB, unit="GB/s"))
    return table


def rows_folder(table: Path) -> Path:
    """The zarr array of the rows of a table that was written once."""
    return next(table.glob("v*/rows"))


def _check_same(table: Path, written: Path, rows: NDArray[np.float32]) -> None:
    some = np.arange(0, len(rows), max(1, len(rows) // 100))
    for folder in (rows_folder(table), written):
        np.testing.assert_array_equal(Gather(folder)(some), rows[some])
