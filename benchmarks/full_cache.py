# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A cache that is full, for the suite of the cache."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jax_hps import _native

from .random_keys import Keys, RandomKeys, rows_of
from .run import GIB, Run

NUM_KEYS = 65536  # in a call
ID_BITS = 40
TAG_BITS, WAYS = 24, 16
MAX_USE = 15  # that a row's counter counts to


@dataclasses.dataclass(frozen=True)
class FullCache:
    """A cache that is full of rows that say whose they are (see `rows_of`).

    Attributes:
        cache: the cache.
        dim: float32 numbers of a row.
        key_bits: as the cache was told.
        keys: those to ask for, all of them in the cache, int64 `[n]`.
        others: gives keys that it was never offered.
    """

    cache: _native.RowCache
    dim: int
    key_bits: int
    keys: Keys
    others: RandomKeys

    @property
    def row_bytes(self) -> int:
        return 4 * self.dim

    def shape(self, note: str) -> str:
        """The cache, to read, and whatever else the shape of a row should say."""
        mode = "exact" if self.cache.is_exact else "verified"
        gib = self.cache.num_rows * self.row_bytes / GIB
        return (
            f"dim {self.dim}, {note}, {self.key_bits}-bit keys, {mode}, {gib:.3g} GiB"
        )


def full_cache(
    run: Run,
    dim: int,
    *,
    key_bits: int = ID_BITS,
    hot: float = 1.0,
    seed: int | None = None,
    **options: Any,
) -> FullCache:
    """Make a cache for `run.table_bytes` of rows and fill it up.

    Args:
        run: gives size and seed.
        dim: float32 numbers of a row.
        key_bits: of the keys. 40 are fewer where the cache is too small to tell so
            many apart by tags.
        hot: keys to ask for, as a share of the rows; below 1 they have been asked for
            often, and the rest of the cache is filled with keys that have not.
        seed: of the keys, instead of the run's.
        options: policy, admit and halving of the cache.
    """
    num_rows = run.table_bytes // (4 * dim)
    if key_bits == ID_BITS:
        key_bits = min(ID_BITS, TAG_BITS + (num_rows // WAYS).bit_length() - 1)
    cache = _native.RowCache(
        row_bytes=4 * dim, num_rows=num_rows, key_bits=key_bits, **options
    )
    source = RandomKeys(key_bits, seed=run.seed if seed is None else seed)
    if hot < 1:
        _offer(cache, source, int(hot * num_rows), dim, use=MAX_USE)
    # Chance deals more keys to some buckets: half as many again, until all are full.
    _offer(cache, source, num_rows * 3 // 2, dim, use=1)
    keys, uses, _ = cache.contents()
    asked_for = keys[uses == MAX_USE] if hot < 1 else keys
    return FullCache(cache, dim, key_bits, asked_for, source)


def _offer(
    cache: _native.RowCache, source: RandomKeys, count: int, dim: int, *, use: int
) -> None:
    counts = np.full(NUM_KEYS, use, np.uint32)
    for start in range(0, count, NUM_KEYS):
        keys = source.next(min(NUM_KEYS, count - start))
        cache.insert(keys, rows_of(keys, 4 * dim), counts[: len(keys)])
