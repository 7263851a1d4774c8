# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The dtypes that a table stores, by their names in manifests and in zarr."""

from __future__ import annotations

from typing import Any, Literal, get_args

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..config import KeyDtype
from ..errors import KeyDtypeError, TableDataError

RowDtype = Literal["float32", "float16", "bfloat16"]

ROW_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}

_ROW_CHOICES = "'float32', 'float16' or 'bfloat16'"
_KEY_CHOICES = "'int64', 'int32' or 'uint32'"


def row_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Look up a dtype of rows by its name, NumPy type or NumPy dtype.

    Args:
        dtype: float32, float16 or bfloat16, in any spelling.

    Returns:
        The dtype in this machine's byte order.

    Raises:
        TableDataError: any other dtype.

    Example:
        >>> row_dtype("bfloat16").itemsize
        2
    """
    name = _name(dtype)
    if name not in ROW_DTYPES:
        raise TableDataError(
            f"A table stores {_ROW_CHOICES}, not {name!r}: choose one with dtype=."
        )
    return ROW_DTYPES[name]


def key_dtype_name(dtype: DTypeLike | None) -> KeyDtype:
    """Name the dtype of a table's keys; None is int64.

    Args:
        dtype: None, int64, int32 or uint32, in any spelling.

    Raises:
        KeyDtypeError: any other dtype.

    Example:
        >>> key_dtype_name(np.uint32)
        'uint32'
    """
    name = "int64" if dtype is None else _name(dtype)
    for known in get_args(KeyDtype):
        if name == known:
            return known  # type: ignore[no-any-return]
    hint = " (an int64 table takes uint64 keys, bit by bit)" if name == "uint64" else ""
    raise KeyDtypeError(f"key_dtype={name!r}: expected {_KEY_CHOICES}{hint}.")


def _name(dtype: DTypeLike) -> str:
    # NumPy need not know the name "bfloat16", nor one that the caller mistyped.
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


def cast_rows(rows: NDArray[Any], dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    """Convert numbers to a table's dtype, C-contiguous.

    Args:
        rows: real numbers of any dtype and shape.
        dtype: one of `ROW_DTYPES`.
        what: how an error calls `rows`.

    Returns:
        `rows` itself where nothing is to be done, else a copy.

    Raises:
        TableDataError: no real numbers, or a finite number becomes infinite.
    """
    if not _is_real(rows.dtype):
        raise TableDataError(
            f"{what}: expected real numbers, got dtype {rows.dtype.name}."
        )
    try:
        with np.errstate(over="raise"):
            return np.ascontiguousarray(rows, dtype)
    except FloatingPointError:
        raise TableDataError(
            f"{what}: a number is too large for {dtype.name}; choose a wider dtype."
        ) from None


def _is_real(dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "fiu":
        return True
    try:  # bfloat16 and the float8 types are of kind "V", as records are
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return dtype.kind == "V"
