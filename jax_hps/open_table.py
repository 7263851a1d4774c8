# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`OpenTable`: one table as a server holds it, and its counters."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import _native
from .caching import CacheStats, make_row_cache
from .config import TableSpec
from .errors import ClosedError, ConfigError, TableDataError
from .failures import Failure
from .resolver import Resolver
from .storage.dtypes import cast_rows
from .storage.opening import open_version
from .storage.version import TableVersion
from .table import Table
from .warm_start import HotKeysFile, RowCacheWork
from .warming import PageCacheWork, Warming, WarmingWork

# A local table that does not answer for so long is an error: its disk must be dead.
LOCAL_DEADLINE_S = 30.0


class TableStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a table has answered since it was opened.

    Attributes:
        lookups: calls.
        keys: keys of those calls, duplicates included.
        row_cache_hits: keys whose row came from the row cache.
        base_hits: keys whose row came from the table on disk.
        defaults: keys that answered the default vector because they are unknown.
        deferred: keys that did because their rows were left to come later (see
            `TableSpec.hit_rate_threshold`).
        unavailable: keys that did because a tier failed, or the server was closed.
        degraded: keys that did because the deadline had passed.
        failures: failures that `ParameterServer.check` raises or has raised.
        bytes: bytes of rows handed out.
        row_cache: what the row cache holds and has been offered; None: there is none.
    """

    lookups: int
    keys: int
    row_cache_hits: int
    base_hits: int
    defaults: int
    deferred: int
    unavailable: int
    degraded: int
    failures: int
    bytes: int
    row_cache: CacheStats | None = None

    @property
    def evictions(self) -> int:
        """Rows that had to leave a cache for others."""
        return self.row_cache.evictions if self.row_cache else 0


class OpenTable:
    """A table that a server has opened: its version, native twin and resolver."""

    def __init__(self, server: str, spec: TableSpec) -> None:
        self.key = self.key_of(spec.name, spec.model)
        self._spec = spec
        self.version = open_version(spec.path)
        self.handle = Table(
            server=server,
            model=spec.model,
            name=spec.name,
            dim=self.version.dim,
            dtype=self.version.dtype.name,
            key_dtype=spec.key_dtype or self.version.key_dtype,
            num_rows=self.version.num_rows,
            is_dense=self.version.is_dense,
        )
        default = _default_row(spec, self.version)
        self._cache = _row_cache(spec, self.version)
        self._hot_keys = HotKeysFile(spec, self.version)
        self._guard = threading.Lock()
        self._warming: Warming | None = None
        self._warm_start: Warming | None = None
        self._num_hot = 0
        self._closed = False
        array = self.version.tensorstore
        self._resolver = Resolver(self.handle.full_name, array) if array else None
        try:
            self._native = self._make_native(spec, default)
        except BaseException:
            self._stop_threads()
            raise
        self._start_warm()

    @staticmethod
    def key_of(name: str, model: str) -> str:
        """By what a server's methods name the table."""
        return name if model == "default" else f"{model}/{name}"

    def publish(self) -> None:
        """Let lookups find the table."""
        self._native.open()

    def withdraw(self) -> None:
        """Take the table from lookups that begin from now on."""
        self._native.close()

    def close(self) -> None:
        """Withdraw the table, stop its threads, keep its hot keys."""
        self.withdraw()
        with self._guard:
            was_closed, self._closed = self._closed, True
        self._stop_threads()
        if self._cache and not was_closed:
            # A warm start that was cut short must not make the next one poorer.
            self._hot_keys.save(self._cache, at_least=self._num_hot_unread())

    def warm(self, *, progress: bool = False) -> Warming:
        """Begin to read rows into memory, or tell how far that is."""
        with self._guard:
            if self._closed:
                raise ClosedError(f"table {self.handle.full_name!r} was closed.")
            if self._warming is None or self._warming.done:
                self._warming = Warming(
                    self.handle.full_name, self._warming_work(), progress=progress
                )
            return self._warming

    def stats(self) -> TableStats:
        """Read the counters."""
        cache = CacheStats(**self._cache.stats()) if self._cache else None
        return TableStats(**self._native.stats(), row_cache=cache)

    def take_failures(self) -> list[Failure]:
        """Take what no call could raise."""
        return self._native.take_failures()

    def __repr__(self) -> str:
        table = self.handle
        kind = "dense" if table.is_dense else "sparse"
        return (
            f"{table.full_name}: {table.num_rows} {kind} rows of {table.dim} "
            f"{table.dtype}, read by {self.version.reader}"
        )

    def _make_native(
        self, spec: TableSpec, default: NDArray[Any] | None
    ) -> _native.Table:
        queue = self._resolver.queue if self._resolver else None
        is_remote = self.version.is_remote
        return _native.Table(
            self.handle.full_name,
            self.version.make_base(queue=queue, default=default),
            row_cache=self._cache,
            missing_is_error=spec.on_missing == "error",
            strict=spec.strict,
            may_default=is_remote,
            deadline_s=spec.deadline_s if is_remote else LOCAL_DEADLINE_S,
            hit_rate_threshold=spec.hit_rate_threshold,
        )

    def _warming_work(self) -> WarmingWork:
        if self._cache is None:
            return PageCacheWork(self.version.rows.mapped)
        policy = self._spec.row_cache.policy if self._spec.row_cache else None
        return RowCacheWork(
            self._cache,
            self.version,
            self._hot_keys.load(),
            hottest_first=policy == "frequency",
        )

    def _start_warm(self) -> None:
        """Go on where the last run's cache was, while lookups run."""
        hot = self._hot_keys.load() if self._cache else None
        if self._cache and hot is not None:
            self._num_hot = min(hot.keys.size, self._cache.num_rows)
            self._warm_start = self.warm()

    def _num_hot_unread(self) -> int:
        """How many keys the last run knew, if they have not all been read; else 1."""
        start = self._warm_start
        if start is None or start.bytes_done >= start.bytes_total:
            return 1
        return self._num_hot

    def _stop_threads(self) -> None:
        if self._warming:
            self._warming.cancel()
        if self._resolver:
            self._resolver.close()


def _row_cache(spec: TableSpec, version: TableVersion) -> _native.RowCache | None:
    if spec.row_cache is None:
        return None
    try:
        return make_row_cache(spec.row_cache, version)
    except ValueError as error:
        raise ConfigError(f"TableSpec {spec.name!r}: {error}") from error


def _default_row(spec: TableSpec, version: TableVersion) -> NDArray[Any] | None:
    if spec.default is None:
        return None
    what = f"TableSpec {spec.name!r}: default"
    try:
        default = cast_rows(np.asarray(spec.default), version.dtype, what)
    except TableDataError as error:
        raise ConfigError(str(error)) from error
    if default.shape not in ((), (1,), (version.dim,)):
        raise ConfigError(
            f"{what} has {default.size} elements; expected a number or a vector of the "
            f"table's dim, {version.dim}."
        )
    return np.full(version.dim, default, version.dtype)
