# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What `lookup` refuses while it is traced, and how a failed lookup is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax_checks import CALL_ERRORS, assert_same

import jax_hps as hps
from jax_hps.errors import ArgumentError


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint32])
@pytest.mark.parametrize("trace", ["eager", "jit"])
def test_32_bit_keys_on_a_64_bit_table(served, dtype, trace):
    table, _ = served(name="wide")
    find = jax.jit(hps.lookup, static_argnums=0) if trace == "jit" else hps.lookup
    with pytest.raises(hps.KeyDtypeError) as caught:
        find(table, jnp.arange(3).astype(dtype))
    message = str(caught.value)
    for part in ("wide", "int64", str(jnp.dtype(dtype)), "hps.keys", "hps.pack_keys"):
        assert part in message


@pytest.mark.parametrize("ids", [np.array([2**40 + 3]), np.int64(2**40 + 3), 5, [5]])
def test_numpy_keys_cut_by_jit_are_an_error(served, ids):
    table, _ = served()
    with pytest.raises(hps.KeyDtypeError, match="may have lost their upper bits"):
        jax.jit(lambda k: hps.lookup(table, k))(jnp.asarray(ids) if ids == [5] else ids)


def test_dense_tables_take_32_bit_keys(served):
    table, model = served(sparse=False)
    assert_same(hps.lookup(table, jnp.arange(5)), model.rows[:5])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int8", "uint16"])
def test_keys_of_a_wrong_dtype(served, dtype):
    table, _ = served(sparse=False)
    with pytest.raises(hps.KeyDtypeError, match=f"got a jax array of {dtype}"):
        hps.lookup(table, jnp.ones(3, dtype))


@pytest.mark.parametrize("keys", [1.5, [True], np.ones(3), "7", None])
def test_what_is_no_key(served, keys):
    table, _ = served(sparse=False)
    with pytest.raises(hps.KeyDtypeError, match="expected integers"):
        hps.lookup(table, keys)


def test_words_that_a_transformation_took_apart(served):
    table, _ = served()
    last_axis = jax.vmap(lambda k: hps.lookup(table, k), in_axes=-1)
    with pytest.raises(hps.KeyDtypeError, match=r"over uint32\[.* got uint32\[5\]"):
        last_axis(hps.keys(range(5)))


@pytest.mark.parametrize("dtype", [jnp.int32, "float64", jnp.float8_e4m3fn])
def test_rows_of_a_wrong_dtype(served, dtype):
    table, _ = served()
    with pytest.raises(hps.TableDataError, match="expected one of float32"):
        hps.lookup(table, [1], dtype=dtype)


@pytest.mark.parametrize("table", ["user", None, hps.Table, np.arange(3)])
def test_what_is_no_table(table):
    with pytest.raises(ArgumentError, match=r"expected a Table.*\.table\(") as caught:
        hps.lookup(table, [1])
    assert isinstance(caught.value, TypeError)


def test_a_table_is_not_traced(served):
    table, model = served(sparse=False)
    with pytest.raises(ArgumentError, match=r"is static.*static_argnames"):
        jax.jit(hps.lookup)(table, jnp.arange(3))
    find = jax.jit(hps.lookup, static_argnames="table")
    assert_same(find(table, jnp.arange(3)), model.rows[:3])


def test_what_is_no_mapping_of_requests(served):
    table, _ = served()
    for requests in ([], [(table, [1])], table):
        with pytest.raises(ArgumentError, match=r"expected a mapping.* got "):
            hps.lookup_many(requests)
    for pair in (table, (table,), hps.keys([1, 2])):
        with pytest.raises(ArgumentError, match=r"\(table, keys\) for 'u', got "):
            hps.lookup_many({"u": pair})


def test_a_lookup_on_a_resolver_thread_would_wait_for_itself(served, monkeypatch):
    table, _ = served()
    monkeypatch.setattr("jax_hps.server.in_resolver_thread", lambda: True)
    with pytest.raises(hps.HpsError, match="wait for itself"):
        hps.lookup(table, [1])


@pytest.fixture
def mesh():
    return jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))


@pytest.fixture
def strict_about_keys(make_table, serve):
    model = make_table(4, default=1.0, on_missing="error")
    server = serve(model)
    return server, server.table(model.name), model


def test_a_missing_key_raises_in_the_call_on_one_device(strict_about_keys):
    server, table, model = strict_about_keys
    find = jax.jit(lambda k: hps.lookup(table, k))
    assert_same(find(hps.keys(model.keys)), model.rows)
    with pytest.raises(CALL_ERRORS, match="4711") as caught:
        jax.block_until_ready(find(hps.keys([model.keys[0], 4711])))
    assert model.name in str(caught.value)
    with pytest.raises(CALL_ERRORS, match="4711"):
        jax.block_until_ready(find(hps.keys([model.keys[0], 4711])))
    server.check()


def test_several_devices_answer_the_default_and_check_raises(strict_about_keys, mesh):
    server, table, model = strict_about_keys
    ids = np.append(model.keys[:15], 4711)
    sharded = jax.device_put(hps.keys(ids), NamedSharding(mesh, P("x")))

    # The collective is what an error on one device would leave waiting.
    @jax.jit
    def find(keys):
        rows = hps.lookup(table, keys)
        return rows, rows.sum()

    assert_same(find(sharded)[0], model.answer(ids))
    with pytest.raises(hps.MissingKeyError, match="4711"):
        server.check()
    server.check()  # told once


def test_shard_map_with_a_collective_survives_a_missing_key(strict_about_keys, mesh):
    server, table, _ = strict_about_keys

    def total(keys):
        return jax.lax.psum(hps.lookup(table, keys).sum(), "x")

    find = jax.jit(jax.shard_map(total, mesh=mesh, in_specs=P("x"), out_specs=P()))
    jax.block_until_ready(find(hps.keys(np.full(16, 4711))))
    with pytest.raises(hps.MissingKeyError, match="4711"):
        server.check()
