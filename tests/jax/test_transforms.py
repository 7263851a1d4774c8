# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A lookup under every transformation of JAX, against the rows it must give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_checks import assert_same

import jax_hps as hps

DIM = 4


@pytest.fixture(scope="module")
def model(make_table):
    return make_table(DIM, default=np.arange(DIM))


@pytest.fixture(scope="module")
def table(model, serve_module):
    return serve_module(model).table(model.name)


@pytest.fixture(scope="module")
def ids(model):
    """Known and unknown keys: int64 [2, 3, 5]."""
    return np.resize(np.append(model.keys[:23], model.unknown), (2, 3, 5))


@pytest.fixture
def find(table):
    return lambda keys: hps.lookup(table, keys)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("out_axis", [0, 1, 3])
def test_vmap_over_any_axis(find, model, ids, axis, out_axis):
    mapped = jax.vmap(find, axis, out_axis)
    expected = np.moveaxis(model.answer(ids), axis, out_axis)
    assert_same(jax.jit(mapped)(hps.keys(ids)), expected)


def test_vmap_of_vmap_of_single_keys(find, model, ids):
    mapped = jax.vmap(jax.vmap(jax.vmap(find)))
    assert_same(mapped(hps.keys(ids)), model.answer(ids))


def test_vmap_adds_no_loop(find, ids):
    jaxpr = str(jax.make_jaxpr(jax.vmap(jax.vmap(find)))(hps.keys(ids)))
    assert jaxpr.count("hps_lookup") == 1
    assert "scan" not in jaxpr
    assert "while" not in jaxpr


def test_vmap_with_found_and_unbatched_keys(table, model, ids):
    keys = hps.keys(ids[0])
    found = jax.vmap(lambda _, k: hps.lookup(table, k, return_found=True), (0, None))
    rows, known = found(jnp.arange(3), keys)
    assert_same(rows, np.stack([model.answer(ids[0])] * 3))
    assert_same(known, np.stack([model.known(ids[0])] * 3))


def test_scan_over_keys(find, model, ids):
    def step(carry, keys):
        rows = find(keys)
        return carry + rows.sum(), rows

    total, rows = jax.jit(lambda k: lax.scan(step, jnp.float32(0), k))(hps.keys(ids))
    assert_same(rows, model.answer(ids))
    np.testing.assert_allclose(total, model.answer(ids).sum(), rtol=1e-5)


def test_scan_whose_keys_do_not_change(find, model, ids):
    keys = hps.keys(ids[0, 0])
    _, rows = jax.jit(lambda k: lax.scan(lambda c, _: (c, find(k)), 0, length=3))(keys)
    assert_same(rows, np.stack([model.answer(ids[0, 0])] * 3))


def test_while_and_fori_loop(find, model, ids):
    keys = hps.keys(ids.ravel())

    def last(carry):
        i, _ = carry
        return i + 1, find(keys[i])

    init = (0, jnp.zeros(DIM))
    _, row = jax.jit(lambda: lax.while_loop(lambda c: c[0] < 7, last, init))()
    assert_same(row, model.answer(ids.ravel()[6]))

    def fill(i, rows):
        return rows.at[i].set(find(keys[i]))

    rows = jax.jit(lambda: lax.fori_loop(0, 7, fill, jnp.ones((7, DIM))))()
    assert_same(rows, model.answer(ids.ravel()[:7]))


def test_keys_that_depend_on_rows(make_table, serve):
    chain = np.roll(np.arange(10), -3).astype(np.float32)[:, None]
    model = make_table(rows=chain, sparse=False)
    table = serve(model).table(model.name)

    def follow(_, key):
        return hps.lookup(table, key)[0].astype(jnp.int32)

    assert jax.jit(lambda: lax.fori_loop(0, 4, follow, jnp.int32(1)))() == 3


@pytest.mark.parametrize("branch", [True, False])
def test_cond_and_switch(find, model, ids, branch):
    keys = hps.keys(ids)
    zeros = jnp.zeros((*ids.shape, DIM))
    expected = model.answer(ids) if branch else np.asarray(zeros)
    conditional = jax.jit(lambda p, k: lax.cond(p, find, lambda _: zeros, k))
    assert_same(conditional(branch, keys), expected)
    switched = jax.jit(lambda i, k: lax.switch(i, [lambda _: zeros, find], k))
    assert_same(switched(int(branch), keys), expected)
    batched = jax.vmap(conditional, (0, None))(jnp.array([branch]), keys)
    assert_same(batched, expected[None])


