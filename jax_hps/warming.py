# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`Warming`: rows on their way into memory, while lookups run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Protocol

from . import _native
from .errors import ClosedError, DeadlineError
from .storage.progress import show_progress

_log = logging.getLogger("jax_hps.server")

STEP_BYTES = 64 << 20


class WarmingWork(Protocol):
    """What a `Warming` does.

    Attributes:
        bytes_total: bytes to read.
        row_bytes: bytes of a row.
    """

    bytes_total: int
    row_bytes: int

    def steps(self) -> Iterator[int]:
        """Read step by step; the bytes that each step read."""


class Warming:
    """Reads a table's rows into memory behind the caller's back.

    Made by `ParameterServer.warm`. A table with a row cache gets its hottest rows into
    that. Of others the rows come into the page cache; where the kernel and the file
    system can (Linux 6 on ext4, xfs, btrfs), they come to lie in huge pages there,
    which random reads like.

    Attributes:
        bytes_total: bytes to read; 0 where there is nothing to warm.
        bytes_done: bytes read so far.
    """

    def __init__(self, name: str, work: WarmingWork, *, progress: bool = False) -> None:
        self.bytes_total = work.bytes_total
        self.bytes_done = 0
        self._name = name
        self._work = work
        self._progress = progress
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"hps-warm-{name}", daemon=True
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all is read.

        Raises:
            DeadlineError: `timeout_s` has passed; reading goes on.
            ClosedError: it was cancelled, or the table was closed.
            OSError: a file could not be read.
            TierUnavailableError: a store did not answer.
        """
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise DeadlineError(
                f"warm: {self.bytes_done} of {self.bytes_total} bytes read after "
                f"{timeout_s} s; reading goes on."
            )
        if self._error:
            raise self._error
        if self.bytes_done < self.bytes_total:
            raise ClosedError(
                f"warm: stopped after {self.bytes_done} of {self.bytes_total} bytes."
            )

    def cancel(self) -> None:
        """Stop behind the step that is being read, and wait for that."""
        self._cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        total_rows = self.bytes_total // self._work.row_bytes
        try:
            with contextlib.ExitStack() as stack:
                advance = stack.enter_context(
                    show_progress(
                        f"warm {self._name}", total_rows, enabled=self._progress
                    )
                )
                for step_bytes in self._work.steps():
                    self.bytes_done += step_bytes
                    advance(step_bytes // self._work.row_bytes)
                    if self._cancelled.is_set():
                        break
        except Exception as error:  # raised by `wait`, for which nobody may call
            self._error = error
            _log.warning("%s was not warmed to the end: %s", self._name, error)


class PageCacheWork:
    """Reads every file of the rows into the page cache."""

    def __init__(self, rows: _native.MappedArray | None) -> None:
        self._rows = rows
        self.bytes_total = rows.mapped_bytes if rows else 0
        self.row_bytes = rows.row_bytes if rows else 1

    def steps(self) -> Iterator[int]:
        """Read step by step; the bytes that each step read."""
        if self._rows is None:
            return
        for file in range(self._rows.num_files):
            for begin in range(0, self._rows.file_bytes(file), STEP_BYTES):
                yield self._rows.warm(file, begin, STEP_BYTES)
