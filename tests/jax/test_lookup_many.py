# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`lookup_many`: one call, and the rows that single lookups would give."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_checks import assert_same, lookups

import jax_hps as hps


@pytest.fixture
def models(make_table):
    return {
        "user": make_table(4, name="user"),
        "item": make_table(7, dtype="bfloat16", default=np.arange(7), name="item"),
        "shop": make_table(1, dtype="float16", sparse=False, name="shop"),
    }


@pytest.fixture
def tables(models, serve):
    server = serve(*models.values())
    return {name: server.table(name) for name in models}


@pytest.fixture
def ids(models):
    return {
        "user": np.append(models["user"].keys[:5], models["item"].keys[:2]),
        "item": np.append(models["item"].keys[:3], 7).reshape(2, 2),
        "shop": np.array(99),
    }


def requests(tables, ids):
    return {name: (tables[name], hps.keys(keys)) for name, keys in ids.items()}


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
def test_dims_dtypes_and_shapes_may_differ(models, tables, ids, dtype):
    @jax.jit
    def find(packed):
        pairs = {name: (tables[name], keys) for name, keys in packed.items()}
        return hps.lookup_many(pairs, dtype=dtype)

    packed = {name: hps.keys(keys) for name, keys in ids.items()}
    rows = find(packed)
    assert rows.keys() == ids.keys()
    for name, keys in ids.items():
        assert_same(rows[name], models[name].answer(keys, dtype))
    assert lookups(find.lower(packed).compile().as_text()) == 1


def test_return_found(models, tables, ids):
    answers = hps.lookup_many(requests(tables, ids), return_found=True)
    for name, (rows, found) in answers.items():
        assert_same(rows, models[name].answer(ids[name]))
        assert_same(found, models[name].known(ids[name]))


def test_keys_of_different_kinds_in_one_call(models, tables):
    keys = {
        "user": hps.keys(models["user"].keys),
        "item": models["item"].keys.tolist(),
        "shop": jnp.arange(90, 110),
    }
    rows = hps.lookup_many({name: (tables[name], keys[name]) for name in keys})
    assert_same(rows["user"], models["user"].rows)
    assert_same(rows["item"], models["item"].rows)
    assert_same(rows["shop"], models["shop"].answer(np.arange(90, 110)))


def test_one_table_more_than_once_with_overlapping_keys(models, tables):
    keys = models["user"].keys
    table = tables["user"]
    rows = hps.lookup_many({1: (table, keys[:9]), 2: (table, keys[5:]), 3: (table, 5)})
    assert_same(rows[1], models["user"].rows[:9])
    assert_same(rows[2], models["user"].rows[5:])
    assert_same(rows[3], models["user"].default)


def test_any_mapping_in_its_order(tables):
    pairs = types.MappingProxyType({n: (tables[n], [1]) for n in ("shop", "item")})
    assert list(hps.lookup_many(pairs)) == ["shop", "item"]
    assert hps.lookup_many({}) == {}
    assert hps.lookup_many({}, return_found=True) == {}


def test_vmap_over_some_of_the_keys(models, tables):
    user, item = models["user"], models["item"]

    def find(user_keys, item_keys):
        pairs = {"u": (tables["user"], user_keys), "i": (tables["item"], item_keys)}
        return hps.lookup_many(pairs, return_found=True)

    ids = user.keys[:6].reshape(3, 2)
    mapped = jax.vmap(find, (0, None), {"u": (0, 0), "i": (None, None)})
    answers = mapped(hps.keys(ids), hps.keys(item.keys))
    assert_same(answers["u"][0], user.answer(ids))
    assert_same(answers["u"][1], user.known(ids))
    assert_same(answers["i"][0], item.rows)


def test_servers_may_differ(make_table, serve):
    models = [make_table(3, name="same"), make_table(5, name="same")]
    tables = [serve(model).table("same") for model in models]
    ids = np.concatenate([model.keys for model in models])
    rows = hps.lookup_many({t.server: (t, ids) for t in tables})
    for table, model in zip(tables, models, strict=True):
        assert_same(rows[table.server], model.answer(ids))


def test_errors_name_the_table(tables):
    pairs = {"a": (tables["shop"], jnp.arange(2)), "b": (tables["user"], jnp.arange(2))}
    with pytest.raises(hps.KeyDtypeError, match="user"):
        hps.lookup_many(pairs)
