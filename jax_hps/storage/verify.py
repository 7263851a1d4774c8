# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Checks every byte of a table against what was written down when it was made."""

from __future__ import annotations

import numpy as np

from .. import _native
from ..errors import CorruptTableError
from .arrays import StoredArray, find_array, key_blocks
from .layout import ArrayLayout
from .location import Location
from .manifest import ArrayFiles, Manifest, read_manifest
from .own_arrays import check_metadata, own_layouts
from .version import TableVersion

_ELEMENTS_AT_ONCE = 8 << 20


def verify_version(version: TableVersion) -> None:
    """Check all that there is to check of a version.

    Raises:
        CorruptTableError: names the file and the place.
        TierUnavailableError: it is remote and the store did not answer.
    """
    if version.manifest is not None:
        _verify_manifest(version.location)
        _verify_files(version.location, version.manifest)
    else:
        for array in (version.rows, version.keys):
            if array is not None:
                _verify_foreign(array)
    if version.keys is not None and version.index is not None:
        _verify_keys(version.keys, version.index)


def _verify_manifest(location: Location) -> None:
    # It was sound when the version was opened; it may not be any more.
    if location.path is not None:
        read_manifest(location.path)


def _verify_files(location: Location, manifest: Manifest) -> None:
    folder = location.folder(manifest.base.folder)
    files = {"rows": manifest.base.rows, "keys": manifest.base.keys}
    for name, layout in own_layouts(manifest).items():
        array = folder.folder(name)
        check_metadata(array, layout)
        _verify_shards(array, layout, files[name])


def _verify_shards(
    location: Location, layout: ArrayLayout, files: ArrayFiles | None
) -> None:
    for shard, expected in enumerate(files.crc32c if files else ()):
        name = layout.shard_name(shard)
        found = _crc32c(location, name)
        if found != expected:
            raise CorruptTableError(
                f"{location}/{name}: its CRC-32C is {found:#010x}, MANIFEST says "
                f"{expected:#010x}; restore the file, or write the table again."
            )


def _crc32c(location: Location, name: str) -> int:
    try:
        if location.path is not None:
            return _native.crc32c_of_file(str(location.path / name))
        data = location.read(name)
    except FileNotFoundError:
        data = None
    if data is None:
        raise CorruptTableError(f"{location}/{name}: the file is missing.")
    return _native.crc32c(data)


def _verify_foreign(array: StoredArray) -> None:
    """Open an array anew, and decode every chunk that a codec may say is damaged."""
    again = find_array(array.location)
    if again is None or (again.shape, again.dtype) != (array.shape, array.dtype):
        raise CorruptTableError(f"{array.location}: changed since it was opened.")
    if again.tensorstore is not None:
        step = max(_ELEMENTS_AT_ONCE // int(np.prod(array.shape[1:])), 1)
        for start in range(0, array.shape[0], step):
            again.tensorstore.read_range(start, min(start + step, array.shape[0]))


def _verify_keys(keys: StoredArray, index: _native.KeyIndex) -> None:
    """Check that the index finds every key of the file in its row, and no other."""
    for start, block in key_blocks(keys):
        wrong = index.find(block) != np.arange(start, start + block.size)
        if wrong.any():
            place = int(wrong.argmax())
            raise CorruptTableError(
                f"{keys.location}: key {block[place]} of row {start + place} is there "
                "twice, or changed since the table was opened."
            )
    if index.num_keys != keys.shape[0]:
        raise CorruptTableError(
            f"{keys.location}: {keys.shape[0]} keys, {index.num_keys} in the index."
        )
