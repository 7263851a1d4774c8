# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What every suite is given, and where it leaves its rows."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from .report import line
from .rows import Row

GIB = 2**30


@dataclasses.dataclass
class Run:
    """One run of a suite.

    Attributes:
        folder: a scratch folder on the disk to measure.
        console: for progress.
        quick: smaller tables and fewer calls, to see that everything works.
        seed: of all data and keys.
        rows: the measurements so far.
    """

    folder: Path
    console: Console
    quick: bool
    seed: int
    rows: list[Row] = dataclasses.field(default_factory=list)

    @property
    def table_bytes(self) -> int:
        """Size of the rows of a table."""
        return GIB // 8 if self.quick else 2 * GIB

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.console.print(line(row))

    def skip(self, case: str, reason: str) -> None:
        self.console.print(f"[yellow]{case} left out: {reason}[/]")

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards, whatever happens."""
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        try:
            yield path
        finally:
            shutil.rmtree(path)
