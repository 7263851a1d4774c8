# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Row caches that start warm: their hot keys between runs, and the rows of those."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _native
from .config import TableSpec
from .errors import HpsError
from .storage.arrays import key_blocks
from .storage.hot_keys import HotKeys, load_hot_keys, save_hot_keys
from .storage.version import TableVersion

_log = logging.getLogger("jax_hps.server")

HOT_KEYS_NAME = "HOT_KEYS"

# Of warming: large enough to keep a store busy, small enough to be cancelled soon.
KEYS_PER_STEP = 4096

# A store that does not answer must not keep a server from closing.
STEP_TIMEOUT_S = 30.0


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
