# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How `create_table` lays arrays out: shards of about 128 MiB, chunks of about 4 KiB.

A chunk is what TensorStore reads for one row; a shard is a file. Both hold a power of
two of rows, and every chunk lies at a multiple of its size, so that the data of a shard
is a plain row-major array from the file's first byte on.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec

CHUNK_BYTES = 4096
SHARD_BYTES = 128 << 20

# A small table gets one smaller shard: a shard's index has 16 bytes for each chunk that
# would fit, present or not. The floor leaves room to grow in shards of a decent size.
MIN_SHARD_BYTES = 4 << 20

# Linux allows a process some 65,000 mappings by default, and a table is not alone.
MAX_FILES = 16384

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayLayout:
    """Where the rows of an array lie: the arguments of the native reader and writer.

    Attributes:
        dtype: zarr's name of an element's dtype.
        num_rows: rows of the array.
        columns: elements in a row; None for an array of rank 1.
        itemsize: bytes of an element.
        shard_rows: rows in a file.
        chunk_rows: rows in a chunk; divides `shard_rows`.
        sharded: False: a file is one chunk, without an index.
        index_at_end: whether a shard's index comes after its chunks.
        fill: an element that is not stored; b"" stands for zero.
    """

    dtype: str
    num_rows: int
    columns: int | None
    itemsize: int
    shard_rows: int
    chunk_rows: int
    sharded: bool = True
    index_at_end: bool = True
    fill: bytes = b""

    @property
    def rank(self) -> int:
        """Dimensions of the array, 1 or 2."""
        return 1 if self.columns is None else 2

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.itemsize * (1 if self.columns is None else self.columns)

    @property
    def num_shards(self) -> int:
        """Files of the array, if none is missing."""
        return -(-self.num_rows // self.shard_rows)

    @property
    def max_rows(self) -> int:
        """Rows that the array may grow to, for the native reader to map its files."""
        return MAX_FILES * self.shard_rows

    def shard_name(self, shard: int) -> str:
        """Path of a shard's file within the folder of the array."""
        return f"c/{shard}" if self.columns is None else f"c/{shard}/0"


def choose_layout(
    dtype: str, columns: int | None, itemsize: int, *, expected_rows: int | None
) -> ArrayLayout:
    """Choose the layout of an array to be written, of no rows yet.

    Shards are larger where there would be more than `MAX_FILES` of them.

    Args:
        dtype: zarr's name of an element's dtype.
        columns: elements in a row; None for an array of rank 1.
        itemsize: bytes of an element.
        expected_rows: rows that will come, None if unknown.

    Example:
        >>> layout = choose_layout("float32", 32, 4, expected_rows=1 << 24)
        >>> layout.chunk_rows, layout.shard_rows
        (32, 1048576)
    """
    row_bytes = itemsize * (columns or 1)
    shard_rows = _power_of_two_within(SHARD_BYTES, row_bytes)
    if expected_rows is not None:
        needed = _power_of_two_from(expected_rows)
        floor = _power_of_two_within(MIN_SHARD_BYTES, row_bytes)
        shard_rows = min(shard_rows, max(needed, floor))
        shard_rows = max(shard_rows, _power_of_two_from(-(-expected_rows // MAX_FILES)))
    whole_pages = CHUNK_BYTES // math.gcd(row_bytes, CHUNK_BYTES)
    return ArrayLayout(
        dtype=dtype,
        num_rows=0,
        columns=columns,
        itemsize=itemsize,
        shard_rows=max(shard_rows, whole_pages),
        chunk_rows=_power_of_two_within(CHUNK_BYTES, row_bytes),
    )


def _power_of_two_within(limit_bytes: int, row_bytes: int) -> int:
    return 1 << (max(limit_bytes // row_bytes, 1).bit_length() - 1)


def _power_of_two_from(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def encode_zarr_json(layout: ArrayLayout) -> bytes:
    """Write the `zarr.json` of an array that `choose_layout` laid out."""
    tail = [] if layout.columns is None else [layout.columns]
    sharding = {
        "chunk_shape": [layout.chunk_rows, *tail],
        "codecs": [_LITTLE],
        "index_codecs": [_LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    }
    metadata: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [layout.num_rows, *tail],
        "data_type": layout.dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [layout.shard_rows, *tail]},
        },
        "chunk_key_encoding": {
            "name": "default",
            "configuration": {"separator": "/"},
        },
        "fill_value": 0 if layout.dtype == "int64" else 0.0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }
    return msgspec.json.format(msgspec.json.encode(metadata), indent=2) + b"\n"
