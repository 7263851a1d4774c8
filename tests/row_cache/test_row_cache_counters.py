# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What a row cache holds, what it spares the base, and how both are counted."""

import jax
import numpy as np
import pytest
from cache_checks import (
    BASES,
    POLICIES,
    RESOLVED,
    assert_counters_add_up,
    some_keys,
)

import jax_hps as hps

ROOM = hps.CacheSpec(rows=4096)  # for every row of the tables below


@pytest.fixture(scope="module")
def model(make_table):
    return make_table(4, num_rows=120)


@pytest.fixture(scope="module")
def larger_model(make_table):
    return make_table(4, num_rows=400)


@pytest.mark.parametrize("base", BASES)
def test_a_second_lookup_takes_every_row_from_the_cache(model, start, reads, base):
    served = start(model, base, row_cache=ROOM)
    ids = np.append(model.keys, model.keys[:30])
    assert served.hits(ids) == (0, len(ids))
    reads.requests.clear()
    assert served.hits(ids) == (len(ids), 0)
    assert served.hits(ids[::-1]) == (len(ids), 0)
    assert reads.requests == []


@pytest.mark.parametrize("base", RESOLVED)
def test_the_base_reads_a_row_once_however_often_it_is_asked_for(
    model, start, reads, base
):
    served = start(model, base, row_cache=ROOM)
    served.check(np.repeat(model.keys[:50], 3))
    served.check(model.keys)
    assert reads.numbers == list(range(len(model.keys)))


@pytest.mark.parametrize("base", RESOLVED)
@pytest.mark.parametrize("sparse", [True, False])
def test_unknown_keys_are_remembered_and_never_read(
    make_table, start, reads, base, sparse
):
    model = make_table(4, num_rows=120, sparse=sparse, default=2.0)
    served = start(model, base, row_cache=ROOM)
    near = np.array([120, 121, 127])  # beyond the rows of a dense table, and not far
    unknown = np.append(np.setdiff1d(near, model.keys), model.unknown)
    served.check(unknown)
    first = served.stats
    served.check(np.append(unknown, unknown))
    second = served.stats
    assert reads.requests == []
    assert second.defaults == 3 * len(unknown)
    assert (second.row_cache_hits, second.base_hits) == (0, 0)
    # A dense table's cache keeps no keys that it cannot tell apart by few bits.
    kept = len(unknown) if sparse else 3
    assert first.row_cache.absents == first.row_cache.rows == kept
    assert second.row_cache.rows == kept
    offered_again = second.row_cache.attempts - first.row_cache.attempts
    assert offered_again == second.row_cache.rejects - first.row_cache.rejects
    assert offered_again == len(unknown) - kept
    served.check(model.keys)
    assert reads.numbers == list(range(120))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("base", BASES)
def test_counters_add_up_under_pressure(larger_model, start, base, policy):
    model = larger_model
    cache = hps.CacheSpec(rows=64, **POLICIES[policy])
    served = start(model, base, row_cache=cache)
    asked = 0
    for seed in range(8):
        ids = some_keys(model, seed, 150)
        served.check(ids)
        asked += len(ids)
    stats = served.stats
    assert stats.lookups == 8
    assert stats.keys == asked
    assert stats.bytes == asked * 4 * 4
    unanswered = stats.deferred, stats.unavailable, stats.degraded, stats.failures
    assert unanswered == (0, 0, 0, 0)
    cache = stats.row_cache
    # The first 64 keys found empty places, the others had to fight for one.
    assert cache.rows == cache.capacity == cache.fills == 64
    assert cache.evictions + cache.rejects == cache.attempts - 64 > 0
    assert (cache.stale, cache.overwrites, cache.erasures) == (0, 0, 0)
    assert (cache.rejects == 0) == (policy in ("always", "lru", "s3fifo"))
    assert cache.bytes == served.opened._cache.nbytes


def test_an_admission_by_frequency_leaves_hot_rows_alone(make_table, start):
    """A sweep over cold keys drives out what others admit it for, and no hot row."""
    model = make_table(4, num_rows=3000)
    hot, cold = model.keys[:64], model.keys[64:]
    frequency = start(model, "zstd", row_cache=hps.CacheSpec(rows=512))
    lru = start(model, "zstd", row_cache=hps.CacheSpec(rows=512, policy="lru"))
    for served in (frequency, lru):
        for _ in range(15):
            served.check(hot)
        for batch in np.array_split(cold, 4):
            served.check(batch)
    assert frequency.hits(hot)[0] > 0.9 * len(hot)
    assert lru.hits(hot)[0] < 0.1 * len(hot)


@pytest.mark.parametrize("base", BASES)
def test_tables_without_a_cache_count_none(model, start, base):
    served = start(model, base)
    ids = np.append(model.keys, model.unknown)
    for _ in range(2):
        rows, found = hps.lookup(served.table, ids, return_found=True)
        np.testing.assert_array_equal(rows, model.answer(ids))
        np.testing.assert_array_equal(found, model.known(ids))
    stats = served.stats
    assert stats.row_cache is None
    assert (stats.row_cache_hits, stats.evictions) == (0, 0)
    assert stats.base_hits == 2 * len(model.keys)
    assert stats.defaults == 2 * len(model.unknown)


@pytest.mark.parametrize("base", BASES)
def test_keys_of_several_devices_are_counted_once(model, start, over_devices, base):
    served = start(model, base, row_cache=ROOM)
    ids = np.resize(np.append(model.keys, model.unknown), 8 * 16)
    find = jax.jit(lambda keys: hps.lookup(served.table, keys))
    for _ in range(3):
        jax.block_until_ready(find(over_devices(hps.keys(ids))))
    stats = served.stats
    assert stats.keys == 3 * len(ids)
    assert stats.defaults == 3 * int((~model.known(ids)).sum())
    # The first round may find some: devices do not wait for one another.
    assert stats.row_cache_hits >= 2 * int(model.known(ids).sum())
    assert_counters_add_up(stats)


def test_what_is_looked_up_elsewhere_does_not_count(model, start, reads):
    """`open_table` reads the same version, past any cache."""
    served = start(model, "zstd", row_cache=ROOM)
    with hps.open_table(served.model.spec.path) as table:
        table.read(model.keys)
    assert len(reads.requests) == 1
    assert (served.stats.keys, served.stats.row_cache.rows) == (0, 0)
