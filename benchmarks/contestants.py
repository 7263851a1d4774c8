# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Tables for the lookup suite: on disk and served, and the same rows in memory."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import jax_hps as hps
from jax_hps.testing import scatter_keys

from .run import Run


@dataclasses.dataclass(frozen=True)
class Contestants:
    """One table twice.

    Attributes:
        kind: "dense" or "sparse".
        table: served from disk, float32.
        resident: float32 `[rows, dim]`, a jax array.
    """

    kind: str
    table: hps.Table
    resident: jax.Array

    def keys(self, rows: NDArray[np.int64]) -> Any:
        """What a lookup is given for these rows."""
        if self.kind == "sparse":
            packed = hps.keys(scatter_keys(rows))
            packed.data.block_until_ready()
            return packed
        return self.row_numbers(rows)

    def row_numbers(self, rows: NDArray[np.int64]) -> jax.Array:
        """What `jnp.take` is given for these rows."""
        placed: jax.Array = jax.device_put(rows.astype(np.int32))
        return placed.block_until_ready()


def random_rows(run: Run, dim: int) -> NDArray[np.float32]:
    """Rows of `run.table_bytes`, uniform on [0, 1)."""
    rng = np.random.default_rng(run.seed)
    return rng.random((run.table_bytes // (4 * dim), dim), dtype=np.float32)


@contextmanager
def contestants(run: Run, kind: str, dim: int) -> Iterator[Contestants]:
    """Write a table, serve it, and hold its rows in memory as well."""
    with run.scratch(f"{kind}-{dim}") as folder:
        rows = random_rows(run, dim)
        keys = scatter_keys(np.arange(len(rows))) if kind == "sparse" else None
        hps.create_table(folder / "table", rows, keys)
        resident = jax.device_put(rows).block_until_ready()
        del rows, keys
        gc.collect()  # jax lets go of what it was given at the next collection
        with _serve(folder / "table") as server:
            server.warm("bench").wait()
            made = Contestants(kind, server.table("bench"), resident)
            _touch(made)
            yield made


def _serve(path: Path) -> hps.ParameterServer:
    spec = hps.TableSpec(name="bench", path=str(path))
    return hps.ParameterServer([spec], name="benchmark")


def _touch(made: Contestants) -> None:
    """Read every page once, and see that both sides give the same rows."""
    lookup, take = lookup_program(made), take_program(made.resident)
    num_rows, dim = made.resident.shape
    row_numbers = np.arange(0, num_rows, max(1, 4096 // (4 * dim)))
    for some in np.array_split(row_numbers, max(1, len(row_numbers) // 65536)):
        ours, theirs = lookup(made.keys(some)), take(made.row_numbers(some))
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def lookup_program(made: Contestants) -> Callable[[Any], jax.Array]:
    """A jitted lookup that waits for its result."""
    lookup = jax.jit(lambda keys: hps.lookup(made.table, keys))
    return lambda keys: lookup(keys).block_until_ready()


def take_program(resident: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A jitted `jnp.take` that waits; the rows are an argument of the program."""
    take = jax.jit(lambda rows, at: jnp.take(rows, at, axis=0, mode="clip"))
    return lambda at: take(resident, at).block_until_ready()
