# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Ingest of what others wrote, beside the same rows that are in memory already."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

import jax_hps as hps
from jax_hps.testing import scatter_keys

from .ingest_formats import Format, Keys, Rows, formats
from .rows import duration
from .run import GIB, Run
from .timing import interleave

DIM = 64  # rows of 256 bytes


def measure(run: Run) -> None:
    """Every format; leaves nothing behind."""
    size = GIB // 8 if run.quick else GIB // 2
    rng = np.random.default_rng(run.seed)
    rows = rng.random((size // (4 * DIM), DIM), dtype=np.float32)
    keys = scatter_keys(np.arange(len(rows)))
    for one in formats(DIM):
        with run.scratch("ingest") as folder:
            one.write(folder, rows, keys)
            _measure_format(run, one, folder, rows, keys)


def _measure_format(
    run: Run, one: Format, folder: Path, rows: Rows, keys: Keys
) -> None:
    """By turns with create_table, and with loading all of it before create_table."""
    table = folder / "table"

    def ours(_: int) -> None:
        one.ingest(table, folder).close()

    def from_memory(_: int) -> None:
        hps.create_table(table, rows, keys).close()

    def loaded(_: int) -> None:
        hps.create_table(table, *one.load(folder)).close()

    _check(one, folder, table, rows, keys)
    shape = f"{rows.nbytes / GIB:.3g} GiB, rows of {rows.strides[0]} B, {one.name}"
    for name, baseline in (
        ("create_table from memory", from_memory),
        ("the format's library and create_table", loaded),
    ):
        timings = interleave(
            ours,
            baseline,
            range(3 if run.quick else 6),
            warm_up=1,
            block=1,
            between=lambda: shutil.rmtree(table),
        )
        run.add(duration(f"ingest vs {name}", shape, *timings, unit="s"))


def _check(one: Format, folder: Path, table: Path, rows: Rows, keys: Keys) -> None:
    some = np.arange(0, len(rows), max(1, len(rows) // 1000))
    with one.ingest(table, folder) as ingested:
        got, found = ingested.read(keys[some])
        assert found.all()
        np.testing.assert_array_equal(got, rows[some])
    shutil.rmtree(table)
