# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups that do not wait for rows where the cache has had enough of the keys."""

import threading

import jax
import numpy as np
import pytest
from cache_checks import CALL_ERRORS, RESOLVED, assert_counters_add_up, assert_same

import jax_hps as hps

ROOM = hps.CacheSpec(rows=4096)  # for every row of the table below
LONG_S = 30.0  # as long as a test waits for what must come


@pytest.fixture(scope="module")
def model(make_table):
    return make_table(4, num_rows=120, default=-1.0)


@pytest.fixture(params=RESOLVED)
def half_cached(request, model, start, reads):
    """A table of which the cache has the first 60 rows; no other comes in by itself.

    Returned with an event that lets rows come in.
    """
    proceed = threading.Event()

    def begin(threshold, **fields):
        served = start(
            model,
            request.param,
            row_cache=ROOM,
            hit_rate_threshold=threshold,
            **fields,
        )
        cache, version = served.opened._cache, served.opened.version
        rows, _ = version.read(model.keys[:60])
        cache.insert(model.keys[:60], rows.view(np.uint8))
        reads.requests.clear()
        reads.before = lambda numbers: proceed.wait(LONG_S)
        return served, proceed

    yield begin
    proceed.set()


def assert_cached_or_default(served, ids):
    """Look keys up; rows that the cache has are exact, the others are the default."""
    rows, found = hps.lookup(served.table, ids, return_found=True)
    is_cached = np.isin(ids, served.model.keys[:60])
    expected = np.where(is_cached[:, None], served.model.answer(ids), np.float32(-1))
    assert_same(rows, expected)
    np.testing.assert_array_equal(found, is_cached)
    assert_counters_add_up(served.stats)


@pytest.mark.parametrize("threshold", [0, 0.25, 0.5])
def test_what_the_cache_lacks_comes_behind_the_call(
    half_cached, model, reads, threshold
):
    served, proceed = half_cached(threshold)
    assert_cached_or_default(served, model.keys)  # half of them, exactly
    ids = np.concatenate([model.keys, model.unknown])
    assert_cached_or_default(served, ids)
    stats = served.stats
    assert stats.deferred == 2 * 60
    assert (stats.base_hits, stats.unavailable, stats.degraded) == (0, 0, 0)
    served.server.check()
    proceed.set()
    assert reads.answered.acquire(timeout=LONG_S)
    assert reads.numbers == list(range(60, 120))  # though two calls wanted them
    assert served.hits(ids) == (120, 0)
    assert served.stats.deferred == 2 * 60


@pytest.mark.parametrize("threshold", [0.51, 0.75, 1.0])
def test_below_the_threshold_answers_are_exact(half_cached, model, threshold):
    served, proceed = half_cached(threshold)
    proceed.set()
    assert served.hits(model.keys) == (60, 60)
    assert served.stats.deferred == 0


def test_the_share_is_one_of_distinct_keys(half_cached, model):
    served, proceed = half_cached(0.5)
    # One of three keys is cached, though most positions are.
    ids = np.concatenate([np.repeat(model.keys[:1], 50), model.keys[60:62]])
    proceed.set()
    assert served.hits(ids) == (50, 2)
    # Two of three, though most positions are not.
    ids = np.concatenate([model.keys[:2], np.repeat(model.keys[70:71], 50)])
    assert_cached_or_default(served, ids)
    assert served.stats.deferred == 50


def test_a_deferred_row_is_no_missing_key(half_cached, model):
    served, _ = half_cached(0, on_missing="error")
    assert_cached_or_default(served, model.keys)
    ids = np.append(model.keys, model.unknown[0])
    with pytest.raises(CALL_ERRORS, match=f"1 of 121 keys.*{model.unknown[0]}"):
        jax.block_until_ready(hps.lookup(served.table, ids))


def test_devices_do_not_wait_either(half_cached, model, over_devices):
    served, proceed = half_cached(0)
    find = jax.jit(lambda keys: hps.lookup(served.table, keys))
    rows = find(over_devices(hps.keys(model.keys)))
    assert_same(rows[:60], model.rows[:60])
    assert_same(rows[60:], np.full((60, 4), np.float32(-1)))
    proceed.set()
    assert served.stats.deferred == 60


@pytest.mark.parametrize("fields", [{"row_cache": ROOM}, {}], ids=["cache", "none"])
def test_mapped_tables_are_always_exact(model, start, fields):
    served = start(model, "mapped", hit_rate_threshold=0, **fields)
    ids = np.append(model.keys, model.unknown)
    for _ in range(2):
        assert_same(hps.lookup(served.table, ids), model.answer(ids))
    assert served.stats.deferred == 0


@pytest.mark.parametrize("base", RESOLVED)
def test_tables_without_a_cache_are_always_exact(model, start, base):
    served = start(model, base, hit_rate_threshold=0)
    for _ in range(2):
        assert_same(hps.lookup(served.table, model.keys), model.rows)
    assert (served.stats.deferred, served.stats.base_hits) == (0, 240)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "all", True])
def test_impossible_thresholds_are_refused(threshold):
    with pytest.raises(hps.ConfigError, match="hit_rate_threshold"):
        hps.TableSpec(name="user", path="user", hit_rate_threshold=threshold)
