# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What all contenders did on one stream with caches of one size."""

from __future__ import annotations

import dataclasses

from .replay import Figures

LRU_64 = "LRU of 64 ways"  # HPS' own
LRU_16 = "LRU of 16 ways"
STATIC_TOP = "static top"
EXACT_LFU = "exact LFU"
BELADY = "Belady"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One stream, one size, every contender.

    Attributes:
        stream: its name.
        num_rows: rows of the table.
        capacity: rows in the cache.
        figures: by the contender's name; references have the names above.
    """

    stream: str
    num_rows: int
    capacity: int
    figures: dict[str, Figures]

    @property
    def share(self) -> float:
        """Of the table, in the cache."""
        return self.capacity / self.num_rows

    @property
    def size(self) -> str:
        """Of the cache, to read."""
        return f"{self.capacity:,} rows ({100 * self.share:.2g} %)"
