# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`lookup` of one table: every row exact, whatever the keys and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_checks import assert_same

import jax_hps as hps

ROW_DTYPES = ["float32", "float16", "bfloat16"]


@pytest.fixture
def jitted():
    """`lookup` inside jit, for one table."""
    return lambda table, **options: jax.jit(lambda k: hps.lookup(table, k, **options))


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dim", [1, 3, 8, 129])
@pytest.mark.parametrize("default", ["scalar", "vector"])
def test_known_unknown_and_duplicate_keys(served, jitted, sparse, dim, default):
    vector = np.linspace(-1, 1, dim)
    table, model = served(
        dim, sparse=sparse, default=0.5 if default == "scalar" else vector
    )
    ids = np.concatenate([model.keys[::7], model.unknown, model.keys[:9], [5, 5]])
    for find in (hps.lookup, lambda _, k: jitted(table)(k)):
        assert_same(find(table, hps.keys(ids)), model.answer(ids))
    rows, found = jitted(table, return_found=True)(hps.keys(ids))
    assert_same(rows, model.answer(ids))
    assert_same(found, model.known(ids))


def test_every_64_bit_key_is_a_key(served, jitted):
    ids = np.array([0, -1, 1, 2**63 - 1, -(2**63), 2**32, -(2**32), 2**40 + 3])
    table, model = served(4, keys=ids, num_rows=len(ids))
    assert_same(jitted(table)(hps.keys(ids)), model.rows)
    truncated = ids.astype(np.int32).astype(np.int64)
    assert_same(jitted(table)(hps.keys(truncated)), model.answer(truncated))


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (4, 0, 2), (1, 2, 3, 4)])
def test_keys_of_any_shape(served, jitted, shape):
    table, model = served(6, default=np.arange(6))
    ids = np.resize(np.append(model.keys, model.unknown), shape)
    rows, found = jitted(table, return_found=True)(hps.keys(ids))
    assert_same(rows, model.answer(ids))
    assert_same(found, model.known(ids))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("sparse", [True, False])
def test_jax_keys_of_every_dtype(served, jitted, dtype, sparse):
    keys = np.array([-1, 0, 3, 2**31 - 1, -(2**31)]) if sparse else None
    if sparse and dtype.startswith("u"):
        keys = np.array([0, 3, 2**31, 2**32 - 1])
    narrow = dtype if dtype.endswith("32") else None
    table, model = served(
        keys=keys,
        sparse=sparse,
        num_rows=100 if keys is None else len(keys),
        stored_key_dtype=narrow if sparse else None,
        default=-1.0,
    )
    ids = np.append(model.keys, [17, 100, 2**31 - 1]).astype(dtype)
    with jax.enable_x64(dtype.endswith("64")):
        array = jnp.asarray(ids)
    assert array.dtype == dtype
    assert_same(jitted(table)(array), model.answer(ids.astype(np.int64)))


def test_int32_is_sign_extended_and_uint32_zero_extended(served):
    table, model = served(keys=[-1, 2**32 - 1], num_rows=2, key_dtype="int32")
    assert_same(hps.lookup(table, jnp.array([-1], jnp.int32)), model.rows[:1])
    assert_same(hps.lookup(table, jnp.array([-1]).astype(jnp.uint32)), model.rows[1:])


def test_numpy_and_python_keys_are_packed(served):
    table, model = served()
    key = int(model.keys[3])
    for ids in (
        model.keys[:5],
        model.keys[:5].tolist(),
        model.keys[:4].reshape(2, 2).astype(np.uint64),
        model.keys[3],
        key,
        [],
    ):
        assert_same(hps.lookup(table, ids), model.answer(ids))
    constant = jax.jit(lambda: hps.lookup(table, [key, 5]))
    assert_same(constant(), model.answer([key, 5]))


def numbers_hard_to_round():
    """Random bits as float32 [768, 33], and ties of bfloat16 and of float16."""
    random = np.random.default_rng(0)
    bits = random.integers(2**32, size=(128, 33), dtype=np.uint32)
    near_one = random.standard_normal(bits.shape, np.float32).view(np.uint32)
    every = np.concatenate([bits, near_one])
    ties = [every & 0xFFFF0000 | 0x8000, every & 0xFFFFE000 | 0x1000]
    values = np.concatenate([every, *ties]).view(np.float32)
    return np.where(np.isnan(values), np.float32(-0.0), values)


@pytest.mark.parametrize("stored", ROW_DTYPES)
@pytest.mark.parametrize("out", [*ROW_DTYPES, None])
def test_rows_of_every_dtype_are_those_of_astype(served, jitted, stored, out):
    with np.errstate(over="ignore", under="ignore"):
        rows = numbers_hard_to_round().astype(stored)
    table, model = served(rows=rows, dtype=stored, default=0.1)
    assert table.dtype == stored
    ids = np.append(model.keys, 5)
    assert_same(jitted(table, dtype=out)(hps.keys(ids)), model.answer(ids, out))


def test_nan_stays_nan(served):
    rows = np.array([[np.nan, 1, -np.nan]], np.float32)
    table, _ = served(rows=rows, sparse=False)
    for dtype in ROW_DTYPES:
        found = np.asarray(hps.lookup(table, [0], dtype=dtype)).astype(np.float32)
        np.testing.assert_array_equal(found, rows)


def test_output_dtype_in_every_spelling(served):
    table, _ = served()
    for dtype in ("bfloat16", jnp.bfloat16, jnp.dtype("bfloat16")):
        assert hps.lookup(table, [1], dtype=dtype).dtype == jnp.bfloat16


def test_with_64_bit_jax(served, jitted):
    table, model = served(dtype="bfloat16", default=1.0)
    ids = np.append(model.keys, model.unknown)
    with jax.enable_x64(True):
        words = ids.astype(np.uint32), (ids >> 32).astype(np.uint32)
        for keys in (
            jnp.asarray(ids),
            ids.tolist(),
            hps.keys(ids),
            hps.pack_keys(*words),
        ):
            assert_same(hps.lookup(table, keys), model.answer(ids))
        rows, found = jitted(table, return_found=True)(ids)
        assert_same(rows, model.answer(ids))
        assert_same(found, model.known(ids))
        assert_same(hps.lookup(table, hps.pack_keys(5, 0)), model.answer(5))


def test_the_jaxpr_names_tables(served):
    table, _ = served(4)
    jaxpr = str(jax.make_jaxpr(lambda k: hps.lookup(table, k))(hps.keys([1, 2])))
    assert f"tables=({table.full_name})" in jaxpr
    assert "f32[2,4] = hps_lookup" in jaxpr
