# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`Embed` for Flax NNX."""

from __future__ import annotations

import jax
from flax import nnx
from jax.typing import DTypeLike

from ..lookup import KeysLike, lookup
from ..table import Table


class Embed(nnx.Module):
    """Rows of a served table as an NNX layer, in the place of `flax.nnx.Embed`.

    The table is a static attribute: it belongs to the graph definition and never to the
    state, so it is in no checkpoint and no optimizer sees it, and gradients stop at it.
    A model that was trained with `flax.nnx.Embed` is served by putting this layer in
    its place: `model.user = hps.flax.nnx.Embed(server.table("user"))`.

    Attributes:
        table: the table, from `ParameterServer.table`.
        dtype: dtype of the rows: float32, float16 or bfloat16; default: the stored one.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> from flax import nnx as flax_nnx
        >>> from jax_hps.flax import nnx
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/user"
        >>> hps.create_table(path, np.ones((10, 4), np.float32)).close()
        >>> spec = hps.TableSpec(name="user", path=path)
        >>> with hps.ParameterServer([spec], name="nnx-example") as server:
        ...     embed = nnx.Embed(server.table("user"))
        ...     embed([1, 2, 3]).shape, len(flax_nnx.state(embed))
        ((3, 4), 0)
        >>> folder.cleanup()
    """

    def __init__(self, table: Table, *, dtype: DTypeLike | None = None) -> None:
        self.table = table
        self.dtype = dtype

    @property
    def features(self) -> int:
        """Elements in a row, as in `flax.nnx.Embed`."""
        return self.table.dim

    @property
    def num_embeddings(self) -> int:
        """Rows of the table when it was opened, as in `flax.nnx.Embed`."""
        return self.table.num_rows

    def __call__(self, keys: KeysLike) -> jax.Array:
        """Look up rows: keys [...] (see `jax_hps.lookup`) to rows [..., features]."""
        return lookup(self.table, keys, dtype=self.dtype)
