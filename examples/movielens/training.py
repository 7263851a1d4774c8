# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Plain Flax and optax; nothing here knows of jax_hps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from dataset import Dataset, liked
from flax import linen as nn
from model import Ranker
from numpy.typing import NDArray

DIM = 16
BATCH = 512
UNKNOWN_SHARE = 0.1

Params = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with its tables in memory.

    Both tables end in one row for whatever has no row of its own.

    Attributes:
        model: the model over `flax.linen.Embed` layers.
        params: all of its parameters, the tables included.
        user_ids: the users that have a row, ascending; int64 [users].
    """

    model: Ranker
    params: Params
    user_ids: NDArray[np.int64]

    def table(self, name: str) -> NDArray[np.float32]:
        """Rows of the table "user" or "item", the unknown's row last."""
        return np.asarray(self.params[name]["embedding"])


class Batch(NamedTuple):
    """Rows of users and items in the tables, and whether the item was liked."""

    users: jax.Array
    items: jax.Array
    target: jax.Array


def user_rows(
    user_ids: NDArray[np.int64], users: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Row of each user; the last row for those without one."""
    rows = np.searchsorted(user_ids, users)
    rows[~np.isin(users, user_ids)] = len(user_ids)
    return rows.astype(np.int32)


def train(data: Dataset, *, epochs: int, seed: int = 0) -> Trained:
    """Learn to tell liked items from the others.

    Now and then a user or an item is shown to the model as unknown, so that the
    unknown's row learns what to say of newcomers.
    """
    user_ids = np.unique(data.train.users)
    model = Ranker(
        user=nn.Embed(len(user_ids) + 1, DIM), item=nn.Embed(data.num_items + 1, DIM)
    )
    whole = Batch(
        jnp.asarray(user_rows(user_ids, data.train.users)),
        jnp.asarray(data.train.items - 1, jnp.int32),
        jnp.asarray(liked(data.train)),
    )
    key = jax.random.key(seed)
    params = model.init(key, whole.users[:1], whole.items[:1])["params"]
    params = _fit(model, params, whole, key=key, epochs=epochs)
    params["item"] = {"embedding": _filled(params["item"]["embedding"], whole.items)}
    return Trained(model, params, user_ids)


def _fit(
    model: Ranker, params: Params, whole: Batch, *, key: jax.Array, epochs: int
) -> Params:
    """Run all epochs in one compiled program."""
    num_batches = len(whole.target) // BATCH
    schedule = optax.cosine_decay_schedule(3e-3, epochs * num_batches)
    optimizer = optax.adamw(schedule, weight_decay=0.05)

    def step(state: Any, key_and_rows: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        params, moments = state
        key, rows = key_and_rows
        batch = Batch(*(column[rows] for column in whole))
        gradients = jax.grad(functools.partial(_loss, model))(params, batch, key)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), None

    def epoch(state: Any, key: jax.Array) -> tuple[Any, None]:
        order = jax.random.permutation(key, len(whole.target))
        rows = order[: num_batches * BATCH].reshape(num_batches, BATCH)
        return jax.lax.scan(step, state, (jax.random.split(key, num_batches), rows))

    @jax.jit
    def run(params: Params) -> Params:
        keys = jax.random.split(key, epochs)
        (params, _), _ = jax.lax.scan(epoch, (params, optimizer.init(params)), keys)
        return params

    learned: Params = run(params)
    return learned


def _loss(model: Ranker, params: Params, batch: Batch, key: jax.Array) -> jax.Array:
    hide_users, hide_items = jax.random.bernoulli(
        key, UNKNOWN_SHARE, (2, *batch.target.shape)
    )
    users = jnp.where(hide_users, params["user"]["embedding"].shape[0] - 1, batch.users)
    items = jnp.where(hide_items, params["item"]["embedding"].shape[0] - 1, batch.items)
    logits = model.apply({"params": params}, users, items)
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, batch.target))


def _filled(table: jax.Array, trained_rows: jax.Array) -> jax.Array:
    """Give rows that were never trained the values of the last row, the unknown's."""
    trained = jnp.zeros(len(table), bool).at[trained_rows].set(True)
    return jnp.where(trained[:, None], table, table[-1])
