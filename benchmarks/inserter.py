# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that inserts into a cache for as long as it is let."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .cores import move_to
from .full_cache import FullCache
from .random_keys import rows_of

BATCH = 8192  # keys: a call of some milliseconds


class Inserter:
    """Inserts keys that the cache does not hold, flat out.

    Args:
        full: the cache.
        core: where the thread runs.

    Attributes:
        seconds: that each insertion of `BATCH` keys has taken.
    """

    def __init__(self, full: FullCache, core: int) -> None:
        self.seconds: list[float] = []
        self._cache, self._core = full.cache, core
        # As many as there are rows: when they come again they have long been evicted.
        batches = max(1, full.cache.num_rows // BATCH)
        self._batches = itertools.cycle(
            [full.others.next(BATCH) for _ in range(batches)]
        )
        self._rows = rows_of(next(self._batches), full.row_bytes)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Insert from now on, until the block is left."""
        started, stopping = threading.Event(), threading.Event()

        def insert() -> None:
            move_to(self._core)
            while not stopping.is_set():
                keys = next(self._batches)
                start = time.perf_counter()
                self._cache.insert(keys, self._rows)
                self.seconds.append(time.perf_counter() - start)
                started.set()

        thread = threading.Thread(target=insert)
        thread.start()
        started.wait()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
