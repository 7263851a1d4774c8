# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Threads that answer misses for rows that the compiled half cannot read itself."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _native
from .errors import CorruptTableError

_here = threading.local()


def in_resolver_thread() -> bool:
    """Tell whether this thread answers misses: a lookup from it could never end."""
    return getattr(_here, "is_resolver", False)


class RowReader(Protocol):
    """Where a resolver gets rows from. It must not call JAX, which would deadlock."""

    def read_rows(
        self, numbers: NDArray[np.int64], *, timeout_s: float | None = None
    ) -> NDArray[Any]:
        """Read rows by number, which may repeat: [n] to [n, dim]."""


class Resolver:
    """A queue of misses and the threads that answer them from a reader.

    The threads are daemons, so that they never hold up the interpreter's exit; `close`
    must come before the interpreter is torn down, for a thread that then asks for the
    GIL would hang (`ParameterServer` sees to it).

    Args:
        name: shows in the names of the threads.
        reader: answers row numbers.
        threads: how many requests are answered at a time.
    """

    def __init__(self, name: str, reader: RowReader, *, threads: int = 2) -> None:
        self.queue = _native.ResolverQueue()
        self._reader = reader
        self._threads = [
            threading.Thread(
                target=self._run, name=f"hps-resolver-{name}-{number}", daemon=True
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self, timeout_s: float = 30.0) -> None:
        """Fail what waits, then wait for what is being read."""
        self.queue.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        _here.is_resolver = True
        while (request := self.queue.take()) is not None:
            self._resolve(request)

    def _resolve(self, request: _native.ResolverRequest) -> None:
        timeout_s = request.timeout_s
        if timeout_s <= 0:  # nobody waits any more
            request.fail("the request waited past its deadline")
            return
        try:
            rows = self._reader.read_rows(request.rows, timeout_s=timeout_s)
            request.answer(np.ascontiguousarray(rows).view(np.uint8))
        except CorruptTableError as error:
            request.fail(str(error), is_damage=True)
        except Exception as error:  # whatever it is, the lookup must hear of it
            request.fail(f"{type(error).__name__}: {error}")
