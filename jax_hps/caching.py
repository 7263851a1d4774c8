# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The row cache of a table: its size and its counters."""

from __future__ import annotations

import math

import msgspec

from . import _native
from .config import CacheSpec, KeyDtype
from .storage.opening import TableArrays
from .storage.version import TableVersion


class CacheStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache holds, and what has been offered to it since it was opened.

    Attributes:
        capacity: rows that there is room for.
        rows: rows that it holds, keys known to be absent included.
        bytes: bytes of memory, metadata included.
        attempts: keys that were asked for, not held, and offered.
        fills: of those, how many found an empty place.
        evictions: how many took the place of another key.
        rejects: how many were not let in.
        stale: how many were left out because an update of their key came before them.
        ghost_hits: how many were not held any more, or not yet, but remembered.
        absents: of those let in, how many keys are known to be absent.
        overwrites: updates of keys that it held.
        erasures: deletions of such.
    """

    capacity: int
    rows: int
    bytes: int
    attempts: int
    fills: int
    evictions: int
    rejects: int
    stale: int
    ghost_hits: int
    absents: int
    overwrites: int
    erasures: int


def key_bits(key_dtype: KeyDtype, num_rows: int, *, is_dense: bool) -> int:
    """Bits that hold every key of a table: the fewer, the less a cache must store."""
    if is_dense:
        return max(1, (num_rows - 1).bit_length())
    return 32 if key_dtype == "uint32" else 64


def size_of(spec: CacheSpec, num_rows: int) -> tuple[int, int]:
    """Rows, or else bytes, that a cache of a table shall have; the other one is 0.

    Raises:
        ValueError: more than can be counted.
    """
    rows, max_bytes = spec.rows or 0, spec.bytes or 0
    if spec.fraction is not None:
        rows = max(1, math.ceil(spec.fraction * num_rows))
    if max(rows, max_bytes) >= 2**63:
        raise ValueError(f"row cache: {spec} is more than any machine's memory.")
    return rows, max_bytes


def plan_row_cache(spec: CacheSpec, arrays: TableArrays) -> tuple[int, int]:
    """Rows and bytes of the cache that `make_row_cache` would make, exactly."""
    num_rows, dim = arrays.rows.shape
    bits = key_bits(arrays.key_dtype, num_rows, is_dense=arrays.keys is None)
    cache_rows, max_bytes = size_of(spec, num_rows)
    return _native.row_cache_bytes(
        row_bytes=dim * arrays.rows.itemsize,
        key_bits=bits,
        num_rows=cache_rows,
        max_bytes=max_bytes,
    )


def make_row_cache(spec: CacheSpec, version: TableVersion) -> _native.RowCache:
    """Make the cache that a specification asks for.

    Raises:
        ValueError: it cannot be had; the message has the numbers.
    """
    bits = key_bits(version.key_dtype, version.num_rows, is_dense=version.is_dense)
    rows, max_bytes = size_of(spec, version.num_rows)
    return _native.RowCache(
        row_bytes=version.dim * version.dtype.itemsize,
        key_bits=bits,
        policy=spec.policy,
        admit=spec.admit,
        halving=spec.halving or 0,
        num_rows=rows,
        max_bytes=max_bytes,
    )
