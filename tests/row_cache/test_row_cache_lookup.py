# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups through a row cache are exact, whatever its size and the base behind it."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cache_checks import (
    BASES,
    POLICIES,
    RESOLVED,
    Served,
    assert_counters_add_up,
    assert_same,
    on_base,
    some_keys,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax import lax

import jax_hps as hps

INT32, UINT32, INT64 = (np.iinfo(d) for d in (np.int32, np.uint32, np.int64))
DTYPES = ["float32", "float16", "bfloat16"]
TINY = hps.CacheSpec(rows=16)  # less than any batch below has


def keys_of(kind, num_keys=96):
    """Keys of a sparse table, with the ends of their range."""
    random = np.random.default_rng(5)
    if kind == "close":  # they differ in single bits
        bits = np.int64(1) << np.arange(64)
        return np.unique(np.concatenate([bits, ~bits]))
    info = {"int32": INT32, "uint32": UINT32, "int64": INT64}[kind]
    keys = random.integers(info.min, info.max, num_keys, np.int64, endpoint=True)
    return np.unique(np.concatenate([keys, [info.min, 0, 1, info.max]]))


@pytest.fixture(scope="module")
def models(make_table):
    """A table of each kind of keys, by its name."""
    random = np.random.default_rng(3)

    def make(keys, key_dtype=None):
        rows = random.standard_normal((len(keys), 5), np.float32)
        return make_table(
            rows=rows, keys=keys, default=np.arange(5), stored_key_dtype=key_dtype
        )

    models = {"dense": make_table(5, sparse=False, default=-1.0)}
    for kind in ("int32", "uint32"):
        models[kind] = make(keys_of(kind), kind)
    for kind in ("int64", "close"):
        models[kind] = make(keys_of(kind))
    return models


def everything(model):
    """Every key of a table and some that it lacks, twice each and in disorder."""
    ids = np.tile(np.concatenate([model.keys, model.unknown]), 2)
    return np.random.default_rng(7).permutation(ids)


@pytest.mark.parametrize("rows", [16, 4096])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["dense", "int32", "uint32", "int64", "close"])
def test_first_and_later_lookups_agree_with_a_dict(models, start, kind, base, rows):
    served = start(models[kind], base, row_cache=hps.CacheSpec(rows=rows))
    ids = everything(served.model)
    for _ in range(3):
        served.check(ids)
    served.check(ids[:1])
    served.check([])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("stored", DTYPES)
def test_rows_of_any_dtype_come_in_any_dtype(make_table, start, stored, base):
    rows = np.random.default_rng(2).standard_normal((60, 7)) * 1e4
    if stored != "float16":
        rows[:30] *= 1e4  # infinite in float16
    model = make_table(rows=rows, dtype=stored, default=0.3)
    served = start(model, base, row_cache=hps.CacheSpec(rows=4096))
    for dtype in [None, *DTYPES] * 2:
        served.check(everything(model), dtype=dtype)
    assert served.stats.row_cache_hits > served.stats.base_hits


def as_int64_array(ids):
    with jax.enable_x64(True):
        return jnp.asarray(ids)


FORMS = {
    "packed": (INT64, hps.keys),
    "int64": (INT64, as_int64_array),
    "numpy": (INT64, np.asarray),
    "list": (INT64, np.ndarray.tolist),
    "int32": (INT32, lambda ids: jnp.asarray(ids, jnp.int32)),
    "uint32": (UINT32, lambda ids: jnp.asarray(ids, jnp.uint32)),
}


FORMS_OF_KINDS = [
    (kind, form)
    for kind in ["dense", "int32", "uint32", "int64"]
    for form in FORMS
    if kind != "int64" or form not in ("int32", "uint32")  # refused when traced
]


@pytest.mark.parametrize("base", ["mapped", "zstd"])
@pytest.mark.parametrize(("kind", "form"), FORMS_OF_KINDS)
def test_keys_of_every_dtype_mean_the_same(models, start, kind, form, base):
    bounds, convert = FORMS[form]
    served = start(models[kind], base, row_cache=hps.CacheSpec(rows=4096))
    ids = everything(served.model)
    served.check(ids)  # whatever form brought a key in
    ids = ids[(ids >= bounds.min) & (ids <= bounds.max)]
    served.check(ids, keys=convert(ids))
    assert served.stats.row_cache_hits > 0


@pytest.fixture(scope="module")
def larger_model(make_table):
    return make_table(3, num_rows=500)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("base", ["mapped", "zstd"])
