# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`TableVersion`: one immutable state of a table, opened once."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..config import KeyDtype
from .arrays import StoredArray
from .dtypes import ROW_DTYPES
from .location import Location
from .locks import FolderLock
from .manifest import Manifest
from .tensorstore_rows import TensorStoreArray

# Of tables that others wrote.
FOREIGN_KEY_DTYPE: KeyDtype = "int64"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TableVersion:
    """What one version of a table is read from; immutable, safe between threads.

    It lives as long as somebody holds it. Until then its files stay on the disk, even
    when the table is overwritten.

    Attributes:
        location: the table's folder or URL.
        rows: the rows, [num_rows, dim].
        keys: the keys, [num_rows]; None in a dense table.
        index: key to row number; None in a dense table.
        default: what unknown keys answer, [dim] in the stored dtype.
        manifest: None for arrays that `create_table` did not write.
        lock: keeps the files; None where there is no manifest, or no local disk.
    """

    location: Location
    rows: StoredArray
    keys: StoredArray | None
    index: _native.KeyIndex | None
    default: NDArray[Any]
    manifest: Manifest | None
    lock: FolderLock | None

    @property
    def version(self) -> int:
        """Number of the version, from 1 on; 0 where there is no manifest."""
        return self.manifest.version if self.manifest else 0

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return self.rows.shape[0]

    @property
    def dim(self) -> int:
        """Elements in a row."""
        return self.rows.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the stored rows."""
        return ROW_DTYPES[self.rows.dtype]

    @property
    def key_dtype(self) -> KeyDtype:
        """Name of the dtype that all keys fit."""
        return self.manifest.key_dtype if self.manifest else FOREIGN_KEY_DTYPE

    @property
    def is_dense(self) -> bool:
        """Whether a key is a row number."""
        return self.index is None

    @property
    def is_remote(self) -> bool:
        """Whether reading rows goes over a network."""
        return self.location.is_remote

    @property
    def reader(self) -> Literal["native", "tensorstore"]:
        """Who reads the rows."""
        return "native" if self.tensorstore is None else "tensorstore"

    @property
    def reader_reason(self) -> str:
        """Why the native reader does not take the rows; "" where it does."""
        return self.rows.reason

    @property
    def tensorstore(self) -> TensorStoreArray | None:
        """Reader of rows by number; None where the native reader takes them."""
        return self.rows.tensorstore

    @property
    def mapped_bytes(self) -> int:
        """Bytes of the rows' mapped files, which the page cache holds as it can."""
        return self.rows.mapped.mapped_bytes if self.rows.mapped else 0

    @property
    def index_bytes(self) -> int:
        """Bytes of memory that the key index takes; 0 in a dense table."""
        return self.index.nbytes if self.index else 0

    def make_base(
        self,
        *,
        queue: _native.ResolverQueue | None = None,
        default: NDArray[Any] | None = None,
    ) -> _native.Base:
        """Make what the compiled half answers from.

        Args:
            queue: where misses go if TensorStore reads the rows; else None.
            default: a row in the stored dtype, [dim]; None: the version's own.
        """
        rows = self.rows.mapped or queue
        if rows is None:
            raise ValueError(f"{self.location}: TensorStore reads it; give a queue.")
        row = self.default if default is None else default
        return _native.Base(
            rows,
            self.index,
            num_rows=self.num_rows,
            dim=self.dim,
            dtype=self.rows.dtype,
            default=np.ascontiguousarray(row, self.dtype).tobytes(),
        )

    def read(
        self, keys: NDArray[np.int64], *, timeout_s: float | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read the rows of int64 keys [n]: rows [n, dim], found [n].

        `timeout_s`: how long TensorStore is waited for, where it reads the rows.
        """
        if self.tensorstore is not None:
            return self._read_through(self.tensorstore, keys, timeout_s)
        rows = np.empty((keys.size, self.dim), self.dtype)
        found = np.empty(keys.size, np.bool_)
        self._own_base.read(keys, rows.view(np.uint8), found)
        return rows, found

    @functools.cached_property
    def _own_base(self) -> _native.Base:
        return self.make_base()

    def _read_through(
        self,
        array: TensorStoreArray,
        keys: NDArray[np.int64],
        timeout_s: float | None,
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if self.index is not None:
            numbers = self.index.find(keys)
            found = numbers >= 0
        else:
            numbers = keys
            found = (keys >= 0) & (keys < self.num_rows)
        rows = np.empty((keys.size, self.dim), self.dtype)
        rows[found] = array.read_rows(numbers[found], timeout_s=timeout_s)
        rows[~found] = self.default
        return rows, found
