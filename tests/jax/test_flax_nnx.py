# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`jax_hps.flax.nnx.Embed`: a two-tower model reads like ordinary Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from jax_checks import assert_same

import jax_hps as hps
from jax_hps.flax.nnx import Embed


class TwoTower(nnx.Module):
    """Embeddings of users and items, an MLP on each, and their dot product."""

    def __init__(self, user, item, *, rngs):
        self.user, self.item = user, item
        self.user_tower = nnx.Linear(8, 4, rngs=rngs)
        self.item_tower = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, user, item):
        users = self.user_tower(self.user(user))
        return (users * self.item_tower(self.item(item))).sum(-1)


@pytest.fixture(scope="module")
def models(make_table):
    return (
        make_table(8, name="user", sparse=False),
        make_table(8, name="item", sparse=False),
    )


@pytest.fixture(scope="module")
def tables(models, serve_module):
    server = serve_module(*models)
    return server.table("user"), server.table("item")


@pytest.fixture
def model(tables):
    return TwoTower(*map(Embed, tables), rngs=nnx.Rngs(0))


@pytest.fixture
def batch():
    ids = np.random.default_rng(0).integers(100, size=(2, 64))
    return hps.keys(ids[0]), hps.keys(ids[1])


def test_rows_and_properties(models, tables):
    embed = Embed(tables[0], dtype=jnp.bfloat16)
    ids = np.array([[5, 1000]])
    assert_same(embed(ids), models[0].answer(ids, "bfloat16"))
    assert (embed.features, embed.num_embeddings) == (8, 100)


def test_tables_belong_to_the_graph_and_never_to_the_state(model, batch):
    graph, state = nnx.split(model)
    paths = {path[0] for path, _ in nnx.to_flat_state(state)}
    assert paths == {"user_tower", "item_tower"}
    merged = nnx.merge(graph, state)
    assert merged.user.table == model.user.table
    assert_same(merged(*batch), model(*batch))
    assert hash(graph) == hash(nnx.split(model)[0])


def test_a_two_tower_model_trains(model, batch):
    optimizer = nnx.Optimizer(model, optax.sgd(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, user, item):
        def loss(model):
            return jnp.square(model(user, item) - 1).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    losses = [step(model, optimizer, *batch) for _ in range(20)]
    assert losses[-1] < losses[0]


def test_a_checkpoint_holds_no_table(model, batch, tables, tmp_path):
    graph, state = nnx.split(model)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "model", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "model", state)
    assert_same(nnx.merge(graph, restored)(*batch), model(*batch))
    held = sum(leaf.size for leaf in jax.tree.leaves(restored))
    assert held == 2 * (8 * 4 + 4)


def test_a_trained_model_is_served_by_surgery(models, tables, batch):
    resident = [nnx.Embed(100, 8, rngs=nnx.Rngs(0)) for _ in models]
    for layer, trained in zip(resident, models, strict=True):
        layer.embedding[...] = jnp.asarray(trained.rows)
    model = TwoTower(*resident, rngs=nnx.Rngs(1))
    ids = [jnp.asarray(keys.to_numpy().astype(np.int32)) for keys in batch]
    expected = nnx.jit(TwoTower.__call__)(model, *ids)
    model.user, model.item = map(Embed, tables)
    scores = nnx.jit(TwoTower.__call__)(model, *batch)
    assert_same(scores, expected)


def test_the_table_of_a_layer_can_be_replaced(model, models, tables):
    model.user.table = tables[1]
    assert_same(nnx.jit(Embed.__call__)(model.user, jnp.arange(5)), models[1].rows[:5])


def test_lifted_transformations(models, tables):
    embed, ids = Embed(tables[0]), np.arange(12).reshape(3, 4)
    keys, expected = hps.keys(ids), models[0].answer(ids)
    call = lambda layer, k: layer(k)  # noqa: E731
    assert_same(nnx.vmap(call, in_axes=(None, 0))(embed, keys), expected)
    assert_same(nnx.jit(nnx.remat(call))(embed, keys), expected)
    scanned = nnx.scan(lambda layer, k: layer(k), in_axes=(None, 0), out_axes=0)
    assert_same(scanned(embed, keys), expected)


def test_eval_mode_and_display(model):
    model.eval()
    assert "table=Table(" in repr(model)


def test_without_flax_the_error_tells_the_cure(run_python):
    code = """
import sys
sys.modules["flax"] = None
try:
    from jax_hps.flax import nnx
except ImportError as error:
    print(error)
"""
    assert "pip install 'jax_hps[flax]'" in run_python(code).stdout


def test_importing_jax_hps_does_not_import_flax(run_python):
    code = """
import sys, jax_hps, jax_hps.flax
print("flax" in sys.modules)
print(jax_hps.flax.nnx.Embed.__name__, jax_hps.flax.linen.Embed.__name__)
"""
    assert run_python(code).stdout == "False\nEmbed Embed\n"
