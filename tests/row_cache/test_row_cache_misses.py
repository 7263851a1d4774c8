# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Misses on their way: wanted by several, late, failing; none leaves a wrong row."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from cache_checks import (
    BASES,
    CALL_ERRORS,
    RESOLVED,
    assert_counters_add_up,
    assert_same,
    on_base,
)

import jax_hps as hps

ROOM = hps.CacheSpec(rows=4096)  # for every row of the tables below
DIM = 4
LONG_S = 30.0  # as long as a test waits for what must come


@pytest.fixture(scope="module")
def model(make_table):
    return make_table(DIM, num_rows=120, default=-1.0)


@pytest.fixture
def ask():
    """Look keys up in a thread, on one of the devices, which wait for one another."""
    with ThreadPoolExecutor(8) as pool:

        def begin(served, ids, device=0):
            @jax.jit
            def find(keys):
                return hps.lookup(served.table, keys)

            def look_up():
                keys = jax.device_put(hps.keys(ids), jax.devices()[device])
                return np.asarray(find(keys))

            return pool.submit(look_up)

        yield begin


def fail(numbers):
    raise OSError("the store is gone")


def in_one_call(served, ids):
    return jax.block_until_ready(hps.lookup(served.table, ids))


@pytest.mark.parametrize("base", RESOLVED)
def test_concurrent_misses_of_a_row_are_read_once(model, start, reads, ask, base):
    """The first reader is held up until everybody wants what it reads."""
    served = start(model, base, row_cache=ROOM)
    shared, num_callers = model.keys[:10], 6
    count, all_have_asked = itertools.count(1), threading.Event()

    def before(numbers):
        if 0 in numbers:
            assert all_have_asked.wait(LONG_S)
        elif next(count) == num_callers - 1:  # each asks for a row of its own as well
            all_have_asked.set()

    reads.before = before
    asked = [
        np.concatenate([shared, model.keys[10 + caller :][:1], shared])
        for caller in range(num_callers)
    ]
    answers = [ask(served, ids, device) for device, ids in enumerate(asked)]
    for ids, rows in zip(asked, answers, strict=True):
        assert_same(rows.result(), model.answer(ids))
    assert reads.numbers == list(range(10 + num_callers))
    stats = served.stats
    assert (stats.row_cache_hits, stats.base_hits) == (0, stats.keys)
    assert_counters_add_up(stats)
    ids = np.unique(np.concatenate(asked))
    assert served.hits(ids) == (len(ids), 0)


@pytest.fixture
def joined(model, start, reads, ask):
    """Two calls wait for one read of row 0, which then fails as told; once."""

    def run(error):
        served = start(model, "zstd", row_cache=ROOM)
        first_has_asked, second_has_asked = threading.Event(), threading.Event()
        failures = iter([error])

        def before(numbers):
            first_has_asked.set()
            if 0 not in numbers:
                second_has_asked.set()
            elif failure := next(failures, None):
                assert second_has_asked.wait(LONG_S)
                raise failure

        reads.before = before
        first = ask(served, model.keys[:1], 0)
        assert first_has_asked.wait(LONG_S)
        return served, first, ask(served, model.keys[:2], 1)

    return run


def test_a_failure_of_another_calls_read_is_no_answer(model, joined, reads):
    served, first, second = joined(OSError("the store is gone"))
    with pytest.raises(CALL_ERRORS, match="the store is gone"):
        first.result()
    assert_same(second.result(), model.rows[:2])
    assert reads.numbers == [0, 0, 1]
    served.server.check()
    assert served.held.size == 2


def test_damage_that_another_call_met_is_not_read_again(joined, reads):
    served, first, second = joined(hps.CorruptTableError("chunk 7 is damaged"))
    for answer in (first, second):
        with pytest.raises(CALL_ERRORS, match="chunk 7 is damaged"):
            answer.result()
    assert reads.numbers == [0, 1]
    assert served.held.size == 1


