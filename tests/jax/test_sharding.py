# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups under jit with sharded keys: each device looks up its own.

By default XLA gathers the operands of a custom call on every device, in silence: rows
are right, and every device does all the work. So tests read the compiled program.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax_checks import assert_same, collectives, lookups

import jax_hps as hps

AXIS_TYPES = [AxisType.Auto, AxisType.Explicit]
KEY_KINDS = ["packed", "int32", "int64"]


@pytest.fixture(scope="module")
def models(make_table):
    """Dense tables, so that all kinds of keys name their rows."""
    return [
        make_table(4, sparse=False, num_rows=512, default=1.0),
        make_table(6, sparse=False, num_rows=512, dtype="bfloat16"),
        make_table(1, sparse=False, num_rows=512),
    ]


@pytest.fixture(scope="module")
def tables(models, serve_module):
    server = serve_module(*models)
    return [server.table(model.name) for model in models]


def make_mesh(*shape, axis_type=AxisType.Auto):
    devices = jax.devices()[: np.prod(shape)]
    return jax.make_mesh(
        shape, ("x", "y")[: len(shape)], (axis_type,) * len(shape), devices=devices
    )


def random_ids(*shape):
    """Keys [*shape], one in ten of them unknown."""
    return np.random.default_rng(0).integers(570, size=shape)


def put(ids, kind, mesh, spec):
    sharding = NamedSharding(mesh, spec)
    if kind == "packed":
        return jax.device_put(hps.keys(ids), sharding)
    with jax.enable_x64(kind == "int64"):
        return jax.device_put(jnp.asarray(ids.astype(kind)), sharding)


def assert_each_device_looks_up_its_own(find, *args, calls=1):
    """Run `find` and check the compiled program; its results."""
    hlo = find.lower(*args).compile().as_text()
    assert collectives(hlo) == []
    assert lookups(hlo) == calls
    return find(*args)


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
@pytest.mark.parametrize("num_devices", [2, 4, 8])
@pytest.mark.parametrize("kind", KEY_KINDS)
def test_keys_of_one_dimension(models, tables, num_devices, axis_type, kind):
    mesh = make_mesh(num_devices, axis_type=axis_type)
    ids = random_ids(64)
    find = jax.jit(functools.partial(hps.lookup, tables[0], return_found=True))
    keys = put(ids, kind, mesh, P("x"))
    rows, found = assert_each_device_looks_up_its_own(find, keys)
    assert_same(rows, models[0].answer(ids))
    assert_same(found, models[0].known(ids))
    assert rows.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
    assert found.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 1)


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
@pytest.mark.parametrize("num_devices", [2, 4, 8])
@pytest.mark.parametrize("spec", [P("x"), P(None, "x")])
@pytest.mark.parametrize("kind", KEY_KINDS)
def test_keys_of_two_dimensions(models, tables, num_devices, axis_type, spec, kind):
    mesh = make_mesh(num_devices, axis_type=axis_type)
    ids = random_ids(8, 16)
    find = jax.jit(functools.partial(hps.lookup, tables[0]))
    rows = assert_each_device_looks_up_its_own(find, put(ids, kind, mesh, spec))
    assert_same(rows, models[0].answer(ids))
    assert rows.sharding.is_equivalent_to(NamedSharding(mesh, spec), 3)


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
@pytest.mark.parametrize("spec", [P("x", "y"), P("y", "x"), P(("x", "y")), P("y")])
def test_a_mesh_of_two_axes(models, tables, axis_type, spec):
    mesh = make_mesh(4, 2, axis_type=axis_type)
    ids = random_ids(8, 16)
    find = jax.jit(functools.partial(hps.lookup, tables[0]))
    rows = assert_each_device_looks_up_its_own(find, put(ids, "packed", mesh, spec))
    assert_same(rows, models[0].answer(ids))
    assert rows.sharding.is_equivalent_to(NamedSharding(mesh, spec), 3)


