# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A DLRM in Flax Linen whose categorical features are rows of served tables.

python examples/dlrm_linen.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import jax_hps as hps
from jax_hps.flax.linen import Embed
from jax_hps.testing import scatter_keys

DIM = 16
ROWS = {"user": 1000, "item": 500, "city": 20}


class MLP(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return x


class DLRM(nn.Module):
    """Naumov et al., 2019: dense and categorical features meet in dot products."""

    tables: dict[str, hps.Table]  # static: no parameters, not in checkpoints

    @nn.compact
    def __call__(
        self, dense: jax.Array, sparse: dict[str, hps.PackedKeys]
    ) -> jax.Array:
        bottom = MLP((64, DIM))(dense)
        rows = [Embed(table)(sparse[name]) for name, table in self.tables.items()]
        features = jnp.stack([bottom, *rows], axis=1)  # [batch, features, DIM]
        products = jnp.einsum("bid,bjd->bij", features, features)
        upper = jnp.triu_indices(features.shape[1], k=1)
        x = jnp.concatenate([bottom, products[:, *upper]], axis=-1)
        return nn.Dense(1)(MLP((64, 32))(x))[:, 0]


def requests(rng: np.random.Generator, batch: int) -> dict[str, hps.PackedKeys]:
    """Keys of each feature; one in ten or so is not in its table."""
    drawn = {
        name: rng.integers(rows * 11 // 10, size=batch) for name, rows in ROWS.items()
    }
    return {name: hps.keys(scatter_keys(rows)) for name, rows in drawn.items()}


def write_tables(folder: Path, rng: np.random.Generator) -> list[hps.TableSpec]:
    """Random tables; keys are 64-bit hashes, as categorical features have them."""
    specs = []
    for name, rows in ROWS.items():
        values = rng.normal(size=(rows, DIM)).astype(np.float32)
        hps.create_table(folder / name, values, scatter_keys(np.arange(rows)))
        specs.append(hps.TableSpec(name=name, path=str(folder / name)))
    return specs


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        specs = write_tables(Path(folder), rng)
        with hps.ParameterServer(specs, name="dlrm") as server:
            model = DLRM({name: server.table(name) for name in ROWS})
            dense = jnp.asarray(rng.normal(size=(8, 13)), jnp.float32)
            sparse = requests(rng, 8)
            params = model.init(jax.random.key(0), dense, sparse)
            scores = jax.jit(model.apply)(params, dense, sparse)
            print(
                "parameters:", sum(p.size for p in jax.tree.leaves(params)), "(dense)"
            )
            print("scores:", np.asarray(scores).round(3))
            print(server.stats()["user"])


if __name__ == "__main__":
    main()