def test_a_failing_reader_leaves_nothing_behind(model, start, reads):
    served = start(model, "zstd", row_cache=ROOM)
    ids = np.append(model.keys, model.unknown)
    reads.before = fail
    for _ in range(2):
        with pytest.raises(CALL_ERRORS, match="OSError: the store is gone"):
            in_one_call(served, ids)
    assert served.held.size == 0
    stats = served.stats
    assert stats.unavailable == 2 * len(model.keys)
    assert stats.defaults == 2 * len(model.unknown)
    assert_counters_add_up(stats)
    reads.before = lambda numbers: None
    assert served.hits(ids) == (0, len(model.keys))
    assert served.hits(ids) == (len(model.keys), 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: rows[:, :-1],
        lambda rows: rows.astype(np.float64),
    ],
    ids=["a row short", "a column short", "of another dtype"],
)
def test_answers_that_do_not_fit_are_failures(model, start, reads, change):
    served = start(model, "zstd", row_cache=ROOM)
    reads.change = change
    with pytest.raises(CALL_ERRORS, match=r"the answer has \d+ bytes, expected 1920"):
        in_one_call(served, model.keys)
    assert served.held.size == 0
    reads.change = lambda rows: rows
    assert served.hits(model.keys) == (0, len(model.keys))


@pytest.fixture
def half_cached(model, start):
    """A table at a URL, of which a cache holds some rows: it, those keys, the others.

    They were warmed, which has no deadline that a busy machine could miss.
    """

    def begin(**fields):
        small = hps.CacheSpec(rows=64)
        served = start(model, "memory", row_cache=small, **fields)
        served.server.warm(model.name).wait(LONG_S)
        cached = served.held
        assert 32 < len(cached) <= 64
        return served, cached, np.setdiff1d(model.keys, cached)

    return begin


def test_cached_rows_outlive_their_store(half_cached, model, reads):
    served, cached, others = half_cached()
    reads.before = fail
    assert served.hits(cached) == (len(cached), 0)
    served.server.check()
    ids = np.concatenate([others, cached, model.unknown])
    rows, found = hps.lookup(served.table, ids, return_found=True)
    known = np.isin(ids, cached)
    np.testing.assert_array_equal(found, known)
    assert_same(rows, np.where(known[:, None], model.answer(ids), np.float32(-1)))
    stats = served.stats
    assert (stats.unavailable, stats.degraded) == (len(others), 0)
    assert_counters_add_up(stats)
    with pytest.raises(hps.TierUnavailableError, match=f"{len(others)} keys answered"):
        served.server.check()
    reads.before = lambda numbers: None
    served.check(ids)
    served.server.check()


def test_cached_rows_keep_every_deadline(half_cached, model, reads):
    served, cached, others = half_cached(deadline_s=0.05)
    proceed = threading.Event()
    reads.before = lambda numbers: proceed.wait(LONG_S)
    assert served.hits(cached) == (len(cached), 0)
    ids = np.concatenate([others, cached])
    rows, found = hps.lookup(served.table, ids, return_found=True)
    np.testing.assert_array_equal(found, np.isin(ids, cached))
    expected = np.where(np.asarray(found)[:, None], model.answer(ids), np.float32(-1))
    assert_same(rows, expected)
    proceed.set()
    stats = served.stats
    assert (stats.unavailable, stats.degraded) == (0, len(others))
    assert_counters_add_up(stats)
    with pytest.raises(hps.DeadlineError, match=r"deadline_s=0\.05"):
        served.server.check()


def test_a_late_answer_is_kept_for_the_next_lookup(model, start, reads):
    served = start(model, "memory", row_cache=ROOM, deadline_s=0.1)
    proceed = threading.Event()
    reads.before = lambda numbers: proceed.wait(LONG_S)
    late = 0
    while not reads.requests or late < 2:  # one that nobody has taken in time is none
        rows = hps.lookup(served.table, model.keys)
        assert_same(rows, np.full_like(model.rows, -1))
        late += 1
    assert len(reads.requests) == 1  # the calls behind the first waited for its rows
    assert served.stats.degraded == late * len(model.keys)
    proceed.set()
    for _ in range(late):  # requests that came to nothing are answered, too
        if served.held.size:
            break
        assert reads.answered.acquire(timeout=LONG_S)
    assert served.hits(model.keys) == (len(model.keys), 0)
    assert len(reads.requests) == 1
    with pytest.raises(hps.DeadlineError):
        served.server.check()


