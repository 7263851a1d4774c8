# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Finds an array in a folder and opens it with the fastest reader that takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import _native
from .dtypes import ROW_DTYPES
from .layout import ArrayLayout
from .location import Location
from .tensorstore_rows import TensorStoreArray
from .zarr_metadata import NotNativeError, parse_native

# The file that describes an array, and TensorStore's driver for it.
_DRIVERS = {"zarr.json": "zarr3", ".zarray": "zarr", "attributes.json": "n5"}

_KEYS_AT_ONCE = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array that is open with one of two readers.

    Attributes:
        location: its folder.
        shape: sizes of its dimensions.
        dtype: name of its elements' dtype.
        mapped: the native reader; None where TensorStore reads.
        layout: what the native reader follows; None where TensorStore reads.
        tensorstore: TensorStore's reader; None where the native one reads.
        reason: why the native reader does not take the array; "" where it does.
    """

    location: Location
    shape: tuple[int, ...]
    dtype: str
    mapped: _native.MappedArray | None = None
    layout: ArrayLayout | None = None
    tensorstore: TensorStoreArray | None = None
    reason: str = ""

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return ROW_DTYPES[self.dtype].itemsize

    @property
    def table_bytes(self) -> int:
        """Bytes of memory that the native reader holds besides the mapping."""
        return self.mapped.table_bytes if self.mapped else 0


def find_array(location: Location) -> StoredArray | None:
    """Open the zarr3, zarr2 or n5 array whose folder this is; None if there is none.

    Raises:
        CorruptTableError: there is one, and it is damaged.
        TierUnavailableError: it is remote and the store did not answer.
    """
    for file_name, driver in _DRIVERS.items():
        metadata = location.read(file_name)
        if metadata is not None:
            return _open_array(location, driver, metadata)
    return None


def _open_array(location: Location, driver: str, metadata: bytes) -> StoredArray:
    try:
        folder = _native_folder(location, driver)
        layout = parse_native(metadata)
    except NotNativeError as reason:
        array = TensorStoreArray(driver, location.kvstore, location.name)
        return StoredArray(
            location=location,
            shape=array.shape,
            dtype=array.dtype.name,
            tensorstore=array,
            reason=str(reason),
        )
    return StoredArray(
        location=location,
        shape=tuple(n for n in (layout.num_rows, layout.columns) if n is not None),
        dtype=layout.dtype,
        mapped=map_array(folder, layout),
        layout=layout,
    )


def _native_folder(location: Location, driver: str) -> Path:
    if location.path is None:
        raise NotNativeError("it is at a URL")
    if driver != "zarr3":
        raise NotNativeError(f"its driver is {driver!r}, not 'zarr3'")
    return location.path


def map_array(folder: Path, layout: ArrayLayout) -> _native.MappedArray:
    """Map the files of an array, checking every shard's index.

    Raises:
        CorruptTableError: names the file.
    """
    return _native.MappedArray(
        str(folder),
        rank=layout.rank,
        num_rows=layout.num_rows,
        row_bytes=layout.row_bytes,
        shard_rows=layout.shard_rows,
        chunk_rows=layout.chunk_rows,
        sharded=layout.sharded,
        index_at_end=layout.index_at_end,
        fill=layout.fill,
    )


def index_keys(keys: StoredArray) -> _native.KeyIndex:
    """Build the index of an int64 array of keys.

    Raises:
        TableDataError: a key is there twice.
    """
    index = _native.KeyIndex(keys.shape[0])
    if keys.mapped is not None:
        index.insert_array(keys.mapped)
    else:
        for _, block in key_blocks(keys):
            index.insert(block)
    return index


def key_blocks(
    keys: StoredArray, at_once: int = _KEYS_AT_ONCE
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Read keys block by block, each with the row number of its first key."""
    reader = keys.tensorstore
    if reader is None:
        reader = TensorStoreArray("zarr3", keys.location.kvstore, keys.location.name)
    for start in range(0, keys.shape[0], at_once):
        stop = min(start + at_once, keys.shape[0])
        yield start, reader.read_range(start, stop).view(np.int64)
