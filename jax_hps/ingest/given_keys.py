# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Keys that the caller holds, for rows that come from a file."""

from __future__ import annotations

from numpy.typing import ArrayLike, DTypeLike

from ..storage.dtypes import key_dtype_name
from ..storage.key_arrays import as_key_array, check_not_cut
from .arrays import HeldArray


def given_keys(keys: ArrayLike | None, key_dtype: DTypeLike | None) -> HeldArray | None:
    """Take keys as `create_table` takes them.

    Args:
        keys: integers of shape [rows]; None: there are none.
        key_dtype: of the table; None: int64.

    Raises:
        KeyDtypeError: no integers, or a 32-bit jax array where the table's are int64.
    """
    if keys is None:
        return None
    if key_dtype_name(key_dtype) == "int64":
        check_not_cut(keys, "keys")
    return HeldArray("keys", as_key_array(keys, "keys"))