def loss(weights, keys, find):
    return jnp.tanh(find(keys) @ weights).sum()


def reference_loss(weights, rows):
    return jnp.tanh(rows @ weights).sum()


def test_grad_of_parameters(find, model, ids):
    weights = jnp.linspace(-1, 1, DIM)
    rows = jnp.asarray(model.answer(ids))
    value, grad = jax.jit(jax.value_and_grad(loss), static_argnums=2)(
        weights, hps.keys(ids), find
    )
    expected, expected_grad = jax.jit(jax.value_and_grad(reference_loss))(weights, rows)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(grad, expected_grad, rtol=1e-5)


def test_hessian_and_linearize(find, model, ids):
    weights = jnp.linspace(-1, 1, DIM)
    keys, rows = hps.keys(ids), jnp.asarray(model.answer(ids))
    hessian = jax.hessian(loss)(weights, keys, find)
    expected = jax.hessian(reference_loss)(weights, rows)
    np.testing.assert_allclose(hessian, expected, rtol=1e-4, atol=1e-5)
    _, linear = jax.linearize(lambda w: loss(w, keys, find), weights)
    _, tangent = jax.jvp(lambda w: reference_loss(w, rows), (weights,), (weights,))
    np.testing.assert_allclose(linear(weights), tangent, rtol=1e-5)


def test_keys_have_float0_tangents_and_rows_zero_ones(table, model, ids):
    keys = hps.keys(ids)
    none = jax.tree.map(lambda words: np.zeros(words.shape, jax.dtypes.float0), keys)
    found = lambda k: hps.lookup(table, k, return_found=True)  # noqa: E731
    (rows, _), (rows_dot, found_dot) = jax.jvp(found, (keys,), (none,))
    assert_same(rows, model.answer(ids))
    assert_same(rows_dot, np.zeros_like(rows))
    assert found_dot.dtype == jax.dtypes.float0
    grad = jax.grad(lambda k: hps.lookup(table, k).sum(), allow_int=True)(keys)
    assert grad.data.dtype == jax.dtypes.float0


@pytest.mark.parametrize("policy", [None, "dots_saveable", "nothing_saveable"])
def test_checkpoint(find, model, ids, policy):
    policy = policy and getattr(jax.checkpoint_policies, policy)
    saved = jax.checkpoint(lambda w, k: loss(w, k, find), policy=policy)
    weights = jnp.linspace(-1, 1, DIM)
    grad = jax.jit(jax.grad(saved))(weights, hps.keys(ids))
    expected = jax.grad(reference_loss)(weights, jnp.asarray(model.answer(ids)))
    np.testing.assert_allclose(grad, expected, rtol=1e-5)


def test_custom_vjp_around_a_lookup(find, ids):
    @jax.custom_vjp
    def scaled(weight, keys):
        return weight * find(keys).sum()

    scaled.defvjp(
        lambda w, k: (scaled(w, k), find(k).sum()), lambda total, g: (g * total, None)
    )
    keys = hps.keys(ids)
    assert jax.grad(scaled)(2.0, keys) == find(keys).sum()


def test_eval_shape_opens_nothing(table, ids):
    shape = jax.eval_shape(
        lambda k: hps.lookup(table, k, dtype="bfloat16", return_found=True),
        jax.eval_shape(lambda: hps.keys(ids)),
    )
    assert [(s.shape, s.dtype.name) for s in shape] == [
        ((2, 3, 5, DIM), "bfloat16"),
        ((2, 3, 5), "bool"),
    ]


def test_ahead_of_time_compilation(find, model, ids):
    words = jax.ShapeDtypeStruct((*ids.shape, 2), jnp.uint32)
    compiled = jax.jit(find).lower(hps.PackedKeys(words)).compile()
    assert_same(compiled(hps.keys(ids)), model.answer(ids))


def test_a_table_as_a_static_argument(table, model, ids):
    find = jax.jit(hps.lookup, static_argnums=0)
    assert_same(find(table, hps.keys(ids)), model.answer(ids))


def test_equal_lookups_are_merged_and_unused_ones_dropped(find, ids):
    def twice(keys):
        find(keys[1:])
        return find(keys) + find(keys)

    hlo = jax.jit(twice).lower(hps.keys(ids)).compile().as_text()
    assert hlo.count('custom_call_target="hps_lookup"') == 1


def test_disable_jit_and_debug_nans(find, model, ids):
    with jax.disable_jit():
        assert_same(find(hps.keys(ids)), model.answer(ids))
    with jax.debug_nans(True):
        assert_same(find(hps.keys(ids)), model.answer(ids))
