# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Rows by number and rows by key without a cache, compiled from `native/`."""

from __future__ import annotations

import functools
import weakref
from ctypes import CDLL, c_int64, c_void_p

import numpy as np
from numpy.typing import NDArray

from . import native_helpers
from .random_keys import Bytes, Keys

_KEYS = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS")
_NUMBERS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
_BYTES = np.ctypeslib.ndpointer(np.uint8, flags="C_CONTIGUOUS")


class PlainGather:
    """Rows by number: prefetch ahead, then copy. What no cache can be faster than.

    Args:
        rows: uint8 `[rows, row_bytes]`, float32 numbers.
        out: where answers go, as many rows as a call asks for.

    Raises:
        NoCompilerError: there is no C++ compiler.
    """

    def __init__(self, rows: Bytes, out: Bytes) -> None:
        self._gather = native_helpers.load("plain_gather.cc").plain_gather
        self._gather.restype = None
        self._gather.argtypes = [_BYTES, _NUMBERS, c_int64, c_int64, _BYTES]
        self._rows, self._out = rows, out

    def __call__(self, numbers: NDArray[np.int32]) -> None:
        dim = self._rows.shape[1] // 4
        self._gather(self._rows, numbers, numbers.size, dim, self._out)


@functools.cache
def _library() -> CDLL:
    library = native_helpers.load("row_map.cc", package="absl_flat_hash_map")
    library.row_map_new.restype = c_void_p
    library.row_map_new.argtypes = [_KEYS, c_int64, _BYTES, c_int64]
    library.row_map_lookup.argtypes = [c_void_p, _KEYS, c_int64, _BYTES, _BYTES]
    for change in (library.row_map_insert, library.row_map_overwrite):
        change.argtypes = [c_void_p, _KEYS, c_int64, _BYTES]
    library.row_map_free.argtypes = [c_void_p]
    return library


class RowMap:
    """Rows by key: absl::flat_hash_map from key to row number, and memcpy.

    It holds as many rows as it is made with. What is inserted takes the place of what
    came first.

    Args:
        keys: int64 `[n]`.
        rows: uint8 `[n, row_bytes]`, written by insertions.

    Raises:
        NoCompilerError: there is no C++ compiler or no Abseil.
    """

    def __init__(self, keys: Keys, rows: Bytes) -> None:
        library = _library()
        self._rows = rows
        self._map = library.row_map_new(keys, len(rows), rows, rows.shape[1])
        weakref.finalize(self, library.row_map_free, self._map)

    def lookup(self, keys: Keys, out: Bytes) -> Bytes:
        """Copy rows to `out`; whether each key was found, uint8 `[keys]`."""
        found = np.empty(keys.size, np.uint8)
        _library().row_map_lookup(self._map, keys, keys.size, out, found)
        return found

    def insert(self, keys: Keys, rows: Bytes) -> None:
        _library().row_map_insert(self._map, keys, keys.size, rows)

    def overwrite(self, keys: Keys, rows: Bytes) -> None:
        """Give keys that it holds other rows."""
        _library().row_map_overwrite(self._map, keys, keys.size, rows)
