# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How far a long write has come: a bar on a terminal, lines in a log elsewhere."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

logger = logging.getLogger("jax_hps.storage")

LOG_EVERY_S = 10.0

Advance = Callable[[int], None]


@contextlib.contextmanager
def show_progress(
    name: str, total_rows: int | None, *, enabled: bool
) -> Iterator[Advance]:
    """Yield a function to call with the number of rows that each step wrote.

    Args:
        name: what is being written.
        total_rows: rows in all; None if unknown, and then no time is estimated.
        enabled: False: say nothing.
    """
    if not enabled:
        yield lambda rows: None
        return
    from rich.console import Console  # slow to import, rarely needed

    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console, name, total_rows) as advance:
            yield advance
    else:
        yield _LogLines(name, total_rows)


@contextlib.contextmanager
def _bar(console: object, name: str, total_rows: int | None) -> Iterator[Advance]:
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f} rows"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console) as bar:  # type: ignore[arg-type]
        task = bar.add_task(name, total=total_rows, rate="")
        started = time.monotonic()
        written = 0

        def advance(rows: int) -> None:
            nonlocal written
            written += rows
            rate = _rate(written, time.monotonic() - started)
            bar.update(task, advance=rows, rate=rate)

        yield advance


class _LogLines:
    def __init__(self, name: str, total_rows: int | None) -> None:
        self._name = name
        self._total = total_rows
        self._written = 0
        self._started = self._logged = time.monotonic()

    def __call__(self, rows: int) -> None:
        self._written += rows
        now = time.monotonic()
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            logger.info("%s: %s", self._name, self._state(now - self._started))

    def _state(self, elapsed_s: float) -> str:
        done = f"{self._written:,} rows, {_rate(self._written, elapsed_s)}"
        if not self._total or not self._written:
            return done
        left_s = elapsed_s * (self._total - self._written) / self._written
        return f"{done}, {self._written / self._total:.0%}, {left_s:.0f} s left"


def _rate(rows: int, elapsed_s: float) -> str:
    return f"{rows / max(elapsed_s, 1e-9):,.0f} rows/s"
