# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Keys as they come, turned into the int64 that indexes and files hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import KeyDtype
from ..errors import KeyDtypeError, TableDataError


def as_key_array(keys: Any, what: str) -> NDArray[Any]:
    """Turn keys into an array, of the dtype that they have.

    Args:
        keys: integers of any shape: an array, an object with `to_numpy` (`PackedKeys`),
            a Python int, or (nested) lists of ints.
        what: how an error calls them.

    Returns:
        An array of integers; Python ints where they fit no dtype together.

    Raises:
        KeyDtypeError: no integers, or a Python int outside of [-2**63, 2**64).
    """
    if hasattr(keys, "to_numpy"):
        keys = keys.to_numpy()
    array = np.asarray(keys)
    if array.dtype.kind not in "iu" and not hasattr(keys, "dtype"):
        # NumPy makes floats of [1, 2**63], and of [].
        array = np.asarray(keys, dtype=object)
    if array.dtype.kind == "O":
        _check_items(array, what)
    elif array.dtype.kind not in "iu":
        raise KeyDtypeError(
            f"{what}: expected integers, got an array of {array.dtype}. Convert it "
            "with .astype(np.int64) if its values are whole numbers."
        )
    return array


def as_int64_keys(keys: Any, what: str) -> NDArray[np.int64]:
    """Turn integers of any width into int64 keys, without losing a bit.

    Signed integers are sign-extended, unsigned ones zero-extended; uint64 keeps its
    bits, so that its upper half becomes negative.

    Args:
        keys: what `as_key_array` takes.
        what: how an error calls them.

    Returns:
        int64 of the same shape, C-contiguous; may share memory with `keys`.

    Raises:
        KeyDtypeError: no integers, or a Python int outside of [-2**63, 2**64).

    Example:
        >>> as_int64_keys([1, 2**64 - 1], "keys")
        array([ 1, -1])
    """
    array = as_key_array(keys, what)
    if array.dtype.kind == "O":
        bits = [int(item) % 2**64 for item in array.flat]
        array = np.array(bits, np.uint64).reshape(array.shape)
    # astype of uint64 keeps the bits, which is what we promise.
    return array.astype(np.int64, order="C", copy=False)


def _check_items(items: NDArray[Any], what: str) -> None:
    for item in items.flat:
        if isinstance(item, bool | np.bool) or not isinstance(item, int | np.integer):
            raise KeyDtypeError(
                f"{what}: expected integers, got {item!r} ({type(item).__name__})."
            )
        if not -(2**63) <= item < 2**64:
            raise KeyDtypeError(
                f"{what}: {item} does not fit into 64 bits; expected a key in "
                "[-2**63, 2**64)."
            )


def check_not_cut(keys: Any, what: str) -> None:
    """Refuse 32-bit arrays of JAX's as keys of 64 bits, of which they may be the rest.

    Raises:
        KeyDtypeError: `jnp.asarray` or jit may have cut these keys.
    """
    is_jax = type(keys).__module__.partition(".")[0] in ("jax", "jaxlib")
    if is_jax and str(getattr(keys, "dtype", "")) in ("int32", "uint32"):
        raise KeyDtypeError(
            f"{what}: the table's keys are int64, got a jax array of {keys.dtype}, "
            "which may have lost the upper bits of its keys already. Pass the NumPy "
            "int64 array or the ints it was made from, or hps.keys(ids) of them."
        )


def check_range(keys: NDArray[Any], key_dtype: KeyDtype, what: str) -> None:
    """Check that every key is a number of the table's key dtype.

    Args:
        keys: [n], from `as_key_array`: as they came, so that -1 is not 2**64 - 1.
        key_dtype: the table's.
        what: how an error calls them.

    Raises:
        TableDataError: names the first key that does not fit.
    """
    if key_dtype == "int64":
        return
    limits = np.iinfo(key_dtype)
    outside = (keys < int(limits.min)) | (keys > int(limits.max))
    if outside.any():
        raise TableDataError(
            f"{what}: key {keys[outside.argmax()]} does not fit "
            f"key_dtype={key_dtype!r}; use key_dtype='int64'."
        )
