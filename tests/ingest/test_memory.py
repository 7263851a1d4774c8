# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Memory is bounded, however large the files."""

from __future__ import annotations

import pytest

# Files of 128 MiB, in processes of their own; what they have at their height above what
# they have after a first, small ingest. Pages of files that are mapped count.
MEASURE = """
import re, sys, pathlib
import numpy as np
import jax_hps
from jax_hps import ingest
from jax_hps.ingest import streams

streams.MAX_READERS = 2  # each has memory of its own
streams.AHEAD_BYTES = 16 << 20

def resident(what):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(f"{what}:\\s+(\\d+) kB", status)[1]) / 1024

def ingested(folder):
    kind, rows, keys = sys.argv[1], f"{folder}/rows.npy", f"{folder}/keys.npy"
    path = f"{folder}/table"
    if kind == "npy":
        return ingest.npy(path, rows, keys)
    if kind == "hugectr":
        return ingest.hugectr(path, folder, dim=64)
    if kind == "safetensors":
        return ingest.safetensors(path, f"{folder}/x", rows="rows", keys="keys")
    if kind == "parquet":
        return ingest.parquet(path, f"{folder}/x", rows="rows", keys="keys")
    return ingest.orbax(path, f"{folder}/x", rows="rows", keys="keys")

ingested("small").close()
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
with ingested("large") as table:
    assert table.num_rows == 1 << 19
print(resident("VmHWM") - before)
"""

WRITE = """
import pathlib, sys
import numpy as np

kind = sys.argv[1]
for name, count in (("small", 1 << 10), ("large", 1 << 19)):
    folder = pathlib.Path(name)
    folder.mkdir()
    rows = np.arange(count * 64, dtype=np.float32).reshape(count, 64)
    keys = np.arange(count) * 7
    tree = {"rows": rows, "keys": keys}
    if kind == "npy":
        for name, array in tree.items():
            np.save(folder / name, array)
    elif kind == "hugectr":
        rows.tofile(folder / "emb_vector")
        keys.tofile(folder / "key")
    elif kind == "safetensors":
        from safetensors.numpy import save_file
        save_file(tree, folder / "x")
    elif kind == "parquet":
        import pyarrow as pa, pyarrow.parquet as pq
        vectors = pa.FixedSizeListArray.from_arrays(rows.reshape(-1), 64)
        pq.write_table(pa.table({"rows": vectors, "keys": keys}), folder / "x")
    else:
        import jax, orbax.checkpoint as ocp
        chunked = jax.tree.map(lambda _: ocp.SaveArgs(chunk_byte_size=1 << 20), tree)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            arguments = ocp.args.PyTreeSave(tree, save_args=chunked)
            checkpointer.save(folder.absolute() / "x", args=arguments)
"""


@pytest.mark.parametrize("kind", ["npy", "safetensors", "hugectr", "parquet", "orbax"])
def test_memory_is_bounded(run_python, kind):
    run_python(WRITE, kind)
    assert float(run_python(MEASURE, kind).stdout) < 80
