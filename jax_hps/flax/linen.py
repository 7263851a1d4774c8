# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`Embed` for Flax Linen."""

from __future__ import annotations

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from ..lookup import KeysLike, lookup
from ..table import Table


class Embed(nn.Module):
    """Rows of a served table as a Linen layer, in the place of `flax.linen.Embed`.

    The table is a static attribute: the layer has no parameters, adds nothing to
    checkpoints, and gradients stop at it.

    Attributes:
        table: the table, from `ParameterServer.table`.
        dtype: dtype of the rows: float32, float16 or bfloat16; default: the stored one.

    Example:
        >>> import tempfile, jax, numpy as np, jax_hps as hps
        >>> from jax_hps.flax import linen
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/user"
        >>> hps.create_table(path, np.ones((10, 4), np.float32)).close()
        >>> spec = hps.TableSpec(name="user", path=path)
        >>> with hps.ParameterServer([spec], name="linen-example") as server:
        ...     embed = linen.Embed(server.table("user"))
        ...     rows, params = embed.init_with_output(jax.random.key(0), [1, 2, 3])
        >>> rows.shape, params
        ((3, 4), {})
        >>> folder.cleanup()
    """

    table: Table
    dtype: DTypeLike | None = None

    @property
    def features(self) -> int:
        """Elements in a row, as in `flax.linen.Embed`."""
        return self.table.dim

    @property
    def num_embeddings(self) -> int:
        """Rows of the table when it was opened, as in `flax.linen.Embed`."""
        return self.table.num_rows

    def __call__(self, keys: KeysLike) -> jax.Array:
        """Look up rows: keys [...] (see `jax_hps.lookup`) to rows [..., features]."""
        return lookup(self.table, keys, dtype=self.dtype)
