# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`create_table`: rows and keys onto a disk, all of them or nothing."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..errors import TableDataError, TableFormatError
from .blocks import RowSource
from .dtypes import cast_rows
from .folder import TableFolder
from .location import Location
from .manifest import BaseFiles, Manifest
from .progress import show_progress
from .table import StoredTable, open_table
from .writer import VersionWriter


def create_table(
    path: str | os.PathLike[str],
    rows: Any,
    keys: ArrayLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    default: ArrayLike = 0.0,
    key_dtype: DTypeLike | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> StoredTable:
    """Write an embedding table to a local disk and open it.

    The table is there when this returns, and survives a power cut. Killed before, or
    ended by an error, it leaves the table that was there, or none: never half of one.
    Rows pass through memory in blocks of at most 32 MiB (or as large as the blocks that
    an iterator gives); keys are held, so that duplicates are named.

    Args:
        path: folder of the table, made together with its parents; `~` is the home.
        rows: array of shape [rows, dim], which may be a `np.memmap` or anything else
            that slices into NumPy arrays; or an iterator of blocks (keys, rows), where
            the keys of a dense table's blocks are None.
        keys: integers of shape [rows], all different: an array, a list of ints, or
            `PackedKeys`; every 64-bit value is a key, and uint64 keys keep their bits.
            None, the default: a dense table, where a row's key is its number.
        dtype: dtype to store, "float32", "float16" or "bfloat16"; rows of another
            dtype are converted. None, the default: the rows' own.
        default: what keys that are not in the table answer: a number, or a vector of
            shape [dim]. Zero by default.
        key_dtype: "int64" (the default), "int32" or "uint32"; the narrow ones let
            lookups take 32-bit keys, and every key must fit.
        overwrite: replace the table at `path`, if there is one. Those who read it go on
            reading it until they open it again.
        progress: show a progress bar on a terminal, or log a line every ten seconds.

    Returns:
        The table, open.

    Raises:
        TableExistsError: `path` holds something, and it is no table or `overwrite` is
            false.
        TableDataError: rows, keys or default do not make a table: shapes, lengths,
            dtypes, a duplicate key (named, with both rows).
        KeyDtypeError: keys that are no integers, or a 32-bit jax array of them where
            `key_dtype` is int64: it may have lost bits already.
        TableFormatError: `path` is a URL of a store, or no path at all.
        TableLockedError: somebody else is writing the table.
        OSError: the disk is full or fails.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> path = tempfile.mkdtemp() + "/user"
        >>> rows = np.ones((3, 4), np.float32)
        >>> with hps.create_table(path, rows, keys=[7, -1, 2**40]) as table:
        ...     table.num_rows, table.dim
        (3, 4)
    """
    folder = _local_folder(path)
    source = RowSource(str(folder), rows, keys, dtype=dtype, key_dtype=key_dtype)
    default_bytes = _encode_default(default, source)
    with TableFolder(folder, overwrite=overwrite) as target:
        written = _write(target.new_version(), source, progress=progress)
        target.publish(_manifest(target.current, source, written, default_bytes))
    return open_table(path)


def _local_folder(path: str | os.PathLike[str]) -> Path:
    location = Location.parse(path)
    if location.path is None:
        raise TableFormatError(
            f"{location}: tables are written to local disks only; write a local one "
            "and copy its folder."
        )
    return location.path


def _encode_default(default: ArrayLike, source: RowSource) -> bytes:
    row = cast_rows(np.asarray(default), source.dtype, "default")
    if row.shape not in ((), (1,), (source.dim,)):
        raise TableDataError(
            f"default: expected a number or a vector of {source.dim} numbers, got "
            f"shape {row.shape}."
        )
    return row.tobytes()


def _write(folder: Path, source: RowSource, *, progress: bool) -> tuple[int, BaseFiles]:
    """Write all rows; how many, and what files they are in."""
    reporting = show_progress(
        str(folder.parent), source.expected_rows, enabled=progress
    )
    with (
        contextlib.closing(VersionWriter(folder, source)) as writer,
        reporting as advance,
    ):
        for block in source:
            writer.append(block)
            advance(len(block.rows))
        return writer.num_rows, writer.finish()


def _manifest(
    current: Manifest | None,
    source: RowSource,
    written: tuple[int, BaseFiles],
    default: bytes,
) -> Manifest:
    """The manifest that makes a written version the successor of the current one."""
    num_rows, base = written
    return Manifest(
        uuid=current.uuid if current else str(uuid.uuid4()),
        epoch=current.epoch + 1 if current else 1,
        version=current.version + 1 if current else 1,
        dim=source.dim,
        dtype=source.dtype.name,  # type: ignore[arg-type]  # one of ROW_DTYPES
        kind="dense" if source.is_dense else "sparse",
        key_dtype=source.key_dtype,
        num_rows=num_rows,
        default=default,
        base=base,
    )