def test_a_cache_smaller_than_a_batch_is_exact(larger_model, start, base, policy):
    cache = hps.CacheSpec(rows=16, **POLICIES[policy])
    served = start(larger_model, base, row_cache=cache)
    for seed in range(12):
        served.check(some_keys(larger_model, seed, 200))
    stats = served.stats
    assert stats.row_cache.capacity == 16
    assert stats.row_cache.rows == 16
    assert 0 < stats.row_cache_hits < stats.keys
    assert stats.row_cache.rejects + stats.evictions > 0


@pytest.mark.parametrize("base", ["mapped", "zstd"])
def test_calls_that_many_threads_share_are_exact(make_table, start, base):
    model = make_table(64, num_rows=3000)
    served = start(model, base, row_cache=hps.CacheSpec(rows=512))
    for seed in range(4):
        served.check(some_keys(model, seed, 16_384))  # 4 MiB of rows, many pieces
    assert served.stats.row_cache_hits > 0
    assert served.stats.base_hits > 0


def test_a_table_without_rows_has_a_cache_too(make_table, start):
    model = make_table(rows=np.empty((0, 3)), sparse=False)
    served = start(model, row_cache=TINY)
    for _ in range(2):
        served.check([0, 1, -1, *model.unknown])


def test_handles_on_one_table_have_caches_of_their_own(models, start):
    small = start(models["int64"], row_cache=TINY, default=1.0)
    large = start(models["int64"], row_cache=hps.CacheSpec(rows=4096))
    ids = everything(large.model)
    for _ in range(2):
        large.check(ids)
        rows = np.asarray(hps.lookup(small.table, small.model.unknown))
        assert (rows == 1.0).all()
    assert small.stats.row_cache.rows < large.stats.row_cache.rows


@pytest.fixture(params=["mapped", "zstd"])
def served(request, models, start):
    """Behind a cache that cannot hold the table: some rows are there, some are not."""
    cache = hps.CacheSpec(rows=64, policy="lru")
    return start(models["int64"], request.param, row_cache=cache)


@pytest.fixture
def ids(served):
    """Known and unknown keys: int64 [2, 3, 8]."""
    return np.resize(everything(served.model), (2, 3, 8))


def test_jit_finds_what_the_cache_has_when_it_runs(served, ids):
    find = jax.jit(lambda keys: hps.lookup(served.table, keys, return_found=True))
    for _ in range(3):
        rows, found = find(hps.keys(ids))
        assert_same(rows, served.model.answer(ids))
        assert_same(found, served.model.known(ids))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_vmap(served, ids, axis):
    find = jax.jit(jax.vmap(lambda keys: hps.lookup(served.table, keys), axis, axis))
    for _ in range(2):
        assert_same(find(hps.keys(ids)), served.model.answer(ids))


def test_scan(served, ids):
    def step(count, keys):
        rows, found = hps.lookup(served.table, keys, return_found=True)
        return count + found.sum(), rows

    @jax.jit
    def find(keys):
        return lax.scan(step, jnp.int32(0), keys)

    for _ in range(2):
        count, rows = find(hps.keys(ids))
        assert_same(rows, served.model.answer(ids))
        assert count == served.model.known(ids).sum()


def test_scan_whose_keys_depend_on_rows(make_table, start):
    chain = np.roll(np.arange(40), 1).astype(np.float32)[:, None]
    model = make_table(rows=chain, sparse=False)
    served = start(model, "zstd", row_cache=TINY)

    def step(key, _):
        row = hps.lookup(served.table, key)
        return row[0].astype(jnp.int32), key

    follow = jax.jit(lambda first: lax.scan(step, first, length=100)[1])
    expected = (-np.arange(100)) % 40
    np.testing.assert_array_equal(follow(jnp.int32(0)), expected)


@pytest.mark.parametrize("base", BASES)
def test_devices_share_one_cache(models, start, over_devices, base):
    served = start(models["int64"], base, row_cache=hps.CacheSpec(rows=64))
    ids = np.resize(everything(served.model), 8 * 32)

    @jax.jit
    def find(keys):
        rows, found = hps.lookup(served.table, keys, return_found=True)
        return rows, found, rows.sum()  # a collective behind the lookup

    for _ in range(5):
        rows, found, _ = find(over_devices(hps.keys(ids)))
        assert_same(rows, served.model.answer(ids))
        assert_same(found, served.model.known(ids))
    served.server.check()
    assert served.stats.row_cache_hits > 0
    assert_counters_add_up(served.stats)


