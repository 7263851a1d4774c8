# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The formats that are ingested: written, ingested, and loaded without us."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jax_hps as hps

Rows = NDArray[np.float32]
Keys = NDArray[np.int64]

CHUNK_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: of the function, and of what is special.
        write: leaves rows and keys in a folder.
        ingest: makes a table, the first argument, of what is in a folder.
        load: reads all of a folder into memory, with the format's own library.
    """

    name: str
    write: Callable[[Path, Rows, Keys], None]
    ingest: Callable[[Path, Path], hps.StoredTable]
    load: Callable[[Path], tuple[Rows, Keys]]


def _write_npy(folder: Path, rows: Rows, keys: Keys) -> None:
    np.save(folder / "rows.npy", rows)
    np.save(folder / "keys.npy", keys)


def _ingest_npy(table: Path, folder: Path) -> hps.StoredTable:
    return hps.ingest.npy(table, folder / "rows.npy", folder / "keys.npy")


def _load_npy(folder: Path) -> tuple[Rows, Keys]:
    return np.load(folder / "rows.npy"), np.load(folder / "keys.npy")


def _write_hugectr(folder: Path, rows: Rows, keys: Keys) -> None:
    rows.tofile(folder / "emb_vector")
    keys.tofile(folder / "key")


def _ingest_hugectr(dim: int) -> Callable[[Path, Path], hps.StoredTable]:
    return lambda table, folder: hps.ingest.hugectr(table, folder, dim=dim)


def _load_hugectr(dim: int) -> Callable[[Path], tuple[Rows, Keys]]:
    return lambda folder: (
        np.fromfile(folder / "emb_vector", np.float32).reshape(-1, dim),
        np.fromfile(folder / "key", np.int64),
    )


def _write_safetensors(folder: Path, rows: Rows, keys: Keys) -> None:
    from safetensors.numpy import save_file

    save_file({"rows": rows, "keys": keys}, folder / "x.safetensors")


def _ingest_safetensors(table: Path, folder: Path) -> hps.StoredTable:
    return hps.ingest.safetensors(table, folder, rows="rows", keys="keys")


def _load_safetensors(folder: Path) -> tuple[Rows, Keys]:
    from safetensors.numpy import load_file

    tensors = load_file(folder / "x.safetensors")
    return tensors["rows"], tensors["keys"]


def _write_parquet_lists(folder: Path, rows: Rows, keys: Keys) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(rows.reshape(-1), rows.shape[1])
    pq.write_table(pa.table({"keys": keys, "rows": vectors}), folder / "x.parquet")


def _ingest_parquet_lists(table: Path, folder: Path) -> hps.StoredTable:
    return hps.ingest.parquet(table, folder, rows="rows", keys="keys")


def _load_parquet_lists(folder: Path) -> tuple[Rows, Keys]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "x.parquet").combine_chunks()
    rows = table["rows"].chunk(0)
    return rows.flatten().to_numpy().reshape(len(rows), -1), table["keys"].to_numpy()


def _names(dim: int) -> list[str]:
    return [f"e{number}" for number in range(dim)]


def _write_parquet_columns(folder: Path, rows: Rows, keys: Keys) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(zip(_names(rows.shape[1]), rows.T, strict=True))
    pq.write_table(pa.table({"keys": keys} | columns), folder / "x.parquet")


def _ingest_parquet_columns(dim: int) -> Callable[[Path, Path], hps.StoredTable]:
    return lambda table, folder: hps.ingest.parquet(
        table, folder, rows=_names(dim), keys="keys"
    )


def _load_parquet_columns(folder: Path) -> tuple[Rows, Keys]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "x.parquet")
    columns = [table[name].to_numpy() for name in table.column_names if name != "keys"]
    return np.stack(columns, axis=1), table["keys"].to_numpy()


def _write_orbax(chunk_bytes: int | None) -> Callable[[Path, Rows, Keys], None]:
    def write(folder: Path, rows: Rows, keys: Keys) -> None:
        import jax
        import orbax.checkpoint as ocp

        tree = {"rows": rows, "keys": keys}
        each = ocp.SaveArgs(chunk_byte_size=chunk_bytes)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            save_args = jax.tree.map(lambda _: each, tree)
            arguments = ocp.args.PyTreeSave(tree, save_args=save_args)
            checkpointer.save(folder.absolute() / "x", args=arguments)

    return write


def _ingest_orbax(table: Path, folder: Path) -> hps.StoredTable:
    return hps.ingest.orbax(table, folder / "x", rows="rows", keys="keys")


def _load_orbax(folder: Path) -> tuple[Rows, Keys]:
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        tree: dict[str, Any] = checkpointer.restore(folder.absolute() / "x")
    return tree["rows"], tree["keys"]


def formats(dim: int) -> list[Format]:
    """All of them, for rows of `dim` elements."""
    chunked = _write_orbax(CHUNK_BYTES)
    return [
        Format("npy", _write_npy, _ingest_npy, _load_npy),
        Format("hugectr", _write_hugectr, _ingest_hugectr(dim), _load_hugectr(dim)),
        Format(
            "safetensors", _write_safetensors, _ingest_safetensors, _load_safetensors
        ),
        Format(
            "parquet, lists",
            _write_parquet_lists,
            _ingest_parquet_lists,
            _load_parquet_lists,
        ),
        Format(
            "parquet, columns",
            _write_parquet_columns,
            _ingest_parquet_columns(dim),
            _load_parquet_columns,
        ),
        Format("orbax, chunks of 32 MiB", chunked, _ingest_orbax, _load_orbax),
        Format("orbax, one chunk", _write_orbax(None), _ingest_orbax, _load_orbax),
    ]
