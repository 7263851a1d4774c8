# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Columns of Arrow's record batches, turned into keys and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import KeyDtypeError, TableDataError, TableNotFoundError
from .names import listed

if TYPE_CHECKING:
    import pyarrow as pa


class Place(NamedTuple):
    """Where a batch begins: a file and the number of a row within it."""

    file: str
    row: int

    def after(self, rows: int) -> Place:
        """So many rows further on."""
        return Place(self.file, self.row + int(rows))

    def __str__(self) -> str:
        return f"{self.file}: row {self.row}"


class Columns:
    """The columns that make a table.

    Attributes:
        names: of all of them.
    """

    def __init__(self, rows: str | Sequence[str], keys: str | None) -> None:
        """Name a column of lists, or one column for each element of a row.

        Raises:
            TableDataError: no column at all.
        """
        self._rows = rows if isinstance(rows, str) else list(rows)
        self._keys = keys
        if not self._rows:
            raise TableDataError("rows: expected the name of a column, or a list.")
        self.names = [self._rows] if isinstance(self._rows, str) else [*self._rows]
        if keys is not None:
            self.names.append(keys)

    def check(self, schema: pa.Schema, file: str) -> None:
        """Check names and types before anything is read.

        Raises:
            TableNotFoundError: a column is not there.
            TableDataError, KeyDtypeError: a column is of a type that will not do.
        """
        from pyarrow import types

        for name in self.names:
            if name not in schema.names:
                raise TableNotFoundError(
                    f"{file}: there is no column {name!r}, but "
                    f"{listed(schema.names, name)}."
                )
        if self._keys is not None:
            found = schema.field(self._keys).type
            if not types.is_integer(found):
                raise KeyDtypeError(
                    f"{file}: column {self._keys!r}: expected integers as keys, got "
                    f"{found}."
                )
        for name in [self._rows] if isinstance(self._rows, str) else self._rows:
            _check_numbers(schema.field(name), file, lists=isinstance(self._rows, str))

    def block(
        self, batch: pa.RecordBatch, place: Place
    ) -> tuple[NDArray[Any] | None, NDArray[Any]]:
        """Turn a batch of at least one row into keys [n] and rows [n, dim].

        Raises:
            TableDataError: a null, or lists of different lengths.
        """
        if isinstance(self._rows, str):
            rows = _vectors(batch.column(self._rows), place)
        else:
            rows = _side_by_side([batch.column(name) for name in self._rows], place)
        if self._keys is None:
            return None, rows
        return _numbers(batch.column(self._keys), place), rows


def _check_numbers(field: pa.Field, file: str, *, lists: bool) -> None:
    from pyarrow import types

    element = found = getattr(field.type, "storage_type", field.type)
    if lists:
        is_list = types.is_list(found) or types.is_large_list(found)
        if is_list or types.is_fixed_size_list(found):
            element = found.value_type
        else:
            element = None
    if element is None or not (types.is_floating(element) or types.is_integer(element)):
        expected = "lists of numbers" if lists else "numbers"
        raise TableDataError(
            f"{file}: column {field.name!r}: expected {expected}, got {field.type}."
        )


def _vectors(column: pa.Array, place: Place) -> NDArray[Any]:
    """Rows of a column of lists."""
    column = getattr(column, "storage", column)  # of an extension type, as tensors are
    _refuse_nulls(column, place, 1)
    dim = _common_length(column, place)
    return _numbers(column.flatten(), place, dim).reshape(len(column), dim)


def _common_length(column: pa.Array, place: Place) -> int:
    from pyarrow import compute

    lengths = compute.list_value_length(column).to_numpy()
    other = lengths != lengths[0]
    if other.any():
        row = int(other.argmax())
        raise TableDataError(
            f"{place.after(row)} has {lengths[row]} numbers, row {place.row} has "
            f"{lengths[0]}; all rows of a table are of one length."
        )
    return int(lengths[0])


def _side_by_side(columns: list[pa.Array], place: Place) -> NDArray[Any]:
    """Rows of which each column holds an element."""
    return np.stack([_numbers(column, place) for column in columns], axis=1)


def _numbers(array: pa.Array, place: Place, per_row: int = 1) -> NDArray[Any]:
    _refuse_nulls(array, place, per_row)
    numbers: NDArray[Any] = array.to_numpy()
    return numbers


def _refuse_nulls(array: pa.Array, place: Place, per_row: int) -> None:
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        raise TableDataError(
            f"{place.after(nulls.argmax() // per_row)} has a null; fill it or leave "
            "the row out."
        )
