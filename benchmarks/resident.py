# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.resident PATH SEED`: what an open table takes of memory."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np

import jax_hps as hps
from jax_hps.testing import scatter_keys


class Resident(msgspec.Struct):
    """What a process holds more with a table open, all of its pages read.

    Attributes:
        total_bytes: growth of resident memory, mapped files included.
        row_bytes: bytes of all rows.
        num_keys: keys of the index.
    """

    total_bytes: int
    row_bytes: int
    num_keys: int


def resident(path: str, seed: int) -> Resident:
    """Open a table with keys `scatter_keys(row, seed)`, read every page, and look."""
    before = _resident_bytes()
    with hps.open_table(path) as table:
        rows_in_page = max(1, 4096 // (table.dim * table.dtype.itemsize))
        for start in range(0, table.num_rows, 4096 * rows_in_page):
            stop = min(start + 4096 * rows_in_page, table.num_rows)
            _, found = table.read(
                scatter_keys(np.arange(start, stop, rows_in_page), seed=seed)
            )
            assert found.all()
        after = _resident_bytes()
        return Resident(after - before, table.nbytes, table.num_rows)


def _resident_bytes() -> int:
    fields = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in fields)
    return int(sizes["VmRSS"].split()[0]) * 1024


if __name__ == "__main__":
    print(msgspec.json.encode(resident(sys.argv[1], int(sys.argv[2]))).decode())