def test_one_call_asks_tables_with_and_without_caches(make_table, serve):
    cached = {"row_cache": hps.CacheSpec(rows=32)}
    models = {
        "mapped": make_table(3),
        "cached": on_base(make_table(5, dtype="float16"), "mapped", **cached),
        "zstd": on_base(make_table(4), "zstd"),
        "cached zstd": on_base(make_table(6, sparse=False), "zstd", **cached),
        "cached memory": on_base(make_table(2, default=1.0), "memory", **cached),
    }
    server = serve(*models.values())

    @jax.jit
    def find(keys):
        tables = {name: server.table(model.name) for name, model in models.items()}
        requests = {(name, i): (tables[name], k) for (name, i), k in keys.items()}
        return hps.lookup_many(requests, return_found=True)

    for seed in range(4):
        ids = {
            (name, i): some_keys(model, 10 * seed + i, 50 + i)
            for name, model in models.items()
            for i in range(2)  # every table twice in one call
        }
        answers = find({which: hps.keys(some) for which, some in ids.items()})
        for (name, i), (rows, found) in answers.items():
            model = models[name]
            assert_same(rows, model.answer(ids[name, i]))
            assert_same(found, model.known(ids[name, i]))
    for name, model in models.items():
        stats = server.stats()[model.name]
        assert (stats.row_cache is not None) == name.startswith("cached")
        if stats.row_cache:
            assert stats.row_cache_hits > 0
            assert_counters_add_up(stats)
        else:
            assert stats.row_cache_hits == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_many_threads_at_once(make_table, serve, policy):
    """Each on a device of its own, where calls run side by side."""
    cache = hps.CacheSpec(rows=48, **POLICIES[policy])
    models = [
        on_base(make_table(6, num_rows=300), "zstd", row_cache=cache),
        on_base(make_table(9, num_rows=300), "mapped", row_cache=cache),
    ]
    server = serve(*models)
    tables = [server.table(model.name) for model in models]
    find = jax.jit(
        lambda keys: [hps.lookup(t, k) for t, k in zip(tables, keys, strict=True)]
    )

    def work(number):
        for turn in range(8):
            ids = [some_keys(model, 100 * number + turn, 160) for model in models]
            keys = jax.device_put([hps.keys(some) for some in ids], devices[number])
            for model, some, rows in zip(models, ids, find(keys), strict=True):
                assert_same(rows, model.answer(some))

    devices = jax.devices()[:4]
    with ThreadPoolExecutor(len(devices)) as pool:
        list(pool.map(work, range(len(devices))))
    for model in models:
        stats = server.stats()[model.name]
        assert stats.keys == 4 * 8 * 160
        assert_counters_add_up(stats)


BATCH = 24  # JAX compiles for each shape


@st.composite
def batches(draw):
    """Functions from a table's keys to a batch of known, repeated and unknown ones."""
    place = st.integers(0, 40)  # few keys, so that they come back
    chosen = draw(hnp.arrays(np.int64, BATCH, elements=place))
    foreign = draw(
        hnp.arrays(np.int64, BATCH, elements=st.integers(-(2**63), 2**63 - 1))
    )
    is_known = draw(
        hnp.arrays(np.bool_, BATCH, elements=st.sampled_from([True] * 3 + [False]))
    )
    return lambda keys: np.where(is_known, keys[chosen % len(keys)], foreign)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["dense", "uint32", "int64", "close"]),
    base=st.sampled_from(BASES),
    rows=st.sampled_from([16, 32, 4096]),
    policy=st.sampled_from(sorted(POLICIES)),
    halving=st.none() | st.integers(1, 15),
    asked=st.lists(batches(), min_size=1, max_size=8),
)
def test_any_batches_agree_with_a_dict(
    models, kind, base, rows, policy, halving, asked
):
    options = POLICIES[policy] | {"halving": halving}
    cache = hps.CacheSpec(rows=rows, **options)
    model = on_base(models[kind], base, row_cache=cache, hot_keys=False)
    # One name for all: programs are compiled for the first of them.
    with hps.ParameterServer(model.spec, name="any-batches") as server:
        served = Served(server, model)
        for pick in asked:
            served.check(pick(model.keys))
        again = asked[-1](model.keys)
        known = int(model.known(again).sum())
        if rows == 4096:  # room for all that was ever asked for
            assert served.hits(again) == (known, 0)


@pytest.mark.parametrize("base", RESOLVED)
def test_a_table_that_comes_back_starts_with_an_empty_cache(models, start, base):
    served = start(models["int64"], base, row_cache=hps.CacheSpec(rows=4096))
    ids = served.model.keys
    assert served.hits(ids) == (0, len(ids))
    assert served.hits(ids) == (len(ids), 0)
    served.server.remove_table(served.model.name)
    served.server.add_table(served.model.spec)
    assert served.hits(ids) == (0, len(ids))
