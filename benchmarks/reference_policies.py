# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Policies to measure a cache beside, compiled from `native/policies.cc`."""

from __future__ import annotations

import ctypes
import functools
import weakref
from ctypes import c_int64, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import native_helpers
from .replay import Counts, Stream

Rows = NDArray[np.int64]

_ROWS = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS")
_COUNTS = np.ctypeslib.ndpointer(np.uint32, flags="C_CONTIGUOUS")
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "policy_belady": (c_void_p, [c_int64, c_int64, _ROWS, c_int64, c_int64]),
    "policy_exact_lfu": (c_void_p, [c_int64, c_int64]),
    "policy_static_top": (c_void_p, [c_int64, c_int64, _ROWS, c_int64]),
    "policy_set_lru": (c_void_p, [c_int64, c_int64, c_int64]),
    "policy_batch": (None, [c_void_p, _ROWS, c_int64, _ROWS]),
    "policy_free": (None, [c_void_p]),
    "distinct_new": (c_void_p, [c_int64]),
    "distinct_find": (c_int64, [c_void_p, _ROWS, c_int64, _ROWS, _COUNTS]),
    "distinct_free": (None, [c_void_p]),
}


@functools.cache
def _library() -> ctypes.CDLL:
    library = native_helpers.load("policies.cc")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class ReferencePolicy:
    """A `Contender` that holds row numbers and no rows."""

    def __init__(self, make: str, *arguments: object) -> None:
        library = _library()
        self._policy = getattr(library, f"policy_{make}")(*arguments)
        weakref.finalize(self, library.policy_free, self._policy)
        self._counts = np.zeros(3, np.int64)

    def batch(self, rows: Rows) -> Counts:
        _library().policy_batch(self._policy, rows, rows.size, self._counts)
        return Counts(*self._counts.tolist())


def belady(stream: Stream, capacity: int) -> ReferencePolicy:
    """The fewest unique misses that are possible: knows what comes. Not set by set."""
    batches = np.ascontiguousarray(stream.batches)
    size = batches.shape[1]
    return ReferencePolicy(
        "belady", stream.num_rows, capacity, batches, batches.size, size
    )


def exact_lfu(stream: Stream, capacity: int) -> ReferencePolicy:
    """Counts the requests for every row of the table. Not set by set."""
    return ReferencePolicy("exact_lfu", stream.num_rows, capacity)


def static_top(stream: Stream, capacity: int) -> ReferencePolicy:
    """The rows that the first half of the stream requests most often, and no others."""
    seen = np.ascontiguousarray(stream.batches[: stream.warm_up])
    return ReferencePolicy("static_top", stream.num_rows, capacity, seen, seen.size)


def set_lru(stream: Stream, capacity: int, *, ways: int) -> ReferencePolicy:
    """Least recently used of a set, by numbers of batches; 64 ways is HPS' cache."""
    return ReferencePolicy("set_lru", stream.num_rows, capacity, ways)


class Distinct:
    """Finds the distinct rows of a batch, in the order in which they first come.

    Args:
        num_rows: rows of the table.
    """

    def __init__(self, num_rows: int) -> None:
        library = _library()
        self._distinct = library.distinct_new(num_rows)
        weakref.finalize(self, library.distinct_free, self._distinct)

    def __call__(self, rows: Rows) -> tuple[Rows, NDArray[np.uint32]]:
        """The distinct rows, and how often each is there."""
        found = np.empty(rows.size, np.int64)
        counts = np.empty(rows.size, np.uint32)
        number = _library().distinct_find(
            self._distinct, rows, rows.size, found, counts
        )
        return found[:number], counts[:number]
