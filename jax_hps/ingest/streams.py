# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The way into `create_table`: blocks are read in a thread while others are written."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..errors import KeyDtypeError, TableDataError
from ..storage import StoredTable, create_table
from .arrays import RangedArray
from .options import TableOptions

# Small enough for the writer to find a block in the processor's cache; so many ahead
# that the readers go on while the writer waits for the disk.
BLOCK_BYTES = 4 << 20
AHEAD_BYTES = 64 << 20

# More readers than that only wait for the writer.
MAX_READERS = max(1, min(4, os.cpu_count() or 1))

KeysAndRows = tuple[NDArray[Any] | None, NDArray[Any]]


class Part(NamedTuple):
    """Rows [n, dim] and their keys [n]; None in dense tables."""

    rows: RangedArray
    keys: RangedArray | None


@dataclasses.dataclass(frozen=True)
class _Stream:
    """What `create_table` iterates over, and how much it will be."""

    blocks: Iterator[KeysAndRows]
    expected_rows: int

    def __iter__(self) -> Iterator[KeysAndRows]:
        return self.blocks


def write_parts(
    path: str | os.PathLike[str],
    parts: list[Part],
    options: TableOptions,
    *,
    multiple: int = 1,
) -> StoredTable:
    """Write a table of arrays, one after the other.

    Args:
        path: folder of the table.
        parts: at least one.
        options: of `create_table`.
        multiple: rows that are only to be had together; blocks begin at multiples.

    Returns:
        The table, open.

    Raises:
        TableDataError, KeyDtypeError: shapes and lengths that do not fit, keys that are
            no integers.
        HpsError: what `create_table` and the arrays raise.
    """
    for part in parts:
        _check(part)
    rows = parts[0].rows
    row_bytes = rows.shape[1] * rows.dtype.itemsize
    step = -(-max(BLOCK_BYTES // row_bytes, 1) // multiple) * multiple
    readers = max(1, min(MAX_READERS, AHEAD_BYTES // (step * row_bytes)))
    return write_blocks(
        path,
        # Readers that take turns give all blocks in their order.
        [
            _read(itertools.islice(_ranges(parts, step), first, None, readers))
            for first in range(readers)
        ],
        options,
        expected_rows=sum(part.rows.shape[0] for part in parts),
        block_bytes=step * row_bytes,
    )


def write_blocks(
    path: str | os.PathLike[str],
    readers: Sequence[Iterator[KeysAndRows]],
    options: TableOptions,
    *,
    expected_rows: int,
    block_bytes: int = BLOCK_BYTES,
) -> StoredTable:
    """Write a table of blocks that are made in other threads.

    Args:
        path: folder of the table.
        readers: iterators of pairs (keys, rows), as `create_table` takes them, each to
            be run in a thread of its own. Blocks are taken from them by turns.
        options: of `create_table`.
        expected_rows: of all blocks together.
        block_bytes: about what a block takes of memory.

    Returns:
        The table, open.
    """
    ahead = max(1, AHEAD_BYTES // (block_bytes * len(readers)))
    with contextlib.ExitStack() as running:
        lanes = [
            running.enter_context(contextlib.closing(_read_ahead(reader, ahead)))
            for reader in readers
        ]
        return create_table(path, _Stream(_by_turns(lanes), expected_rows), **options)


def _check(part: Part) -> None:
    rows, keys = part
    if len(rows.shape) != 2 or rows.shape[1] < 1:
        raise TableDataError(
            f"{rows.name}: expected rows of shape [rows, dim] with dim >= 1, got "
            f"{tuple(rows.shape)}."
        )
    if keys is None:
        return
    if keys.dtype.kind not in "iuO":  # "O": Python ints that fit no dtype together
        raise KeyDtypeError(
            f"{keys.name}: expected integers as keys, got {keys.dtype.name}."
        )
    if tuple(keys.shape) != (rows.shape[0],):
        raise TableDataError(
            f"{keys.name}: expected one key for each of the {rows.shape[0]} rows of "
            f"{rows.name}, got keys of shape {tuple(keys.shape)}."
        )


def _ranges(parts: list[Part], step: int) -> Iterator[tuple[Part, int, int]]:
    """Cut parts into ranges of at most `step` rows; at least one."""
    for part in parts:
        num_rows = part.rows.shape[0]
        for start in range(0, max(num_rows, 1), step):
            yield part, start, min(start + step, num_rows)


def _read(ranges: Iterator[tuple[Part, int, int]]) -> Iterator[KeysAndRows]:
    for (rows, keys), start, stop in ranges:
        yield (
            None if keys is None else keys.read_range(start, stop),
            rows.read_range(start, stop),
        )


def _by_turns(lanes: Sequence[Iterator[KeysAndRows]]) -> Iterator[KeysAndRows]:
    waiting = deque(lanes)
    while waiting:
        lane = waiting.popleft()
        block = next(lane, None)
        if block is not None:
            yield block
            del block  # or it would stay until the next one is there
            waiting.append(lane)


def _read_ahead(
    blocks: Iterator[KeysAndRows], ahead: int
) -> Generator[KeysAndRows, None, None]:
    """Run an iterator in a thread, `ahead` blocks before they are asked for."""
    reader = ThreadPoolExecutor(1, "jax_hps_ingest")
    try:
        coming = deque(reader.submit(next, blocks, None) for _ in range(ahead))
        while (block := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, blocks, None))
            yield block
            del block  # or it would stay until the next one is there
    finally:
        reader.shutdown(cancel_futures=True)
