# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Tables made of what other programs wrote: `jax_hps.ingest.npy` and its like.

Each function writes a table as `create_table` does, takes its options, and returns the
table, open. Rows are streamed: some blocks of 4 MiB are in memory at a time, read in
threads ahead of the writer, however large the files. `parquet` imports pyarrow when it
is called; the others need no library beyond those of jax_hps.
"""

from __future__ import annotations

from .hugectr_models import hugectr as hugectr
from .npy_files import npy as npy
from .orbax_checkpoints import orbax as orbax
from .parquet_files import parquet as parquet
from .safetensors_files import safetensors as safetensors

__all__ = ["hugectr", "npy", "orbax", "parquet", "safetensors"]