@pytest.mark.parametrize("num_devices", [1, 8])
def test_a_strict_table_raises_what_the_cache_cannot_answer(
    half_cached, model, reads, over_devices, num_devices
):
    served, cached, others = half_cached(strict=True)
    reads.before = fail
    place = over_devices if num_devices > 1 else lambda keys: keys
    find = jax.jit(lambda keys: hps.lookup(served.table, keys))
    ids = np.resize(cached, 64)
    assert_same(find(place(hps.keys(ids))), model.answer(ids))
    ids = np.append(ids[:-1], others[0])
    with pytest.raises(CALL_ERRORS, match="the store is gone"):
        jax.block_until_ready(find(place(hps.keys(ids))))
    assert served.stats.unavailable == 1


@pytest.mark.parametrize("base", BASES)
def test_a_missing_key_is_an_error_each_time(model, start, over_devices, base):
    served = start(model, base, row_cache=ROOM, on_missing="error")
    unknown = model.unknown[0]
    ids = np.append(model.keys[:15], unknown)
    for _ in range(3):  # from the base, then from the cache
        with pytest.raises(CALL_ERRORS, match=f"1 of 16 keys.*the first is {unknown}"):
            in_one_call(served, ids)
    served.check(model.keys)
    find = jax.jit(lambda keys: hps.lookup(served.table, keys))
    for _ in range(2):
        assert_same(find(over_devices(hps.keys(ids))), model.answer(ids))
        with pytest.raises(hps.MissingKeyError, match=str(unknown)):
            served.server.check()
    assert served.stats.defaults == 5


def test_a_damaged_chunk_is_an_error_and_its_rows_are_not_kept(make_table, start):
    model = on_base(make_table(DIM, num_rows=96), "zstd")
    chunk = Path(model.spec.path) / "rows/c/2/0"  # rows 32 to 47
    assert chunk.exists()
    chunk.write_bytes(b"nothing that was ever compressed")
    served = start(model, row_cache=ROOM)
    damaged = model.keys[32:48]
    sound = np.setdiff1d(model.keys, damaged)
    served.check(sound)
    for _ in range(2):
        with pytest.raises(CALL_ERRORS, match=r"DATA_LOSS|INVALID_ARGUMENT"):
            in_one_call(served, np.append(sound, damaged[:1]))
    assert_same(served.held, np.sort(sound))
    assert served.hits(sound) == (len(sound), 0)


def test_closing_waits_for_what_is_being_read(model, start, reads, ask):
    served = start(model, "zstd", row_cache=ROOM)
    opened, proceed, begun = served.opened, threading.Event(), threading.Event()

    def before(numbers):
        begun.set()
        assert proceed.wait(LONG_S)

    reads.before = before
    rows = ask(served, model.keys)
    assert begun.wait(LONG_S)
    closing = threading.Thread(target=served.server.close)
    closing.start()
    proceed.set()
    closing.join(LONG_S)
    assert not closing.is_alive()
    assert_same(rows.result(), model.rows)
    keys, _, _ = opened._cache.contents()
    assert_same(np.sort(keys), np.sort(model.keys))


def test_threads_that_meet_failures_meet_no_wrong_rows(model, start, reads, ask):
    """Every third read fails while four devices ask for overlapping keys."""
    served = start(model, "memory", row_cache=hps.CacheSpec(rows=32, policy="lru"))
    turns = itertools.count()

    def before(numbers):
        if next(turns) % 3 == 0:
            fail(numbers)

    reads.before = before

    def work(device):
        random = np.random.default_rng(device)
        for _ in range(15):
            ids = random.choice(model.keys, 24)
            rows = ask(served, ids, device).result()
            unanswered = (rows == -1).all(axis=1)
            expected = np.where(unanswered[:, None], np.float32(-1), model.answer(ids))
            assert_same(rows, expected)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    stats = served.stats
    assert stats.unavailable > 0
    assert_counters_add_up(stats)
    reads.before = lambda numbers: None
    served.check(model.keys)
