# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Parquet files, read batch by batch."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

from ..errors import CorruptTableError, TableDataError, TableNotFoundError
from ..storage import StoredTable
from . import streams
from .options import TableOptions
from .parquet_columns import Columns, Place
from .sources import PathLike, local_paths
from .streams import BLOCK_BYTES, KeysAndRows, write_blocks

_READING = {
    # A column is read through a buffer of so many bytes; without one, all of it that is
    # in a row group would be in memory, which can be gigabytes.
    "buffer_size": 256 << 10,
    "pre_buffer": False,
    # Where the writer left checksums.
    "page_checksum_verification": True,
}

_BLOCK_ELEMENTS = BLOCK_BYTES // 4  # float32, as they mostly are

_RowGroup = tuple[Path, int]


def parquet(
    path: str | os.PathLike[str],
    files: PathLike | Sequence[PathLike],
    *,
    rows: str | Sequence[str],
    keys: str | None = None,
    **options: Unpack[TableOptions],
) -> StoredTable:
    """Write a table of columns of Parquet files. Needs pyarrow.

    Args:
        path: folder of the table to write.
        files: a file, several files, or a folder with files `*.parquet`, at any depth;
            those of a folder are read in the order of their names.
        rows: name of a column of lists (of fixed size or not) of dim numbers each; or
            the names of dim columns of numbers, in the order of a row's elements.
        keys: name of a column of integers. None, the default: a dense table, where a
            row's key is its number, counted through all files.
        **options: those of `create_table`: dtype, default, key_dtype, overwrite,
            progress.

    Returns:
        The table, open.

    Raises:
        ImportError: pyarrow is not installed.
        TableNotFoundError: a file is not there, or has no such column (names those it
            has).
        TableDataError, KeyDtypeError: types of columns, rows of different lengths, a
            null, a duplicate key.
        CorruptTableError: a file is no Parquet file, or damaged.
        HpsError, OSError: what else `create_table` raises; the table that was there
            before stays as it was.

    Example:
        >>> import tempfile, numpy as np, pyarrow as pa, pyarrow.parquet as pq
        >>> import jax_hps as hps
        >>> folder = tempfile.mkdtemp()
        >>> columns = {"user": [7, -1, 2**40], "vector": [[1.0, 2.0]] * 3}
        >>> pq.write_table(pa.table(columns), f"{folder}/users.parquet")
        >>> with hps.ingest.parquet(
        ...     f"{folder}/user", f"{folder}/users.parquet",
        ...     rows="vector", keys="user", dtype="float32",
        ... ) as table:
        ...     table.num_rows, table.read(7)[0].tolist()
        (3, [1.0, 2.0])
    """
    pq = _pyarrow_parquet()
    columns = Columns(rows, keys)
    groups: list[_RowGroup] = []
    expected_rows = 0
    for file in [file for name in local_paths(files) for file in _files_in(name)]:
        with _named(file), pq.ParquetFile(file) as opened:
            columns.check(opened.schema_arrow, str(file))
            expected_rows += opened.metadata.num_rows
            count = opened.metadata.num_row_groups
            groups.extend((file, number) for number in range(count))
    if not expected_rows:
        raise TableDataError(f"{files}: there are no rows, so that dim is unknown.")
    count = _readers(rows, keys)
    readers = [_read(pq, groups[first::count], columns) for first in range(count)]
    return write_blocks(path, readers, options, expected_rows=expected_rows)


def _pyarrow_parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ImportError(
            "jax_hps.ingest.parquet needs pyarrow: pip install 'jax_hps[ingest]'"
        ) from error
    module: ModuleType = pyarrow.parquet
    return module


def _files_in(path: Path) -> list[Path]:
    """The file itself, or those of a folder that writers do not mark as not data."""
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*.parquet"))
        if not any(part[0] in "._" for part in file.relative_to(path).parts)
    ]
    if not found:
        raise TableNotFoundError(f"{path}: there is no file *.parquet.")
    return found


def _readers(rows: str | Sequence[str], keys: str | None) -> int:
    """How many row groups are read at a time.

    One where a row's number is its key; and where rows come from many columns, which
    pyarrow reads in parallel already, with some megabytes of memory for each.
    """
    return streams.MAX_READERS if isinstance(rows, str) and keys is not None else 1


def _read(
    pq: ModuleType, groups: list[_RowGroup], columns: Columns
) -> Iterator[KeysAndRows]:
    """Blocks of some row groups."""
    for file, same_file in itertools.groupby(groups, key=operator.itemgetter(0)):
        with _named(file), pq.ParquetFile(file, **_READING) as opened:
            for _, number in same_file:
                yield from _read_group(opened, file, number, columns)


def _read_group(
    opened: Any, file: Path, number: int, columns: Columns
) -> Iterator[KeysAndRows]:
    metadata, names = opened.metadata, columns.names
    rows_before = (metadata.row_group(before).num_rows for before in range(number))
    place = Place(str(file), sum(rows_before))
    step = _rows_at_once(metadata.row_group(number), names)
    for batch in opened.iter_batches(step, row_groups=[number], columns=names):
        if len(batch):
            yield columns.block(batch, place)
            place = place.after(len(batch))


def _rows_at_once(group: Any, names: list[str]) -> int:
    """So many rows of a row group are a block."""
    columns = [group.column(number) for number in range(group.num_columns)]
    roots = tuple(f"{name}." for name in names)
    # A column of lists is called "name.list.element"; all its elements are counted.
    elements = sum(
        column.num_values
        for column in columns
        if f"{column.path_in_schema}.".startswith(roots)
    )
    rows: int = _BLOCK_ELEMENTS * group.num_rows // max(elements, 1)
    return max(rows, 1)


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say which file it is that pyarrow cannot read."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, and clear enough
            raise
        raise CorruptTableError(f"{file}: pyarrow says: {error}") from error
