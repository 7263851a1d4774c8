# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a `zarr.json` and decides whether the native reader takes the array.

The native reader maps files and takes rows from where the layout says they are. It
accepts what was checked here and nothing else; TensorStore reads the rest.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import msgspec
import numpy as np

from .layout import MAX_FILES, ArrayLayout

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "int64": np.dtype(np.int64),
    "uint64": np.dtype(np.uint64),
}

_MAX_SIZE = 1 << 48

_UNDERSTOOD = {
    "zarr_format",
    "node_type",
    "shape",
    "data_type",
    "chunk_grid",
    "chunk_key_encoding",
    "fill_value",
    "codecs",
    "attributes",
    "dimension_names",
    "storage_transformers",
}


class NotNativeError(Exception):
    """The native reader does not take the array; the message says why."""


def parse_native(zarr_json: bytes) -> ArrayLayout:
    """Read the layout of an array for the native reader.

    Args:
        zarr_json: the bytes of the array's `zarr.json`.

    Raises:
        NotNativeError: the array is laid out in another way (or is no array at all).
    """
    try:
        return _parse(msgspec.json.decode(zarr_json))
    except msgspec.DecodeError as error:
        raise NotNativeError(f"zarr.json is no JSON: {error}") from error
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise NotNativeError(f"zarr.json is not understood: {error!r}") from error


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise NotNativeError(reason)


def _parse(metadata: dict[str, Any]) -> ArrayLayout:
    _require(metadata["zarr_format"] == 3, "it is not of zarr format 3")
    _require(metadata["node_type"] == "array", "it is a zarr group, not an array")
    unknown = sorted(set(metadata) - _UNDERSTOOD)
    _require(not unknown, f"zarr.json has extensions: {', '.join(unknown)}")
    _require(not metadata.get("storage_transformers"), "it has storage transformers")
    _check_chunk_names(metadata.get("chunk_key_encoding", {"name": "default"}))

    shape = [int(size) for size in metadata["shape"]]
    _require(len(shape) in (1, 2), f"it has {len(shape)} dimensions")
    _require(shape[0] >= 0 and min(shape[1:], default=1) > 0, "its rows are empty")
    name = _named(metadata["data_type"])[0]
    _require(name in _DTYPES, f"its elements are {name}")
    chunks = _chunk_rows(_configuration(metadata["chunk_grid"], "regular"), shape)
    layout = ArrayLayout(
        dtype=name,
        num_rows=shape[0],
        columns=shape[1] if len(shape) == 2 else None,
        itemsize=_DTYPES[name].itemsize,
        fill=_fill(metadata["fill_value"], _DTYPES[name]),
        **_read_codecs(metadata["codecs"], chunks, shape),
    )
    largest = max(layout.num_rows, layout.shard_rows * layout.row_bytes)
    _require(largest < _MAX_SIZE, "its sizes are beyond what can be mapped")
    _require(
        layout.num_shards <= MAX_FILES,
        f"it has {layout.num_shards} files (the native reader maps {MAX_FILES})",
    )
    return layout


def _named(extension: Any) -> tuple[str, dict[str, Any]]:
    """Name and configuration of a zarr extension point, which may be a bare name."""
    if isinstance(extension, str):
        return extension, {}
    return str(extension["name"]), extension.get("configuration", {})


def _configuration(extension: Any, expected: str) -> dict[str, Any]:
    name, configuration = _named(extension)
    _require(name == expected, f"it uses {name!r} where {expected!r} is expected")
    return configuration


def _check_chunk_names(encoding: Any) -> None:
    separator = _configuration(encoding, "default").get("separator", "/")
    _require(separator == "/", f"its chunks are named with {separator!r}")


def _chunk_rows(configuration: dict[str, Any], shape: list[int]) -> int:
    chunk = [int(size) for size in configuration["chunk_shape"]]
    _require(chunk[0] > 0, "its chunks are empty")
    _require(chunk[1:] == shape[1:], "its chunks do not span all columns")
    return chunk[0]


def _read_codecs(codecs: list[Any], rows: int, shape: list[int]) -> dict[str, Any]:
    name, configuration = _named(codecs[0])
    if name != "sharding_indexed":
        _check_plain(codecs)
        return {"shard_rows": rows, "chunk_rows": rows, "sharded": False}
    _require(len(codecs) == 1, f"shards are coded by {_named(codecs[-1])[0]!r}")
    _check_plain(configuration["codecs"])
    _check_index(configuration["index_codecs"])
    location = configuration.get("index_location", "end")
    _require(location in ("start", "end"), f"its index lies at {location!r}")
    inner = _chunk_rows(configuration, shape)
    _require(rows % inner == 0, "its shards are no multiple of its chunks")
    return {
        "shard_rows": rows,
        "chunk_rows": inner,
        "index_at_end": location == "end",
    }


def _check_plain(codecs: list[Any]) -> None:
    for codec in codecs:
        name, configuration = _named(codec)
        _require(name == "bytes", f"its chunks are coded by {name!r}")
        endian = configuration.get("endian")
        _require(endian == "little", f"its elements are {endian}-endian")
    _require(len(codecs) == 1, "its chunks are coded more than once")


def _check_index(codecs: list[Any]) -> None:
    names = [_named(codec)[0] for codec in codecs]
    _require(names == ["bytes", "crc32c"], f"its index is coded by {names}")
    _check_plain(codecs[:1])


def _fill(value: Any, dtype: np.dtype[Any]) -> bytes:
    """Bytes of one element as `zarr.json` spells it; b"" for zero."""
    if isinstance(value, str) and value.startswith("0x"):
        fill = int(value, 16).to_bytes(dtype.itemsize, "little")
    else:  # a number, or "NaN", "Infinity", "-Infinity"
        number = float(value) if dtype.kind not in "iu" else int(value)
        with np.errstate(over="raise"):
            fill = np.array(number).astype(dtype).tobytes()
    return fill if any(fill) else b""
