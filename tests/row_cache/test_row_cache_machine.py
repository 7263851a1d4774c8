# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`_native.RowCache` against a dict, whatever is done to it in whatever order.

A cache may forget, but never says what is not so.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from jax_hps import _native

MISSED, FOUND, ABSENT = range(3)
POLICIES = [
    {"policy": "frequency"},
    {"policy": "frequency", "halving": 1},
    {"policy": "frequency", "admit": "always"},
    {"policy": "lru"},
    {"policy": "s3fifo"},
]
INT64 = np.iinfo(np.int64)
# More keys than a bucket or two hold, and those at the ends of domains.
EDGES = [-1, INT64.min, INT64.max, 2**24 - 1, 2**24, 2**24 + 1, 2**32]
KEYS = st.one_of(st.integers(0, 60), st.sampled_from(EDGES))
BATCHES = st.lists(KEYS, max_size=40)
DISTINCT = st.lists(KEYS, max_size=40, unique=True)


def as_keys(keys):
    return np.array(keys, np.int64)


class RowCacheMachine(RuleBasedStateMachine):
    """A store of rows, and a cache in front of it.

    Attributes:
        store: the row of each key, None where it has none.
        moved: the step that last updated or erased each key.
    """

    resolved = Bundle("resolved")

    @initialize(
        policy=st.sampled_from(POLICIES),
        exact=st.booleans(),
        row_bytes=st.sampled_from([2, 6, 16, 100]),
        buckets=st.sampled_from([1, 2, 5]),
    )
    def begin(self, policy, exact, row_bytes, buckets):
        self.key_bits = 24 if exact else 64
        self.cache = _native.RowCache(
            row_bytes=row_bytes,
            num_rows=16 * buckets,
            key_bits=self.key_bits,
            exact=exact,
            **policy,
        )
        self.row_bytes = row_bytes
        self.store = {}
        self.moved = {}
        self.steps = self.updates = 0

    def current(self, key):
        """The key's row [row_bytes] as the store has it; None: it has none."""
        if key not in self.store:
            self.store[key] = self.new_row(key)
        return self.store[key]

    def new_row(self, key):
        self.updates += 1
        seed = [self.updates, key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF]
        return np.random.default_rng(seed).integers(1, 256, self.row_bytes, np.uint8)

    def stacked(self, rows):
        return np.stack(rows) if rows else np.zeros((0, self.row_bytes), np.uint8)

    def held(self):
        """Whether each key that the cache holds is known to be absent."""
        keys, uses, absent = self.cache.contents()
        assert (uses < 16).all()
        held = dict(zip(keys.tolist(), absent.tolist(), strict=True))
        assert len(held) == len(keys)
        return held

    def move(self, keys):
        self.steps += 1
        self.moved |= dict.fromkeys(keys, self.steps)

    @rule(keys=DISTINCT)
    def update(self, keys):
        held = self.held()
        self.store |= {key: self.new_row(key) for key in keys}
        self.move(keys)
        rows = self.stacked([self.store[key] for key in keys])
        count = self.cache.overwrite(as_keys(keys), rows)
        assert count == len(held.keys() & set(keys))

    @rule(keys=DISTINCT, deletes=st.booleans())
    def erase(self, keys, deletes):
        held = self.held()
        if deletes:
            self.store |= dict.fromkeys(keys)
        self.move(keys)
        assert self.cache.erase(as_keys(keys)) == len(held.keys() & set(keys))
        assert not self.held().keys() & set(keys)

    @rule(target=resolved, keys=BATCHES, count=st.integers(1, 20))
    def resolve(self, keys, count):
        batch = self.cache.begin_batch()
        rows = [self.current(key) for key in keys]
        return keys, rows, count, batch, self.steps

    @rule(late=consumes(resolved))
    def insert(self, late):
        keys, rows, count, batch, step = late
        held = self.held()
        for absent in (False, True):
            some = [i for i, row in enumerate(rows) if (row is None) == absent]
            self.cache.insert(
                as_keys([keys[i] for i in some]),
                None if absent else self.stacked([rows[i] for i in some]),
                np.full(len(some), count, np.uint32),
                batch,
            )
        stale = {key for key in keys if self.moved.get(key, 0) > step}
        assert not (stale - held.keys()) & self.held().keys()

    @rule(keys=BATCHES)
    def insert_at_once(self, keys):
        keys = [key for key in keys if self.current(key) is not None]
        self.cache.insert(as_keys(keys), self.stacked([self.store[k] for k in keys]))

    @rule(keys=BATCHES)
    def lookup(self, keys):
        held = self.held()
        rows = np.full((len(keys), self.row_bytes), 0xA5, np.uint8)
        states = self.cache.lookup(as_keys(keys), rows)
        assert states.dtype == np.uint8
        nothing = np.zeros(self.row_bytes, np.uint8)
        for key, state, row in zip(keys, states.tolist(), rows, strict=True):
            if key not in held:
                assert state == MISSED
            else:
                assert state == (ABSENT if held[key] else FOUND)
            expected = self.store[key] if state == FOUND else nothing
            np.testing.assert_array_equal(row, expected)

    @invariant()
    def contents_are_true(self):
        for key, is_absent in self.held().items():
            assert 0 <= key % 2**64 < 2**self.key_bits
            assert is_absent == (self.store[key] is None)

    @invariant()
    def counters_add_up(self):
        stats = self.cache.stats()
        assert stats["capacity"] == self.cache.num_rows
        assert stats["bytes"] == self.cache.nbytes
        assert stats["rows"] == len(self.held()) <= stats["capacity"]
        came_to = ("fills", "evictions", "rejects", "stale")
        assert stats["attempts"] == sum(stats[name] for name in came_to)
        assert stats["rows"] == stats["fills"] - stats["erasures"]


RowCacheMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
TestRowCacheMachine = RowCacheMachine.TestCase


SIZED = {"row_bytes": 4, "num_rows": 16}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_rows": 0}, "a size above 0 in rows or in bytes, got 0 rows and 0 bytes"),
        ({"num_rows": -16}, "got -16 rows"),
        ({"max_bytes": 1 << 20}, "got 16 rows and 1048576 bytes"),
        ({"num_rows": 0, "max_bytes": 300}, "300 bytes hold no bucket of 16 rows of 4"),
        ({"num_rows": 2**60}, "at most 68719476720 rows"),
        ({"num_rows": 2**35, "row_bytes": 4096}, "more than this machine's"),
        ({"row_bytes": 0}, "rows of 1 to 16777216 bytes, got 0"),
        ({"row_bytes": -4}, "got -4"),
        ({"row_bytes": 2**24 + 1}, "got 16777217"),
        ({"key_bits": 0}, "keys of 1 to 64 bits, got 0"),
        ({"key_bits": 65}, "got 65"),
        ({"key_bits": 25, "exact": True}, "keys of 25 bits in 1 buckets cannot"),
        ({"policy": "fifo"}, "policy 'fifo': expected frequency, lru or s3fifo"),
        ({"admit": "never"}, "admit 'never': expected frequency or always"),
        ({"halving": -1}, "halving -1: expected 0 to"),
        ({"halving": 1000}, "halving 1000: expected 0 to"),
    ],
)
def test_options_that_make_no_sense(fields, message):
    with pytest.raises(ValueError, match=message):
        _native.RowCache(**(SIZED | fields))


@pytest.mark.parametrize(
    "fields", [{"max_bytes": -1}, {"num_rows": 2**70}, {"exact": "yes"}]
)
def test_options_of_other_types(fields):
    with pytest.raises(TypeError):
        _native.RowCache(**(SIZED | fields))


@pytest.fixture
def cache():
    return _native.RowCache(**SIZED)


KEY, ROW = np.zeros(1, np.int64), np.zeros((1, 4), np.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.lookup(KEY.astype(np.int32), ROW.copy()),
        lambda cache: cache.lookup(KEY, ROW.astype(np.float32)),
        lambda cache: cache.lookup(KEY, np.zeros((1, 8), np.uint8)[:, ::2]),
        lambda cache: cache.insert(
            np.zeros(4, np.int64)[::2], np.zeros((2, 4), np.uint8)
        ),
        lambda cache: cache.insert(KEY.astype(np.uint64), None),
        lambda cache: cache.insert([0], None),
        lambda cache: cache.insert(KEY, ROW, np.ones(1, np.int64)),
        lambda cache: cache.insert(KEY, ROW, None, 0),
        lambda cache: cache.overwrite(KEY, None),
        lambda cache: cache.erase(KEY.astype(np.float64)),
    ],
)
def test_arrays_are_taken_as_they_are_or_refused(cache, call):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        call(cache)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cache: cache.lookup(KEY, np.zeros(3, np.uint8)), r"rows \[1, 4\] of"),
        (lambda cache: cache.lookup(KEY, np.zeros((2, 4), np.uint8)), r"rows \[1, 4\]"),
        (lambda cache: cache.insert(KEY, np.zeros(5, np.uint8)), r"rows \[1, 4\]"),
        (lambda cache: cache.overwrite(KEY, ROW[:0]), r"rows \[1, 4\]"),
        (lambda cache: cache.insert(KEY, ROW, np.ones(2, np.uint32)), "as many counts"),
    ],
)
def test_arrays_of_other_lengths(cache, call, message):
    with pytest.raises(ValueError, match=message):
        call(cache)
    assert cache.stats()["attempts"] == 0


def test_lookups_write_nothing_that_is_read_only(cache):
    rows = ROW.copy()
    rows.flags.writeable = False
    with pytest.raises(ValueError, match="not writeable"):
        cache.lookup(KEY, rows)


def test_rows_of_an_odd_number_of_bytes_cannot_be_looked_up():
    cache = _native.RowCache(row_bytes=3, num_rows=16)
    with pytest.raises(ValueError, match="an even number of bytes"):
        cache.lookup(KEY, np.zeros((1, 3), np.uint8))


@pytest.mark.parametrize("row_bytes", [2, 64, 4096])
@pytest.mark.parametrize("size", [{"num_rows": 1000}, {"max_bytes": 10_000_000}])
def test_the_size_is_known_beforehand(row_bytes, size):
    rows, size_bytes = _native.row_cache_bytes(row_bytes=row_bytes, **size)
    cache = _native.RowCache(row_bytes=row_bytes, **size)
    assert (cache.num_rows, cache.nbytes) == (rows, size_bytes)
    assert size_bytes <= size.get("max_bytes", size_bytes)
    assert rows >= size.get("num_rows", 16)