def find_many(tables):
    def find(*keys):
        pairs = dict(enumerate(zip(tables, keys, strict=True)))
        return hps.lookup_many(pairs, return_found=True)

    return jax.jit(find)


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
@pytest.mark.parametrize("num_devices", [2, 4, 8])
@pytest.mark.parametrize(
    ("shapes", "calls"),
    [
        ([(64,), (64,), (64,)], 1),
        ([(64,), (64, 3), (64, 2, 2)], 1),
        ([(64,), (16,), (64, 3)], 2),
        ([(64,), (16, 64), (8,)], 3),
    ],
)
def test_fused_tables(models, tables, num_devices, axis_type, shapes, calls):
    mesh = make_mesh(num_devices, axis_type=axis_type)
    ids = [random_ids(*shape) for shape in shapes]
    kinds = KEY_KINDS
    keys = [put(i, kind, mesh, P("x")) for i, kind in zip(ids, kinds, strict=True)]
    answers = assert_each_device_looks_up_its_own(find_many(tables), *keys, calls=calls)
    for i, model in enumerate(models):
        rows, found = answers[i]
        assert_same(rows, model.answer(ids[i]))
        assert_same(found, model.known(ids[i]))
        assert rows.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), rows.ndim)


def test_fused_with_a_single_key(models, tables):
    mesh = make_mesh(8)
    ids = [random_ids(64), random_ids(), random_ids(64)]
    specs = [P("x"), P(), P("x")]
    keys = [put(i, "packed", mesh, s) for i, s in zip(ids, specs, strict=True)]
    answers = assert_each_device_looks_up_its_own(find_many(tables), *keys, calls=2)
    for i, model in enumerate(models):
        assert_same(answers[i][0], model.answer(ids[i]))


def test_one_call_on_one_device(models, tables):
    ids = [random_ids(64), random_ids(16), random_ids()]
    keys = [hps.keys(i) for i in ids]
    answers = assert_each_device_looks_up_its_own(find_many(tables), *keys, calls=1)
    for i, model in enumerate(models):
        assert_same(answers[i][0], model.answer(ids[i]))


def test_fused_keys_that_are_not_all_sharded(models, tables):
    mesh = make_mesh(8)
    ids = [random_ids(64), random_ids(64), random_ids(16)]
    specs = [P("x"), P(), P("x")]
    keys = [put(i, "packed", mesh, s) for i, s in zip(ids, specs, strict=True)]
    answers = find_many(tables)(*keys)
    for i, model in enumerate(models):
        assert_same(answers[i][0], model.answer(ids[i]))


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_replicated_keys(models, tables, axis_type):
    ids = random_ids(64)
    find = jax.jit(functools.partial(hps.lookup, tables[0]))
    keys = put(ids, "packed", make_mesh(8, axis_type=axis_type), P())
    rows = assert_each_device_looks_up_its_own(find, keys)
    assert_same(rows, models[0].answer(ids))


def test_sharded_words_are_brought_together(models, tables):
    mesh = make_mesh(2)
    ids = random_ids(16)
    keys = jax.device_put(hps.keys(ids), NamedSharding(mesh, P(None, "x")))
    rows = jax.jit(functools.partial(hps.lookup, tables[0]))(keys)
    assert_same(rows, models[0].answer(ids))


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_an_empty_batch(models, tables, axis_type):
    keys = put(random_ids(0, 3), "packed", make_mesh(8, axis_type=axis_type), P("x"))
    rows = jax.jit(functools.partial(hps.lookup, tables[0]))(keys)
    assert_same(rows, models[0].answer(np.zeros((0, 3), np.int64)))


def test_a_batch_that_devices_do_not_divide(models, tables):
    mesh = make_mesh(8)
    ids = random_ids(60)

    @jax.jit
    def find(keys):
        keys = jax.lax.with_sharding_constraint(keys, NamedSharding(mesh, P("x")))
        return hps.lookup(tables[0], keys)

    assert_same(find(hps.keys(ids)), models[0].answer(ids))


