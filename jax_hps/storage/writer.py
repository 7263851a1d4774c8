# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the arrays of one version into its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..errors import TableDataError
from .blocks import Block, RowSource
from .files import sync_folder, write_file
from .layout import MAX_FILES, ArrayLayout, choose_layout, encode_zarr_json
from .manifest import ArrayFiles, BaseFiles


class VersionWriter:
    """Appends blocks to a new version; duplicate keys are refused as they come."""

    def __init__(self, folder: Path, source: RowSource) -> None:
        """Make the folders of the arrays within `folder`, which exists and is empty."""
        self._folder = folder
        expected = source.expected_rows
        rows = choose_layout(
            source.dtype.name,
            source.dim,
            source.dtype.itemsize,
            expected_rows=expected,
        )
        self._rows = _ArrayWriter(folder / "rows", rows)
        self._keys: _ArrayWriter | None = None
        if not source.is_dense:
            self._keys = _ArrayWriter(
                folder / "keys",
                choose_layout("int64", None, 8, expected_rows=expected),
            )
            # Rows go to the disk, keys are held: so that duplicates can be named.
            self._index = _native.KeyIndex(expected or 0)

    @property
    def num_rows(self) -> int:
        """Rows appended so far."""
        return self._rows.num_rows

    def append(self, block: Block) -> None:
        """Append the rows of a block.

        Raises:
            TableDataError: a key is there already (names it and both rows), or the
                table gets too large for shards of the size that was chosen.
            OSError: the disk does not take them.
        """
        if self._keys is not None and block.keys is not None:
            try:
                self._index.insert(block.keys)
            except TableDataError as error:
                raise TableDataError(f"{self._folder.parent}: {error}") from error
            self._keys.append(block.keys)
        self._rows.append(block.rows)

    def close(self) -> None:
        """Close the files; without `finish` before, what was written is lost.

        An exception's traceback may keep this object for long, and with it the space of
        files that were removed.
        """
        for array in (self._rows, self._keys):
            if array is not None:
                array.close()

    def finish(self) -> BaseFiles:
        """Make everything durable and say what was written."""
        files = BaseFiles(
            folder=self._folder.name,
            rows=self._rows.finish(),
            keys=None if self._keys is None else self._keys.finish(),
        )
        sync_folder(self._folder)
        return files


class _ArrayWriter:
    def __init__(self, folder: Path, layout: ArrayLayout) -> None:
        folder.mkdir()
        self.num_rows = 0
        self._folder = folder
        self._layout = layout
        self._native: _native.ArrayWriter | None = _native.ArrayWriter(
            str(folder),
            rank=layout.rank,
            row_bytes=layout.row_bytes,
            shard_rows=layout.shard_rows,
            chunk_rows=layout.chunk_rows,
        )

    def append(self, rows: NDArray[Any]) -> None:
        if self.num_rows + len(rows) > self._layout.max_rows:
            raise TableDataError(
                f"{self._folder.parents[1]}: an iterator's blocks may have "
                f"{self._layout.max_rows} rows, which make {MAX_FILES} files. Give the "
                "rows as one array (anything with shape, dtype and slices), for which "
                "larger files are chosen."
            )
        # As bytes, because bfloat16 arrays offer no buffer of their own.
        self._writer().append(rows.reshape(-1).view(np.uint8))
        self.num_rows += len(rows)

    def finish(self) -> ArrayFiles:
        checksums = self._writer().finish()
        layout = dataclasses.replace(self._layout, num_rows=self.num_rows)
        write_file(self._folder / "zarr.json", encode_zarr_json(layout))
        sync_folder(self._folder)
        return ArrayFiles(
            shard_rows=layout.shard_rows,
            chunk_rows=layout.chunk_rows,
            crc32c=checksums,
        )

    def close(self) -> None:
        self._native = None

    def _writer(self) -> _native.ArrayWriter:
        assert self._native is not None, "closed"
        return self._native
