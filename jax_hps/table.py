# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`Table`: the handle by which a model names an open table."""

from __future__ import annotations

import dataclasses

from .config import KeyDtype


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table that a server has open: a name and what a trace must know of it.

    Small, frozen and hashable: a static argument of `jax.jit`, a static attribute of a
    Flax module, never a parameter. It holds no rows and no pointer; a lookup finds the
    table by its name when it runs. Comes from `ParameterServer.table`.

    Attributes:
        server: name of the server.
        model: name of the model.
        name: name of the table.
        dim: elements in a row.
        dtype: dtype of the stored rows: "float32", "float16" or "bfloat16".
        key_dtype: dtype of the keys: "int64", "int32" or "uint32".
        num_rows: rows when the table was opened.
        is_dense: whether a key is a row number.
    """

    server: str
    model: str
    name: str
    dim: int
    dtype: str
    key_dtype: KeyDtype
    num_rows: int
    is_dense: bool

    @property
    def full_name(self) -> str:
        """Identity in the process: "server/model/table"."""
        return f"{self.server}/{self.model}/{self.name}"

    @property
    def takes_32bit_keys(self) -> bool:
        """Whether int32 and uint32 keys name every row of the table."""
        if self.key_dtype != "int64":
            return True
        return self.is_dense and self.num_rows <= 2**31
