# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Tables behind a row cache, wherever their rows are, and what they must answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import msgspec
import numpy as np
import tensorstore as ts

import jax_hps as hps
from jax_hps.storage.hot_keys import decode
from jax_hps.storage.tensorstore_rows import context

# What a failing call raises; see tests/jax/jax_checks.py.
CALL_ERRORS = (jax.errors.JaxRuntimeError, ValueError)

# Where rows can be: mapped by the native reader; compressed on the disk, which
# TensorStore reads; at a URL, where lookups have a deadline.
BASES = ["mapped", "zstd", "memory"]
RESOLVED = ["zstd", "memory"]

# Every policy, and every way to let keys in.
POLICIES = {
    "frequency": {"policy": "frequency"},
    "forgetful": {"policy": "frequency", "halving": 1},
    "always": {"policy": "frequency", "admit": "always"},
    "lru": {"policy": "lru"},
    "s3fifo": {"policy": "s3fifo"},
}

_CODECS = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "zstd", "configuration": {"level": 1}},
]
_CHUNK_ROWS = 16


def assert_same(actual, expected):
    """Assert that two arrays agree in shape, dtype and every bit."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    bits = np.dtype(f"u{actual.itemsize}")
    np.testing.assert_array_equal(actual.view(bits), expected.view(bits))


def with_spec(model, **fields):
    """The model under a specification with other fields."""
    spec = msgspec.structs.replace(model.spec, **fields)
    return dataclasses.replace(model, spec=spec)


def on_base(model, base, **fields):
    """The model of the same table with its rows elsewhere; see `BASES`."""
    if base == "mapped":
        return with_spec(model, **fields)
    if base == "memory":
        # A remote table has a deadline; this one shall not pass on a busy machine.
        return with_spec(model, path=upload(model), **{"deadline_s": 50.0} | fields)
    path = Path(f"{model.spec.path}-zstd")
    if not path.exists():
        compress(model, path)
    # What a bare array cannot say.
    said = {"default": tuple(model.default.astype(float).tolist())}
    said["key_dtype"] = hps.open_table(model.spec.path).key_dtype
    return with_spec(model, path=str(path), **said | fields)


def compress(model, path):
    """Write the model's arrays as zarr3, compressed: no other reader takes them."""
    arrays = {"": model.rows}
    if not is_dense(model):
        arrays = {"rows/": model.rows, "keys/": model.keys}
    for name, data in arrays.items():
        chunk = [_CHUNK_ROWS, *data.shape[1:]]
        array = ts.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": f"{path}/{name}"},
                "metadata": {"codecs": _CODECS},
            },
            dtype=data.dtype.name,
            shape=data.shape,
            chunk_layout=ts.ChunkLayout(chunk_shape=chunk),
            create=True,
        )
        array.result()[...] = data


def upload(model):
    """Copy the model's table, manifest and all, into TensorStore's memory."""
    path = Path(model.spec.path)
    url = f"memory://{path.name}"
    store = ts.KvStore.open(f"{url}/", context=context()).result()
    for file in path.rglob("*"):
        if file.is_file():
            store.write(str(file.relative_to(path)), file.read_bytes()).result()
    return url


def is_dense(model):
    return hps.open_table(model.spec.path).is_dense


@dataclasses.dataclass(frozen=True)
class Served:
    """A table that a server serves, and what it must answer."""

    server: hps.ParameterServer
    model: object

    @property
    def table(self):
        return self.server.table(self.model.name)

    @property
    def stats(self):
        return self.server.stats()[self.model.name]

    @property
    def opened(self):
        return self.server._tables[self.model.name]

    @property
    def held(self):
        """Keys whose rows the cache holds, ascending."""
        keys, _, absent = self.opened._cache.contents()
        return np.sort(keys[~absent])

    def check(self, ids, keys=None, dtype=None):
        """Look keys up, given as `keys` if not as ids, and hold them against the model.

        On the way every counter that a lookup has is held against its arguments.
        """
        before = self.stats
        rows, found = hps.lookup(
            self.table,
            hps.keys(ids) if keys is None else keys,
            dtype=dtype,
            return_found=True,
        )
        assert_same(rows, self.model.answer(ids, dtype))
        assert_same(found, self.model.known(ids))
        after, known = self.stats, int(self.model.known(ids).sum())
        assert after.keys - before.keys == np.size(ids)
        assert after.defaults - before.defaults == np.size(ids) - known
        assert_counters_add_up(after)

    def hits(self, ids):
        """Look keys up; how many rows came from the cache, and how many did not."""
        before = self.stats
        self.check(ids)
        after = self.stats
        return (
            after.row_cache_hits - before.row_cache_hits,
            after.base_hits - before.base_hits,
        )


def assert_counters_add_up(stats):
    """Every key is counted once, and so is every offer to the cache."""
    assert stats.keys == (
        stats.row_cache_hits
        + stats.base_hits
        + stats.defaults
        + stats.deferred
        + stats.unavailable
        + stats.degraded
    )
    cache = stats.row_cache
    assert cache.attempts == (
        cache.fills + cache.evictions + cache.rejects + cache.stale
    )
    assert cache.rows == cache.fills - cache.erasures <= cache.capacity
    assert stats.evictions == cache.evictions


def some_keys(model, seed, size):
    """Known and unknown keys in any order, some of them often: int64 [size]."""
    random = np.random.default_rng(seed)
    few = random.choice(model.keys, 8)
    pool = np.concatenate([model.keys, np.tile(few, 10), model.unknown])
    return random.choice(pool, size)


def saved_hot_keys(path):
    """The file of hot keys that a server left."""
    return decode(Path(path).read_bytes())
