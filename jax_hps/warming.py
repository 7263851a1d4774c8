# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`Warming`: a table's files on their way into memory, while lookups run."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from . import _native
from .errors import ClosedError, DeadlineError

STEP_BYTES = 64 << 20


class Warming:
    """Reads a table's rows into the page cache behind the caller's back.

    Made by `ParameterServer.warm`. Where the kernel and the file system can (Linux 6 on
    ext4, xfs, btrfs), the rows come to lie in huge pages, which random reads like.

    Attributes:
        bytes_total: bytes to read; 0 where TensorStore reads the rows.
        bytes_done: bytes read so far.
    """

    def __init__(self, name: str, rows: _native.MappedArray | None) -> None:
        self.bytes_total = rows.mapped_bytes if rows else 0
        self.bytes_done = 0
        self._rows = rows
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
        """Stop behind the step that is being read (64 MiB), and wait for that."""
        self._cancelled.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for _ in self._steps():
                if self._cancelled.is_set():
                    break
        except Exception as error:  # raised by `wait`
            self._error = error

    def _steps(self) -> Iterator[None]:
        """Read, step by step, every file of the rows."""
        if self._rows is None:
            return
        for file in range(self._rows.num_files):
            for begin in range(0, self._rows.file_bytes(file), STEP_BYTES):
                self.bytes_done += self._rows.warm(file, begin, STEP_BYTES)
                yield
