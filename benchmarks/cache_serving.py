# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A compressed table served with and without a row cache in front of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorstore as ts

import jax_hps as hps
from jax_hps.testing import Zipf

from .rows import rate
from .run import Run
from .timing import WARM_UP, interleave

DIM = 32
SHARE = 0.05
NUM_KEYS = (1, 16, 64, 256, 1024, 4096, 16384)
CHUNK_ROWS = 32  # 4 KiB before compression
SHARDS = 16
WARMING_KEYS = 2**14


def measure_serving(run: Run) -> None:
    """Zipf keys, exact answers, the cache as full as it gets by lookups alone."""
    num_rows = run.table_bytes // (4 * DIM)
    with run.scratch("compressed") as folder:
        _write_compressed(folder / "rows", num_rows, run.seed)
        path = str(folder)
        specs = [
            hps.TableSpec(name="plain", path=path),
            hps.TableSpec(
                name="cached", path=path, row_cache=hps.CacheSpec(fraction=SHARE)
            ),
        ]
        with hps.ParameterServer(specs, name="benchmark") as server:
            stream = Zipf(num_rows, 1.05, seed=run.seed)
            _fill(server, stream, keys=num_rows // 2)
            for num_keys in NUM_KEYS:
                _compare(run, server, stream, num_keys)


def _compare(
    run: Run, server: hps.ParameterServer, stream: Zipf, num_keys: int
) -> None:
    calls = max(8, min(400, 2**15 // num_keys)) // (4 if run.quick else 1)
    before = server.stats()["cached"]
    ours, theirs = interleave(
        _program(server.table("cached")),
        _program(server.table("plain")),
        [hps.keys(stream.draw(num_keys)) for _ in range(WARM_UP + calls)],
    )
    after = server.stats()["cached"]
    hits = after.row_cache_hits - before.row_cache_hits
    share = 100 * hits / (after.keys - before.keys)
    gib = stream.num_rows * 4 * DIM / 2**30
    shape = (
        f"{num_keys} keys, Zipf 1.05, dim {DIM}, {gib:.3g} GiB, "
        f"cache of {100 * SHARE:.0f} %, {share:.0f} % hits"
    )
    case = "lookup of a compressed table with a row cache vs without"
    run.add(rate(case, shape, ours, theirs, amount=num_keys / 1e3, unit="kkeys/s"))


def _program(table: hps.Table) -> Any:
    find = jax.jit(lambda keys: hps.lookup(table, keys))
    return lambda keys: find(keys).block_until_ready()


def _fill(server: hps.ParameterServer, stream: Zipf, keys: int) -> None:
    """Look keys up until the cache has seen what is hot."""
    lookup = _program(server.table("cached"))
    for _ in range(-(-keys // WARMING_KEYS)):
        lookup(hps.keys(stream.draw(WARMING_KEYS)))


def _write_compressed(folder: Path, num_rows: int, seed: int) -> None:
    """Write rows of few bits, as trained embeddings in low precision have."""
    shard_rows = num_rows // SHARDS
    chunk: dict[str, Any] = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [CHUNK_ROWS, DIM],
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 1}},
            ],
        },
    }
    grid = {"name": "regular", "configuration": {"chunk_shape": [shard_rows, DIM]}}
    metadata = {
        "shape": [num_rows, DIM],
        "data_type": "float32",
        "chunk_grid": grid,
        "codecs": [chunk],
    }
    store = {"driver": "file", "path": f"{folder.absolute()}/"}
    spec = {"driver": "zarr3", "kvstore": store, "metadata": metadata}
    array = ts.open(spec, create=True).result()
    random = np.random.default_rng(seed)
    for start in range(0, num_rows, shard_rows):
        rows = random.integers(-8, 8, (shard_rows, DIM), np.int8)
        array[start : start + shard_rows] = rows.astype(np.float32) / 8
