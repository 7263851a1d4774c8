# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A two-tower model in Flax NNX, trained with its tables and served from disk.

python examples/two_tower_nnx.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import jax_hps as hps
from jax_hps.flax.nnx import Embed

DIM = 16
ROWS = {"user": 1000, "item": 500}


class Tower(nnx.Module):
    """A row and two layers on top of it."""

    def __init__(self, rows: int, *, rngs: nnx.Rngs) -> None:
        self.embed: nnx.Embed | Embed = nnx.Embed(rows, DIM, rngs=rngs)
        self.hidden = nnx.Linear(DIM, 32, rngs=rngs)
        self.out = nnx.Linear(32, DIM, rngs=rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        return self.out(nnx.relu(self.hidden(self.embed(ids))))


class TwoTower(nnx.Module):
    """The score of a pair is the dot product of its towers."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.user = Tower(ROWS["user"], rngs=rngs)
        self.item = Tower(ROWS["item"], rngs=rngs)

    def __call__(self, users: jax.Array, items: jax.Array) -> jax.Array:
        return (self.user(users) * self.item(items)).sum(-1)


score = nnx.jit(lambda model, users, items: model(users, items))


def write_tables(model: TwoTower, folder: Path) -> list[hps.TableSpec]:
    """Move the tables of both towers to disk; ids are row numbers."""
    specs = []
    for name in ROWS:
        rows = getattr(model, name).embed.embedding[...]
        hps.create_table(folder / name, np.asarray(rows))
        specs.append(hps.TableSpec(name=name, path=str(folder / name)))
    return specs


def main() -> None:
    model = TwoTower(rngs=nnx.Rngs(0))  # training would go here
    users, items = np.arange(8, dtype=np.int32), np.arange(8, dtype=np.int32)
    resident = score(model, users, items)
    with tempfile.TemporaryDirectory() as folder:
        specs = write_tables(model, Path(folder))
        with hps.ParameterServer(specs, name="two-tower") as server:
            for name in ROWS:
                getattr(model, name).embed = Embed(server.table(name))
            served = score(model, users, items)
            parameters = jax.tree.leaves(nnx.state(model, nnx.Param))
            print("parameters:", sum(p.size for p in parameters), "(dense)")
            print("scores:", np.asarray(served).round(3))
            print("bit-identical:", np.array_equal(resident, served))
            print(server.stats()["user"])


if __name__ == "__main__":
    main()
