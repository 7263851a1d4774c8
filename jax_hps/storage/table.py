# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`open_table` and `StoredTable`: a table on disk, to read outside of JAX."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import KeyDtype
from ..errors import ClosedError
from .key_arrays import as_int64_keys, check_not_cut
from .opening import open_version
from .verify import verify_version
from .version import TableVersion


def open_table(path: str | os.PathLike[str]) -> StoredTable:
    """Open a table: the version that it has now.

    Takes, besides what `create_table` wrote: a bare zarr or n5 array of shape
    [rows, dim] (dense, key = row number), or a folder with such an array in `rows/` and
    perhaps int64 keys in `keys/`; their default is zero. Uncompressed zarr3 on a local
    disk is mapped and read natively, anything else through TensorStore, far slower
    (`reader_reason` says why).

    Args:
        path: a local folder (`~` is the home), or a URL of file, s3, gs, http, https
            or memory.

    Returns:
        The table. It goes on reading its version when another one replaces it.

    Raises:
        TableNotFoundError: there is no table, or its first writer did not finish.
        TableFormatError: an array that makes no table, a newer release's table, or a
            path that cannot be one.
        CorruptTableError: a file is damaged; the message names it.
        TierUnavailableError: the URL's store did not answer.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> path = tempfile.mkdtemp() + "/item"
        >>> rows = np.arange(6, dtype=np.float16).reshape(3, 2)
        >>> hps.create_table(path, rows, default=-1.0).close()
        >>> with hps.open_table(path) as table:
        ...     table.read([2, 3])
        (array([[ 4.,  5.],
               [-1., -1.]], dtype=float16), array([ True, False]))
    """
    return StoredTable(open_version(path))


class StoredTable:
    """A version of a table, open for reading; a context manager, safe between threads.

    Handles on the same version share its mapping and its key index. What describes the
    table stays readable after `close`.

    Attributes:
        path: path or URL, as given.
        version: number of the version, growing from 1; 0 for arrays that
            `create_table` did not write.
        num_rows: rows of the table.
        dim: elements in a row.
        dtype: dtype of the stored rows: float32, float16 or bfloat16.
        key_dtype: "int64", "int32" or "uint32".
        is_dense: whether a key is a row number.
        default: what unknown keys answer, [dim] in the stored dtype, read-only.
        reader: who reads the rows, "native" or "tensorstore".
        reader_reason: why the native reader does not; "" where it does.
        nbytes: bytes of all rows.
        index_bytes: bytes of memory that the key index takes.
    """

    def __init__(self, version: TableVersion) -> None:
        self._version: TableVersion | None = version
        self.path = version.location.name
        self.version = version.version
        self.num_rows = version.num_rows
        self.dim = version.dim
        self.dtype: np.dtype[Any] = version.dtype
        self.key_dtype: KeyDtype = version.key_dtype
        self.is_dense = version.is_dense
        self.default: NDArray[Any] = version.default.view()
        self.default.flags.writeable = False
        self.reader: Literal["native", "tensorstore"] = version.reader
        self.reader_reason = version.reader_reason
        self.nbytes = version.num_rows * version.dim * version.dtype.itemsize
        self.index_bytes = version.index_bytes

    def read(self, keys: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read rows by key.

        Args:
            keys: integers of any shape and width: an array, ints, or `PackedKeys`;
                may repeat. Signed ones are sign-extended, unsigned ones zero-extended.

        Returns:
            rows: [*keys.shape, dim] in the stored dtype; the table's default where a
                key is unknown.
            found: [*keys.shape], bool.

        Raises:
            KeyDtypeError: keys that are no integers, or a 32-bit jax array of them for
                a table of 64-bit keys: it may have lost bits already.
            ClosedError: the table was closed.
            CorruptTableError, TierUnavailableError: from TensorStore, where it reads.

        Example:
            >>> import tempfile, numpy as np, jax_hps as hps
            >>> rows = np.array([[1, 2], [3, 4]], np.float32)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     with hps.create_table(folder + "/user", rows, [7, 2**40]) as table:
            ...         table.read([2**40, 8])
            (array([[3., 4.],
                   [0., 0.]], dtype=float32), array([ True, False]))
        """
        if not self._takes_32bit_keys:
            check_not_cut(keys, f"{self.path}: keys")
        wanted = as_int64_keys(keys, f"{self.path}: keys")
        rows, found = self._open_version().read(wanted.reshape(-1))
        return rows.reshape(*wanted.shape, self.dim), found.reshape(wanted.shape)

    def verify(self) -> None:
        """Check the table's files: checksums, counts, and that keys are unique.

        Reads every byte of what `create_table` wrote. Of other arrays it checks the
        shards' indexes, and decodes what is compressed.

        Raises:
            CorruptTableError: names the file and the place.
            ClosedError: the table was closed.

        Example:
            >>> import pathlib, tempfile, numpy as np, jax_hps as hps
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     table = hps.create_table(folder, np.ones((3, 2), np.float32))
            ...     table.verify()  # all is well
            ...     shard = pathlib.Path(folder, "v000001/rows/c/0/0")
            ...     _ = shard.write_bytes(b"?" + shard.read_bytes()[1:])
            ...     try:
            ...         table.verify()
            ...     except hps.CorruptTableError as error:
            ...         print("damaged:", "rows/c/0/0" in str(error))
            damaged: True
        """
        verify_version(self._open_version())

    def close(self) -> None:
        """Give the version back; calls that run go on, a second call does nothing."""
        self._version = None

    @property
    def _takes_32bit_keys(self) -> bool:
        return self.key_dtype != "int64" or (self.is_dense and self.num_rows <= 2**31)

    def _open_version(self) -> TableVersion:
        version = self._version
        if version is None:
            raise ClosedError(f"{self.path}: the table was closed; open it again.")
        return version

    def __enter__(self) -> StoredTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._version is None else f"version {self.version}"
        kind = "dense" if self.is_dense else "sparse"
        return (
            f"StoredTable({self.path!r}, {kind}, {self.num_rows} rows of "
            f"{self.dtype.name}[{self.dim}], {state})"
        )
