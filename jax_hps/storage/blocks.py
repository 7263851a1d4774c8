# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What the caller of `create_table` brings, turned into checked blocks of one dtype."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..config import KeyDtype
from ..errors import TableDataError
from .dtypes import cast_rows, key_dtype_name, row_dtype
from .key_arrays import as_int64_keys, as_key_array, check_not_cut, check_range

# Rows are cut into blocks of so many elements: 32 MiB of float32. Nothing else bounds
# the memory that writing a memory-mapped array takes.
BLOCK_ELEMENTS = 8 << 20


class Block(NamedTuple):
    """Rows [n, dim] in the stored dtype, and their keys [n]; None in dense tables."""

    keys: NDArray[np.int64] | None
    rows: NDArray[Any]


class RowSource:
    """Rows to be written: an iterable, once, of `Block`.

    Attributes:
        dim: elements in a row.
        dtype: dtype of the blocks' rows, one of `ROW_DTYPES`.
        key_dtype: name of the dtype that all keys fit.
        is_dense: whether the blocks come without keys.
        expected_rows: rows of all blocks together; None where an iterator does not
            say so in an attribute of this name.
    """

    def __init__(
        self,
        name: str,
        rows: Any,
        keys: ArrayLike | None,
        *,
        dtype: DTypeLike | None,
        key_dtype: DTypeLike | None,
    ) -> None:
        """Check what can be checked without reading more than the first block.

        Args:
            name: of the table, for errors.
            rows: an array [n, dim], or an iterable of (keys, rows) blocks.
            keys: [n], or None.
            dtype: dtype to convert rows to; None: they have a dtype of tables.
            key_dtype: dtype that every key has to fit; None: int64.

        Raises:
            TableDataError, KeyDtypeError: what is brought makes no table.
        """
        self._name = name
        self.key_dtype: KeyDtype = key_dtype_name(key_dtype)
        is_array = hasattr(rows, "shape") and hasattr(rows, "dtype")
        if is_array:
            self.expected_rows = int(rows.shape[0]) if rows.shape else None
            pairs: Iterator[Any] = iter([(keys, rows)])
        else:
            # Ours know how many rows will come, others need not.
            self.expected_rows = getattr(rows, "expected_rows", None)
            pairs = self._iterate(rows, keys)
        self._pieces = self._cut_all(pairs, is_array=is_array)
        self._first = next(self._pieces, None)
        if self._first is None:
            raise TableDataError(
                f"{name}: the iterator gave no block, so that the dim is unknown; give "
                "an array of shape [0, dim] for an empty table."
            )
        _, first_keys, first_rows = self._first
        self.is_dense = first_keys is None
        self.dim = int(first_rows.shape[1])
        self._must_cast = dtype is not None
        self.dtype = row_dtype(first_rows.dtype if dtype is None else dtype)

    def __iter__(self) -> Iterator[Block]:
        start = 0
        while self._first is not None:
            what, keys, rows = self._first
            # The block must not outlive its turn, or two would be held at a time.
            self._first = None
            block = Block(self._check_keys(what, keys), self._check_rows(what, rows))
            del keys, rows
            start += len(block.rows)
            self._check_capacity(start)
            yield block
            del block
            self._first = next(self._pieces, None)

    def _iterate(self, rows: Any, keys: ArrayLike | None) -> Iterator[Any]:
        if keys is not None:
            raise TableDataError(
                f"{self._name}: rows come as an iterator, so the keys belong into its "
                "(keys, rows) blocks, not into keys=."
            )
        if not isinstance(rows, Iterable):
            raise TableDataError(
                f"{self._name}: expected an array of rows or an iterator of (keys, "
                f"rows) blocks, got {type(rows).__name__}."
            )
        return iter(rows)

    def _cut_all(
        self, pairs: Iterator[Any], *, is_array: bool
    ) -> Iterator[tuple[str, Any, Any]]:
        for number, pair in enumerate(pairs):
            what = self._name if is_array else f"{self._name}: block {number}"
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise TableDataError(
                    f"{what}: expected a tuple (keys, rows), got "
                    f"{type(pair).__name__}; for one array of rows, give a NumPy array."
                )
            if self.key_dtype == "int64":
                check_not_cut(pair[0], f"{what}: keys")
            for keys, rows in _cut(what, *pair):
                yield what, keys, rows

    def _check_keys(self, what: str, keys: Any) -> NDArray[np.int64] | None:
        if (keys is None) != self.is_dense:
            raise TableDataError(f"{what}: some blocks have keys and some have none.")
        if keys is None:
            return None
        check_range(keys, self.key_dtype, what)
        return as_int64_keys(keys, f"{what}: keys")

    def _check_rows(self, what: str, rows: NDArray[Any]) -> NDArray[Any]:
        if rows.shape[1] != self.dim:
            raise TableDataError(
                f"{what}: rows have {rows.shape[1]} elements, the first {self.dim}."
            )
        if not self._must_cast and rows.dtype.name != self.dtype.name:
            raise TableDataError(
                f"{what}: rows are {rows.dtype.name}, the first are {self.dtype.name}; "
                "choose one with dtype=."
            )
        return cast_rows(rows, self.dtype, f"{what}: rows")

    def _check_capacity(self, num_rows: int) -> None:
        if self.is_dense and num_rows > np.iinfo(self.key_dtype).max + 1:
            raise TableDataError(
                f"{self._name}: row numbers do not fit key_dtype={self.key_dtype!r}; "
                "use key_dtype='int64'."
            )


def _cut(what: str, keys: Any, rows: Any) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Cut a pair of arrays into pairs of bounded size, at least one."""
    if not hasattr(rows, "shape"):
        rows = np.asarray(rows)
    if len(rows.shape) != 2 or rows.shape[1] < 1:
        raise TableDataError(
            f"{what}: expected rows of shape [rows, dim] with dim >= 1, got "
            f"{tuple(rows.shape)}."
        )
    num_rows, dim = rows.shape
    if keys is not None:
        keys = _key_array(what, keys, num_rows)
    step = max(BLOCK_ELEMENTS // dim, 1)
    for start in range(0, max(num_rows, 1), step):
        piece = slice(start, start + step)
        yield None if keys is None else keys[piece], np.asarray(rows[piece])


def _key_array(what: str, keys: Any, num_rows: int) -> NDArray[Any]:
    array = as_key_array(keys, f"{what}: keys")
    if array.ndim != 1 or len(array) != num_rows:
        raise TableDataError(
            f"{what}: expected one key for each of the {num_rows} rows, got keys of "
            f"shape {array.shape}."
        )
    return array
