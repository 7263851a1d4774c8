# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The options that every function of `jax_hps.ingest` passes on to `create_table`."""

from __future__ import annotations

from typing import TypedDict

from numpy.typing import ArrayLike, DTypeLike


class TableOptions(TypedDict, total=False):
    """Keyword arguments of `create_table`, with its defaults.

    Attributes:
        dtype: dtype to store, "float32", "float16" or "bfloat16"; None: the rows' own,
            which has to be one of them.
        default: what unknown keys answer, a number or a vector of shape [dim]; 0.0.
        key_dtype: "int64", "int32" or "uint32"; None: int64.
        overwrite: replace the table that is there; False.
        progress: show a progress bar, or log a line every ten seconds; False.
    """

    dtype: DTypeLike | None
    default: ArrayLike
    key_dtype: DTypeLike | None
    overwrite: bool
    progress: bool
