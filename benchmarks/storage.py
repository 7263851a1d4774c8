# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Tables on disk: writing, reading, opening, and what they take of memory."""

from __future__ import annotations

import numpy as np

from .contestants import random_rows
from .run import Run
from .storage_index import measure_index
from .storage_ingest import measure_ingest
from .storage_reads import measure_cold, measure_warm

DIM = 32  # rows of 128 bytes


def measure(run: Run) -> None:
    """Everything; leaves nothing behind."""
    with run.scratch("storage") as folder:
        rows = random_rows(run, DIM)
        table = measure_ingest(run, folder, rows)
        np.save(folder / "rows.npy", rows)
        del rows
        measure_warm(run, table, folder / "rows.npy")
        measure_cold(run, table, folder / "rows.npy")
    measure_index(run)
