# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Keys as they come, turned into the int64 that indexes and files hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..config import KeyDtype
from ..errors import KeyDtypeError, TableDataError


def as_key_array(keys: ArrayLike) -> NDArray[Any]:
    """Keys as an array of the dtype that they have; an empty list has int64."""
    array = np.asarray(keys)
    if array.size == 0 and not hasattr(keys, "dtype"):
        return array.astype(np.int64)
    return array


def as_int64_keys(keys: ArrayLike, what: str) -> NDArray[np.int64]:
    """Turn integers of any width into int64 keys, without losing a bit.

    Signed integers are sign-extended, unsigned ones zero-extended; uint64 keeps its
    bits, so that its upper half becomes negative.

    Args:
        keys: integers of any shape.
        what: how an error calls them.

    Returns:
        int64 of the same shape, C-contiguous; may share memory with `keys`.

    Raises:
        KeyDtypeError: no integers.

    Example:
        >>> as_int64_keys(np.array([2**64 - 1], np.uint64), "keys")
        array([-1])
    """
    array = as_key_array(keys)
    if array.dtype.kind not in "iu":
        raise KeyDtypeError(
            f"{what}: expected integers, got dtype {array.dtype.name}; convert them "
            "where you know that no id is rounded."
        )
    # astype of uint64 keeps the bits, which is what we promise.
    return array.astype(np.int64, order="C", copy=False)


def check_range(
    keys: NDArray[np.int64], original: NDArray[Any], key_dtype: KeyDtype, what: str
) -> None:
    """Check that every key is a number of the table's key dtype.

    Args:
        keys: int64 keys, [n].
        original: the same keys as they came; uint64 tells -1 from 2**64 - 1.
        key_dtype: the table's.
        what: how an error calls them.

    Raises:
        TableDataError: names the first key that does not fit.
    """
    if key_dtype == "int64":
        return
    limits = np.iinfo(key_dtype)
    outside = (keys < int(limits.min)) | (keys > int(limits.max))
    if original.dtype == np.uint64:
        outside |= keys < 0
    if outside.any():
        raise TableDataError(
            f"{what}: key {original[outside.argmax()]} does not fit "
            f"key_dtype={key_dtype!r}; use key_dtype='int64'."
        )