def test_in_shardings_and_the_rest_of_a_model(models, tables):
    sharding = NamedSharding(make_mesh(8), P("x"))
    ids = random_ids(64, 3)

    def score(weights, keys):
        return jax.nn.relu(hps.lookup(tables[0], keys).sum(1)) @ weights

    weights = jnp.linspace(-1, 1, 4)
    sharded = jax.jit(score, in_shardings=(None, sharding))
    scores = assert_each_device_looks_up_its_own(sharded, weights, hps.keys(ids))
    expected = jax.nn.relu(jnp.asarray(models[0].answer(ids)).sum(1)) @ weights
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_the_gradient_of_a_data_parallel_step_is_the_only_collective(models, tables):
    sharding = NamedSharding(make_mesh(8), P("x"))
    keys = jax.device_put(hps.keys(random_ids(64)), sharding)

    def loss(weights, keys):
        return jnp.square(hps.lookup(tables[0], keys) @ weights).mean()

    step = jax.jit(jax.grad(loss))
    hlo = step.lower(jnp.ones(4), keys).compile().as_text()
    assert collectives(hlo) == ["all-reduce"]


@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_vmap_of_sharded_keys(models, tables, axis_type):
    mesh = make_mesh(8, axis_type=axis_type)
    ids = random_ids(8, 16)
    find = jax.jit(jax.vmap(functools.partial(hps.lookup, tables[0])))
    rows = assert_each_device_looks_up_its_own(find, put(ids, "packed", mesh, P("x")))
    assert_same(rows, models[0].answer(ids))


def test_scan_over_batches_of_sharded_keys(models, tables):
    ids = random_ids(4, 16)
    keys = put(ids, "packed", make_mesh(8), P(None, "x"))
    step = lambda _, k: (None, hps.lookup(tables[0], k))  # noqa: E731
    find = jax.jit(lambda k: jax.lax.scan(step, None, k)[1])
    assert_same(assert_each_device_looks_up_its_own(find, keys), models[0].answer(ids))


def test_explicit_types_follow_the_keys(tables):
    mesh = make_mesh(4, 2, axis_type=AxisType.Explicit)
    with jax.set_mesh(mesh):
        keys = put(random_ids(8, 16), "packed", mesh, P("y", "x"))
        shape = jax.eval_shape(functools.partial(hps.lookup, tables[0]), keys)
    assert shape.sharding.spec == P("y", "x", None)


@pytest.mark.parametrize("check_vma", [True, False])
@pytest.mark.parametrize("axis_type", AXIS_TYPES)
def test_shard_map(models, tables, axis_type, check_vma):
    mesh = make_mesh(8, axis_type=axis_type)
    ids = random_ids(64), random_ids(16, 8), random_ids(3)
    specs = P("x"), P(None, "x"), P()
    local = jax.shard_map(
        find_many(tables),
        mesh=mesh,
        in_specs=specs,
        out_specs={i: (spec, spec) for i, spec in enumerate(specs)},
        check_vma=check_vma,
    )
    keys = [put(i, "packed", mesh, s) for i, s in zip(ids, specs, strict=True)]
    answers = assert_each_device_looks_up_its_own(jax.jit(local), *keys, calls=1)
    for i, model in enumerate(models):
        assert_same(answers[i][0], model.answer(ids[i]))
        assert_same(answers[i][1], model.known(ids[i]))


def test_shard_map_over_one_of_two_axes(models, tables):
    mesh = make_mesh(4, 2)
    ids = random_ids(8, 16)
    find = functools.partial(hps.lookup, tables[0])
    local = jax.shard_map(
        find, mesh=mesh, in_specs=P("x"), out_specs=P("x"), axis_names={"x"}
    )
    keys = put(ids, "packed", mesh, P("x", "y"))
    rows = assert_each_device_looks_up_its_own(jax.jit(local), keys)
    assert_same(rows, models[0].answer(ids))


def test_pmap(models, tables):
    ids = random_ids(8, 5)
    find = jax.pmap(functools.partial(hps.lookup, tables[0]))
    assert_same(find(hps.keys(ids)), models[0].answer(ids))


def test_eager_lookup_of_sharded_keys(models, tables):
    mesh = make_mesh(8)
    ids = random_ids(64)
    rows = hps.lookup(tables[0], put(ids, "packed", mesh, P("x")))
    assert_same(rows, models[0].answer(ids))
    assert rows.sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 2)
