# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays that `create_table` wrote: they must be what the manifest says, or nothing."""

from __future__ import annotations

from pathlib import Path

from ..errors import CorruptTableError
from .arrays import StoredArray, map_array
from .dtypes import ROW_DTYPES
from .layout import ArrayLayout
from .location import Location
from .manifest import Manifest
from .tensorstore_rows import TensorStoreArray
from .zarr_metadata import NotNativeError, parse_native


def own_layouts(manifest: Manifest) -> dict[str, ArrayLayout]:
    """Layouts of a version's arrays, by the name of their folder."""
    rows = manifest.base.rows
    layouts = {
        "rows": ArrayLayout(
            dtype=manifest.dtype,
            num_rows=manifest.num_rows,
            columns=manifest.dim,
            itemsize=ROW_DTYPES[manifest.dtype].itemsize,
            shard_rows=rows.shard_rows,
            chunk_rows=rows.chunk_rows,
        )
    }
    if (keys := manifest.base.keys) is not None:
        layouts["keys"] = ArrayLayout(
            dtype="int64",
            num_rows=manifest.num_rows,
            columns=None,
            itemsize=8,
            shard_rows=keys.shard_rows,
            chunk_rows=keys.chunk_rows,
        )
    return layouts


def open_own_array(location: Location, layout: ArrayLayout) -> StoredArray:
    """Open an array that we wrote.

    Raises:
        CorruptTableError: a file is missing, damaged, or says something else than the
            manifest.
        TierUnavailableError: it is remote and the store did not answer.
    """
    check_metadata(location, layout)
    shape = tuple(n for n in (layout.num_rows, layout.columns) if n is not None)
    if location.path is None:
        return StoredArray(
            location=location,
            shape=shape,
            dtype=layout.dtype,
            tensorstore=TensorStoreArray("zarr3", location.kvstore, location.name),
            reason="it is at a URL",
        )
    mapped = map_array(location.path, layout)
    if not mapped.is_flat:
        _check_files(location.path, layout)
        raise CorruptTableError(f"{location}: chunks are missing or out of place.")
    return StoredArray(
        location=location,
        shape=shape,
        dtype=layout.dtype,
        mapped=mapped,
        layout=layout,
    )


def check_metadata(location: Location, layout: ArrayLayout) -> None:
    """Check that an array's `zarr.json` describes what the manifest does.

    Raises:
        CorruptTableError: it is missing, damaged, or describes another array.
    """
    data = location.read("zarr.json")
    if data is None:
        raise CorruptTableError(f"{location}/zarr.json: the file is missing.")
    try:
        found = parse_native(data)
    except NotNativeError as error:
        raise CorruptTableError(f"{location}/zarr.json: damaged: {error}.") from error
    if found != layout:
        raise CorruptTableError(
            f"{location}/zarr.json: describes another array than MANIFEST: expected "
            f"{layout}, got {found}."
        )


def _check_files(folder: Path, layout: ArrayLayout) -> None:
    for shard in range(layout.num_shards):
        path = folder / layout.shard_name(shard)
        if not path.exists():
            raise CorruptTableError(f"{path}: the file is missing.")
