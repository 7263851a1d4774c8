# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse models of HugeCTR's, as its Hierarchical Parameter Server loads them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Unpack

import numpy as np

from ..errors import TableDataError, TableNotFoundError
from ..storage import StoredTable
from .arrays import FileArray
from .options import TableOptions
from .sources import PathLike, local_paths, open_file
from .streams import Part, write_parts

# Both are little-endian and have no header. Keys are 64 bits wide whatever HugeCTR was
# told of them.
_KEY = np.dtype("<i8")
_ELEMENT = np.dtype("<f4")


def hugectr(
    path: str | os.PathLike[str],
    folders: PathLike | Sequence[PathLike],
    *,
    dim: int,
    **options: Unpack[TableOptions],
) -> StoredTable:
    """Write a table of a sparse model that HugeCTR wrote for its HPS.

    Such a model is a folder with the files `key` (int64) and `emb_vector` (float32,
    row after row), in the same order; anything else in it is not read.

    Args:
        path: folder of the table to write.
        folders: folder of a model; or several, for one table with the keys of all of
            them, as HPS makes of tables that it fuses.
        dim: elements in a row; `embedding_vecsize_per_table` in a ps.json.
        **options: those of `create_table`: dtype, default, key_dtype, overwrite,
            progress. `default_value_for_each_table` of a ps.json is `default`, and a
            model with `i64_input_key` false may have key_dtype="uint32".

    Returns:
        The table, open.

    Raises:
        TableNotFoundError: a folder or one of its files is not there.
        TableDataError: the files' sizes do not fit each other and dim, a key is there
            twice.
        HpsError, OSError: what else `create_table` raises; the table that was there
            before stays as it was.

    Example:
        >>> import os, tempfile, numpy as np, jax_hps as hps
        >>> folder = tempfile.mkdtemp()
        >>> model = f"{folder}/wdl0_sparse_2000.model"
        >>> os.mkdir(model)
        >>> np.array([7, -1, 2**40]).tofile(f"{model}/key")
        >>> np.ones((3, 4), np.float32).tofile(f"{model}/emb_vector")
        >>> with hps.ingest.hugectr(f"{folder}/user", model, dim=4) as table:
        ...     table.num_rows, table.read(2**40)[0].tolist()
        (3, [1.0, 1.0, 1.0, 1.0])
    """
    if dim < 1:
        raise TableDataError(f"{path}: expected dim >= 1, got {dim}.")
    with contextlib.ExitStack() as files:
        parts = []
        for folder in local_paths(folders):
            key_path, row_path = _find(folder, "key"), _find(folder, "emb_vector")
            key_file = files.enter_context(open_file(key_path))
            row_file = files.enter_context(open_file(row_path))
            parts.append(_open_model(key_path, key_file, row_path, row_file, dim))
        return write_parts(path, parts, options)


def _find(folder: Path, name: str) -> Path:
    if (folder / name).is_file():
        return folder / name
    models = sorted(file.parent.name for file in folder.glob("*/emb_vector"))
    hint = (
        f"its folders {', '.join(models)} are models; name one of them."
        if models
        else "a sparse model is a folder with the files key and emb_vector."
    )
    raise TableNotFoundError(f"{folder}: there is no file {name!r}; {hint}")


def _open_model(
    key_path: Path, key_file: BinaryIO, row_path: Path, row_file: BinaryIO, dim: int
) -> Part:
    key_bytes, row_bytes = key_path.stat().st_size, row_path.stat().st_size
    num_keys, rest = divmod(key_bytes, _KEY.itemsize)
    if rest:
        raise TableDataError(
            f"{key_path}: expected keys of 8 bytes, got {key_bytes} bytes: {rest} too "
            "many, or the file was cut short."
        )
    expected = num_keys * dim * _ELEMENT.itemsize
    if row_bytes != expected:
        raise TableDataError(
            f"{row_path}: expected {expected} bytes for {num_keys} keys and dim={dim}, "
            f"got {row_bytes}{_dim_of(row_bytes, num_keys)}."
        )
    return Part(
        rows=FileArray(
            str(row_path), row_file, offset=0, shape=(num_keys, dim), dtype=_ELEMENT
        ),
        keys=FileArray(
            str(key_path), key_file, offset=0, shape=(num_keys,), dtype=_KEY
        ),
    )


def _dim_of(row_bytes: int, num_keys: int) -> str:
    """What the sizes may mean, if they mean anything."""
    dim, rest = divmod(row_bytes, max(num_keys, 1) * _ELEMENT.itemsize)
    fits = num_keys and dim and not rest
    return f", which is dim={dim}" if fits else "; one of the files was cut short"
