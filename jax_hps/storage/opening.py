# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Opens the version that a table has now; those who open the same one share it."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import _native
from ..config import KeyDtype
from ..errors import (
    CorruptTableError,
    HpsError,
    TableDataError,
    TableFormatError,
    TableNotFoundError,
)
from .arrays import StoredArray, find_array, index_keys
from .dtypes import ROW_DTYPES
from .folder import is_interrupted
from .location import Location
from .locks import FolderLock
from .manifest import FILE_NAME, Manifest, decode_manifest, read_manifest
from .own_arrays import open_own_array, own_layouts
from .version import FOREIGN_KEY_DTYPE, TableVersion

# A version's rows are mapped, and its key index is built, once in a process.
_shared: weakref.WeakValueDictionary[tuple[int, int], TableVersion]
_shared = weakref.WeakValueDictionary()
_shared_guard = threading.Lock()


def open_version(path: str | os.PathLike[str]) -> TableVersion:
    """Open the present version of a table.

    Args:
        path: what `open_table` takes.

    Raises:
        TableNotFoundError, TableFormatError, CorruptTableError, TierUnavailableError:
            as `open_table` says.
    """
    location = Location.parse(path)
    manifest, lock = _current(location)
    if manifest is None:
        return _load_foreign(location)
    if lock is None:
        return _load(location, manifest, None)
    return _open_shared(location, manifest, lock)


class TableArrays(NamedTuple):
    """The arrays of a table, without an index of its keys.

    Attributes:
        rows: [n, dim].
        keys: [n]; None in a dense table.
        key_dtype: name of the dtype that all keys fit.
    """

    rows: StoredArray
    keys: StoredArray | None
    key_dtype: KeyDtype


def open_arrays(path: str | os.PathLike[str]) -> TableArrays:
    """Open the arrays of a table.

    Args:
        path: what `open_table` takes.

    Raises:
        TableNotFoundError, TableFormatError, CorruptTableError, TierUnavailableError:
            as `open_table` says.
    """
    location = Location.parse(path)
    manifest, lock = _current(location)
    if manifest is None:
        return TableArrays(*_foreign_arrays(location), FOREIGN_KEY_DTYPE)
    with lock or contextlib.nullcontext():
        arrays = _own_arrays(location, manifest)
    return TableArrays(arrays["rows"], arrays.get("keys"), manifest.key_dtype)


def _current(location: Location) -> tuple[Manifest | None, FolderLock | None]:
    """The manifest, if there is one, and a lock on its version, if it is local."""
    if location.path is not None:
        return _hold_current(location.path) or (None, None)
    data = location.read(FILE_NAME)
    if data is None:
        return None, None
    return decode_manifest(data, f"{location}/{FILE_NAME}"), None


def _own_arrays(location: Location, manifest: Manifest) -> dict[str, StoredArray]:
    folder = location.folder(manifest.base.folder)
    return {
        name: open_own_array(folder.folder(name), layout)
        for name, layout in own_layouts(manifest).items()
    }


def _foreign_arrays(location: Location) -> tuple[StoredArray, StoredArray | None]:
    """Open arrays that others wrote: `rows/`, perhaps `keys/`, or a bare array."""
    rows = find_array(location.folder("rows"))
    keys = find_array(location.folder("keys")) if rows else None
    rows = rows or find_array(location)
    if rows is None:
        raise _not_found(location)
    _check_foreign(rows, keys)
    return rows, keys


def _hold_current(folder: Path) -> tuple[Manifest, FolderLock] | None:
    """Lock the version that the manifest names; None where there is no manifest."""
    manifest = read_manifest(folder)
    while manifest is not None:
        version = folder / manifest.base.folder
        lock = FolderLock.shared(version)
        # Before we had the lock, a writer may have moved on and removed the version.
        latest = read_manifest(folder)
        if latest == manifest and lock is not None:
            return manifest, lock
        if latest == manifest:
            raise CorruptTableError(f"{version}: the folder is missing.")
        if lock is not None:
            lock.close()
        manifest = latest
    return None


def _open_shared(
    location: Location, manifest: Manifest, lock: FolderLock
) -> TableVersion:
    with _shared_guard:
        version = _shared.get(lock.identity)
    if version is None:
        # Outside of the guard: no other table has to wait for this one's index.
        try:
            loaded = _load(location, manifest, lock)
        except BaseException:
            lock.close()
            raise
        with _shared_guard:
            version = _shared.setdefault(lock.identity, loaded)
    if version.lock is not lock:
        lock.close()
    return version


def _load(
    location: Location, manifest: Manifest, lock: FolderLock | None
) -> TableVersion:
    arrays = _own_arrays(location, manifest)
    keys = arrays.get("keys")
    return TableVersion(
        location=location,
        rows=arrays["rows"],
        keys=keys,
        index=_index(keys),
        default=manifest.default_row(),
        manifest=manifest,
        lock=lock,
    )


def _load_foreign(location: Location) -> TableVersion:
    rows, keys = _foreign_arrays(location)
    return TableVersion(
        location=location,
        rows=rows,
        keys=keys,
        index=_index(keys),
        default=np.zeros(rows.shape[1], ROW_DTYPES[rows.dtype]),
        manifest=None,
        lock=None,
    )


def _check_foreign(rows: StoredArray, keys: StoredArray | None) -> None:
    if len(rows.shape) != 2 or rows.shape[1] < 1 or rows.dtype not in ROW_DTYPES:
        raise TableFormatError(
            f"{rows.location}: expected an array [rows, dim] of float32, float16 or "
            f"bfloat16, got {rows.dtype} {list(rows.shape)}."
        )
    if keys is None:
        return
    if keys.shape != rows.shape[:1] or keys.dtype not in ("int64", "uint64"):
        raise TableFormatError(
            f"{keys.location}: expected int64 keys for {rows.shape[0]} rows, got "
            f"{keys.dtype} {list(keys.shape)}."
        )


def _index(keys: StoredArray | None) -> _native.KeyIndex | None:
    if keys is None:
        return None
    try:
        return index_keys(keys)
    except TableDataError as error:
        raise CorruptTableError(f"{keys.location}: {error}") from error


def _not_found(location: Location) -> HpsError:
    path = location.path
    if path is not None and not path.is_dir():
        what = "it is a file" if path.exists() else "there is no such folder"
        return TableNotFoundError(f"{location}: no table: {what}.")
    if path is not None and is_interrupted(path):
        return TableNotFoundError(
            f"{location}: no table: create_table was interrupted, or is still running; "
            "run it again."
        )
    return TableNotFoundError(
        f"{location}: no table: expected MANIFEST, rows/, or a zarr or n5 array."
    )
