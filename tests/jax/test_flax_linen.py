# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`jax_hps.flax.linen.Embed`: a DLRM reads like ordinary Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import serialization
from jax_checks import assert_same

import jax_hps as hps
from jax_hps.flax.linen import Embed


class Dlrm(nn.Module):
    """Two served embeddings, dense features, their dot products, and an MLP."""

    user: hps.Table
    item: hps.Table

    @nn.compact
    def __call__(self, batch):
        user = Embed(self.user, name="user_embed")(batch["user"])
        item = Embed(self.item, dtype="float32")(batch["item"])
        dense = nn.Dense(user.shape[-1])(batch["dense"])
        vectors = jnp.stack([user, item, dense], axis=-2)
        dots = jnp.einsum("...if,...jf->...ij", vectors, vectors)
        rows, columns = np.triu_indices(3, 1)
        features = jnp.concatenate([dense, dots[..., rows, columns]], axis=-1)
        return nn.Dense(1)(nn.relu(nn.Dense(16)(features)))[..., 0]


@pytest.fixture(scope="module")
def models(make_table):
    return make_table(8, name="user"), make_table(8, name="item", dtype="bfloat16")


@pytest.fixture(scope="module")
def tables(models, serve_module):
    server = serve_module(*models)
    return server.table("user"), server.table("item")


@pytest.fixture
def batch(models):
    user, item = models
    return {
        "user": hps.keys(user.keys[:32]),
        "item": hps.keys(np.append(item.keys[:30], [1, 2])),
        "dense": jnp.linspace(-1, 1, 32 * 3).reshape(32, 3),
    }


def test_rows_and_properties(models, tables):
    embed = Embed(tables[0], dtype="bfloat16")
    rows, variables = embed.init_with_output(jax.random.key(0), models[0].keys)
    assert_same(rows, models[0].answer(models[0].keys, "bfloat16"))
    assert variables == {}
    assert (embed.features, embed.num_embeddings) == (8, 100)
    assert (hash(embed), embed) == (hash(embed.clone()), embed.clone())


def test_a_dlrm_trains_and_its_checkpoint_holds_no_table(tables, batch):
    model = Dlrm(*tables)
    params = model.init(jax.random.key(0), batch)
    layers = {path[1].key for path, _ in jax.tree.leaves_with_path(params)}
    assert layers == {"Dense_0", "Dense_1", "Dense_2"}
    labels = jnp.asarray(np.arange(32) % 2, jnp.float32)
    optimizer = optax.sgd(0.1)

    def loss(params, batch):
        scores = model.apply(params, batch)
        return optax.sigmoid_binary_cross_entropy(scores, labels).mean()

    @jax.jit
    def step(params, state, batch):
        value, grads = jax.value_and_grad(loss)(params, batch)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    losses = []
    for _ in range(20):
        params, state, value = step(params, state, batch)
        losses.append(value)
    assert losses[-1] < losses[0]
    checkpoint = serialization.to_bytes(params)
    restored = serialization.from_bytes(params, checkpoint)
    assert_same(model.apply(restored, batch), model.apply(params, batch))
    assert len(checkpoint) < 4 * tables[0].num_rows * tables[0].dim


def test_scores_are_those_of_resident_embeddings(models, tables, batch):
    user, item = models
    model = Dlrm(*tables)
    params = model.init(jax.random.key(0), batch)
    served = jax.jit(model.apply)(params, batch)

    def apply(params, rows, batch):
        """The same model, but for where rows come from."""

        def resident(call, args, kwargs, context):
            if isinstance(context.module, Embed):
                return rows[context.module.table.name]
            return call(*args, **kwargs)

        with nn.intercept_methods(resident):
            return model.apply(params, batch)

    rows = {
        "user": jnp.asarray(user.answer(batch["user"].to_numpy())),
        "item": jnp.asarray(item.answer(batch["item"].to_numpy(), np.float32)),
    }
    assert_same(served, jax.jit(apply)(params, rows, batch))


def test_lifted_transformations(models, tables):
    ids = models[0].keys[:12].reshape(3, 4)
    keys = hps.keys(ids)
    mapped = nn.vmap(Embed, variable_axes={}, split_rngs={})(tables[0])
    assert_same(mapped.apply({}, keys), models[0].answer(ids))
    remat = nn.remat(Embed)(tables[0])
    assert_same(jax.jit(remat.apply)({}, keys), models[0].answer(ids))
    jitted = nn.jit(Embed)(tables[0])
    assert_same(jitted.apply({}, keys), models[0].answer(ids))


def test_tabulate(tables, batch):
    text = Dlrm(*tables).tabulate(jax.random.key(0), batch)
    assert "user_embed" in text
