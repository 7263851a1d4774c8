# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files of `np.save`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Unpack

import numpy as np

from ..errors import TableDataError, TableFormatError
from ..storage import StoredTable
from ..storage.dtypes import ROW_DTYPES, row_dtype
from .arrays import FileArray, HeldArray, RangedArray
from .options import TableOptions
from .sources import PathLike, local_paths, open_file
from .streams import Part, write_parts

_BFLOAT16 = ROW_DTYPES["bfloat16"]

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npy(
    path: str | os.PathLike[str],
    rows: PathLike | Sequence[PathLike],
    keys: PathLike | Sequence[PathLike] | None = None,
    **options: Unpack[TableOptions],
) -> StoredTable:
    """Write a table of rows and keys that `np.save` wrote.

    Args:
        path: folder of the table to write.
        rows: a file of an array of shape [rows, dim]; or several, to be put one after
            the other. NumPy forgets bfloat16 when it saves it ("V2" is all that is
            left): such files are taken with dtype="bfloat16".
        keys: as many files of integers of shape [rows]. None, the default: a dense
            table, where a row's key is its number.
        **options: those of `create_table`: dtype, default, key_dtype, overwrite,
            progress.

    Returns:
        The table, open.

    Raises:
        TableNotFoundError: a file is not there.
        TableFormatError: a file is none of `np.save`'s, or holds Python objects.
        CorruptTableError: a file was cut short.
        TableDataError, KeyDtypeError: shapes, lengths, dtypes, duplicate keys.
        HpsError, OSError: what else `create_table` raises; the table that was there
            before stays as it was.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> folder = tempfile.mkdtemp()
        >>> np.save(f"{folder}/rows.npy", np.ones((3, 4), np.float32))
        >>> np.save(f"{folder}/keys.npy", np.array([7, -1, 2**40]))
        >>> rows, keys = f"{folder}/rows.npy", f"{folder}/keys.npy"
        >>> with hps.ingest.npy(f"{folder}/user", rows, keys) as table:
        ...     table.num_rows, table.dim
        (3, 4)
    """
    row_files = local_paths(rows)
    key_files = [None] * len(row_files) if keys is None else local_paths(keys)
    if len(row_files) != len(key_files):
        raise TableDataError(
            f"{path}: expected a file of keys for each of the {len(row_files)} files "
            f"of rows, got {len(key_files)}."
        )
    dtype = options.get("dtype")
    is_bfloat16 = dtype is not None and row_dtype(dtype) == _BFLOAT16
    with contextlib.ExitStack() as files:

        def array(file: Path) -> RangedArray:
            return _open_array(file, files.enter_context(open_file(file)), is_bfloat16)

        parts = [
            Part(array(row_file), None if key_file is None else array(key_file))
            for row_file, key_file in zip(row_files, key_files, strict=True)
        ]
        return write_parts(path, parts, options)


def _open_array(path: Path, file: BinaryIO, is_bfloat16: bool) -> RangedArray:
    shape, by_columns, dtype = _read_header(path, file)
    if dtype.hasobject:
        raise TableFormatError(f"{path}: it holds Python objects, which are not read.")
    if dtype == np.dtype("V2") and is_bfloat16:
        dtype = _BFLOAT16
    offset = file.tell()
    array = FileArray(str(path), file, offset=offset, shape=shape, dtype=dtype)
    if not by_columns:
        return array
    # A row lies all over the file: what to read of it is best left to the kernel.
    mapped = np.memmap(path, dtype, "r", offset, shape, "F")
    return HeldArray(str(path), mapped)


def _read_header(
    path: Path, file: BinaryIO
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and dtype; leaves the file at the data."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version} is unknown")
        shape, by_columns, dtype = _HEADERS[version](file)
    except ValueError as error:
        raise TableFormatError(
            f"{path}: expected a file of np.save's, NumPy says: {error}."
        ) from error
    return shape, by_columns, dtype
