# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The row cache of a table: its size, its counters, and its hot keys between runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import _native
from .config import CacheSpec, KeyDtype, TableSpec
from .errors import HpsError
from .storage.arrays import key_blocks
from .storage.hot_keys import HotKeys, load_hot_keys, save_hot_keys
from .storage.opening import TableArrays
from .storage.version import TableVersion

_log = logging.getLogger("jax_hps.server")

HOT_KEYS_NAME = "HOT_KEYS"

# Of warming: large enough to keep a store busy, small enough to be cancelled soon.
KEYS_PER_STEP = 4096

# A store that does not answer must not keep a server from closing.
STEP_TIMEOUT_S = 30.0


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache holds, and what has been offered to it since it was opened.

    Attributes:
        capacity: rows that there is room for.
        rows: rows that it holds, keys known to be absent included.
        bytes: bytes of memory, metadata included.
        attempts: keys that were asked for, not held, and offered.
        fills: of those, how many found an empty place.
        evictions: how many took the place of another key.
        rejects: how many were not let in.
        stale: how many were left out because an update of their key came before them.
        ghost_hits: how many were not held any more, or not yet, but remembered.
        absents: of those let in, how many keys are known to be absent.
        overwrites: updates of keys that it held.
        erasures: deletions of such.
    """

    capacity: int
    rows: int
    bytes: int
    attempts: int
    fills: int
    evictions: int
    rejects: int
    stale: int
    ghost_hits: int
    absents: int
    overwrites: int
    erasures: int


def key_bits(key_dtype: KeyDtype, num_rows: int, *, is_dense: bool) -> int:
    """Bits that hold every key of a table: the fewer, the less a cache must store."""
    if is_dense:
        return max(1, (num_rows - 1).bit_length())
    return 32 if key_dtype == "uint32" else 64


def size_of(spec: CacheSpec, num_rows: int) -> tuple[int, int]:
    """Rows, or else bytes, that a cache of a table shall have; the other one is 0.

    Raises:
        ValueError: more than can be counted.
    """
    rows, max_bytes = spec.rows or 0, spec.bytes or 0
    if spec.fraction is not None:
        rows = max(1, math.ceil(spec.fraction * num_rows))
    if max(rows, max_bytes) >= 2**63:
        raise ValueError(f"row cache: {spec} is more than any machine's memory.")
    return rows, max_bytes


def plan_row_cache(spec: CacheSpec, arrays: TableArrays) -> tuple[int, int]:
    """Rows and bytes of the cache that `make_row_cache` would make, exactly."""
    num_rows, dim = arrays.rows.shape
    bits = key_bits(arrays.key_dtype, num_rows, is_dense=arrays.keys is None)
    cache_rows, max_bytes = size_of(spec, num_rows)
    return _native.row_cache_bytes(
        row_bytes=dim * arrays.rows.itemsize,
        key_bits=bits,
        num_rows=cache_rows,
        max_bytes=max_bytes,
    )


def make_row_cache(spec: CacheSpec, version: TableVersion) -> _native.RowCache:
    """Make the cache that a specification asks for.

    Raises:
        ValueError: it cannot be had; the message has the numbers.
    """
    bits = key_bits(version.key_dtype, version.num_rows, is_dense=version.is_dense)
    rows, max_bytes = size_of(spec, version.num_rows)
    return _native.RowCache(
        row_bytes=version.dim * version.dtype.itemsize,
        key_bits=bits,
        policy=spec.policy,
        admit=spec.admit,
        halving=spec.halving or 0,
        num_rows=rows,
        max_bytes=max_bytes,
    )


class HotKeysFile:
    """Where the hot keys of one table are kept, if anywhere; never raises."""

    def __init__(self, spec: TableSpec, version: TableVersion) -> None:
        self._uuid = version.manifest.uuid if version.manifest else ""
        self._path: Path | None = None
        if isinstance(spec.hot_keys, str):
            self._path = Path(spec.hot_keys).expanduser().absolute()
        elif spec.hot_keys and version.manifest and version.location.path:
            self._path = version.location.path / HOT_KEYS_NAME

    def load(self) -> HotKeys | None:
        """The hot keys of the last run; None where there are none to be had."""
        if self._path is None:
            return None
        try:
            return load_hot_keys(self._path, table_uuid=self._uuid)
        except (HpsError, OSError, ValueError) as error:
            _log.warning("starting cold: %s", error)
            return None

    def save(self, cache: _native.RowCache, *, at_least: int = 1) -> None:
        """Keep what the cache holds, unless those are too few keys."""
        keys, uses, absent = cache.contents()
        keys, uses = keys[~absent], uses[~absent]
        if self._path is None or keys.size < at_least:
            return
        # They come bucket by bucket. Those used alike are mixed, or else the first ones
        # of them would all crowd into a few buckets of a smaller cache.
        mixed = np.random.default_rng(0).permutation(keys.size)
        order = mixed[np.argsort(uses[mixed], kind="stable")[::-1]]
        hot = HotKeys(keys=keys[order], counts=uses[order], table_uuid=self._uuid)
        try:
            save_hot_keys(self._path, hot)
        except (HpsError, OSError, ValueError) as error:
            _log.warning("hot keys were not saved: %s", error)


class RowCacheWork:
    """Reads rows into a row cache: hot keys, or else the table from its beginning."""

    def __init__(
        self,
        cache: _native.RowCache,
        version: TableVersion,
        hot: HotKeys | None,
        *,
        hottest_first: bool,
    ) -> None:
        """Plan what to read.

        Args:
            cache: gets the rows.
            version: has them.
            hot: keys to read; None: the first ones of the table.
            hottest_first: soonest of use, where the cache counts uses; False: those
                that are to stay longest come last, where it goes by order.
        """
        self._cache = cache
        self._version = version
        self._hot = hot
        self._hottest_first = hottest_first
        available = version.num_rows if hot is None else hot.keys.size
        self._num_keys = min(available, cache.num_rows)
        self.row_bytes = version.dim * version.dtype.itemsize
        self.bytes_total = self._num_keys * self.row_bytes

    def steps(self) -> Iterator[int]:
        """Read step by step; the bytes that each step read."""
        done = 0
        for keys, uses in self._blocks():
            left = self._num_keys - done
            if left == 0:
                return
            self._read(keys[:left], uses[:left])
            done += keys[:left].size
            yield keys[:left].size * self.row_bytes

    def _blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        if self._hot is not None:
            order = np.arange(self._num_keys)[:: 1 if self._hottest_first else -1]
            for start in range(0, self._num_keys, KEYS_PER_STEP):
                chosen = order[start : start + KEYS_PER_STEP]
                yield self._hot.keys[chosen], self._hot.counts[chosen]
            return
        for keys in self._keys_in_order():
            yield keys, np.ones(keys.size, np.uint8)

    def _keys_in_order(self) -> Iterator[NDArray[np.int64]]:
        if self._version.keys is not None:
            for _, block in key_blocks(self._version.keys, KEYS_PER_STEP):
                yield block
            return
        for start in range(0, self._version.num_rows, KEYS_PER_STEP):
            stop = min(start + KEYS_PER_STEP, self._version.num_rows)
            yield np.arange(start, stop)

    def _read(self, keys: NDArray[np.int64], uses: NDArray[Any]) -> None:
        batch = self._cache.begin_batch()
        rows, found = self._version.read(keys, timeout_s=STEP_TIMEOUT_S)
        counts = np.maximum(uses[found], 1).astype(np.uint32)
        known = np.ascontiguousarray(rows[found]).view(np.uint8)
        self._cache.insert(np.ascontiguousarray(keys[found]), known, counts, batch)
