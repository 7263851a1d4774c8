# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files as the libraries write whose formats they are, and how each is ingested."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from jax_hps import ingest
from jax_hps.ingest import parquet_files, streams
from jax_hps.storage import StoredTable

Ingest = Callable[..., StoredTable]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's table goes; nothing is there yet."""
    return tmp_path / "table"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, so that small files have many."""
    monkeypatch.setattr(streams, "BLOCK_BYTES", 256)
    monkeypatch.setattr(streams, "AHEAD_BYTES", 1024)
    monkeypatch.setattr(parquet_files, "_BLOCK_ELEMENTS", 64)


def check_table(
    table: StoredTable, rows: NDArray[Any], keys: NDArray[Any] | None = None
) -> None:
    """Check that a table holds these rows and no others, and close it."""
    with table:
        assert table.is_dense == (keys is None)
        assert table.num_rows == len(rows)
        assert table.dim == rows.shape[1]
        got, found = table.read(np.arange(len(rows)) if keys is None else keys)
        assert found.all()
        np.testing.assert_array_equal(got, rows.astype(table.dtype))
        table.verify()


@pytest.fixture(scope="session")
def check() -> Callable[..., None]:
    return check_table


def write_npy(folder: Path, rows: Any, keys: Any) -> Ingest:
    np.save(folder / "rows.npy", rows)
    if keys is None:
        return lambda path, **options: ingest.npy(path, folder / "rows.npy", **options)
    np.save(folder / "keys.npy", keys)
    files = (folder / "rows.npy", folder / "keys.npy")
    return lambda path, **options: ingest.npy(path, *files, **options)


def write_safetensors(folder: Path, rows: Any, keys: Any) -> Ingest:
    tensors = {"embedding.weight": rows} | ({} if keys is None else {"ids": keys})
    save_file(tensors, folder / "model.safetensors", metadata={"format": "np"})
    names = {"rows": "embedding.weight", "keys": None if keys is None else "ids"}
    return lambda path, **options: ingest.safetensors(
        path, folder / "model.safetensors", **names, **options
    )


def _parquet(folder: Path, columns: dict[str, Any], keys: Any, names: Any) -> Ingest:
    columns |= {} if keys is None else {"id": keys}
    file = folder / "rows.parquet"
    pq.write_table(pa.table(columns), file, row_group_size=37)
    key = None if keys is None else "id"
    return lambda path, **options: ingest.parquet(
        path, file, rows=names, keys=key, **options
    )


def write_parquet_fixed(folder: Path, rows: Any, keys: Any) -> Ingest:
    flat = pa.array(rows.reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    return _parquet(folder, {"vector": column}, keys, "vector")


def write_parquet_lists(folder: Path, rows: Any, keys: Any) -> Ingest:
    return _parquet(folder, {"vector": pa.array(list(rows))}, keys, "vector")


def write_parquet_columns(folder: Path, rows: Any, keys: Any) -> Ingest:
    names = [f"e{number}" for number in range(rows.shape[1])]
    columns = dict(zip(names, rows.T.copy(), strict=True))
    return _parquet(folder, columns, keys, names)


def write_orbax(folder: Path, rows: Any, keys: Any) -> Ingest:
    tree = {"params": {"embed": {"embedding": jax.device_put(rows)}}, "step": 7}
    tree |= {} if keys is None else {"ids": keys}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "checkpoint", tree)
    return lambda path, **options: ingest.orbax(
        path,
        folder / "checkpoint",
        rows=("params", "embed", "embedding"),
        keys=None if keys is None else ("ids",),
        **options,
    )


def write_hugectr(folder: Path, rows: Any, keys: Any) -> Ingest:
    model = folder / "wdl0_sparse_2000.model"
    model.mkdir()
    rows.astype("<f4").tofile(model / "emb_vector")
    keys.astype("<i8").tofile(model / "key")
    return lambda path, **options: ingest.hugectr(
        path, model, dim=rows.shape[1], **options
    )


@dataclasses.dataclass(frozen=True)
class Format:
    """A format, and what it can hold."""

    write: Callable[[Path, Any, Any], Ingest]
    has_dense: bool = True
    dtypes: tuple[str, ...] = ("float32", "float16", "float64")


FORMATS = {
    "npy": Format(write_npy),
    "safetensors": Format(write_safetensors),
    "parquet-fixed": Format(write_parquet_fixed),
    "parquet-lists": Format(write_parquet_lists),
    "parquet-columns": Format(write_parquet_columns),
    "orbax": Format(write_orbax, dtypes=("float32", "float16")),
    "hugectr": Format(write_hugectr, has_dense=False, dtypes=("float32",)),
}


@pytest.fixture(scope="session", params=FORMATS)
def form(request: pytest.FixtureRequest) -> Format:
    """Every format in turn."""
    return FORMATS[request.param]
