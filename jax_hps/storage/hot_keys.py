# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The hot keys of a table and their use counters: what a cache starts warm from.

A file of hot keys is, with all numbers little-endian and nothing in between:

| bytes | what |
|---|---|
| 8 | `hps_hot` and a line feed |
| 4 | format version, uint32: 1 |
| 4 | bytes of the header, uint32 |
| | header, JSON: `{"table_uuid": "...", "count": n}` |
| 8 n | keys, int64, hottest first |
| n | their counters, uint8, 0 to 15 |
| 4 | CRC-32C of all bytes before it, uint32 |

Releases to come keep the first two fields and the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import struct
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..errors import CorruptTableError, TableDataError, TableFormatError
from .files import sync_folder, write_file

FORMAT_VERSION = 1
MAX_COUNT = 15

# A save takes seconds; what has lain for this long belongs to one that was killed.
ABANDONED_AFTER_S = 3600.0

_MAGIC = b"hps_hot\n"
_PREFIX = struct.Struct("<8sII")
_CHECKSUM = struct.Struct("<I")
_KEY = np.dtype("<i8")
_COUNT = np.dtype(np.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class HotKeys:
    """Keys of a table that were in use, hottest first.

    Attributes:
        keys: int64 [n], each at most once.
        counts: uint8 [n], how often each key was used of late, 0 to 15.
        table_uuid: `Manifest.uuid` of the table, the same in all its versions.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.uint8]
    table_uuid: str

    def __post_init__(self) -> None:
        """Check the arrays; TableDataError."""
        _check_array("keys", self.keys, np.dtype(np.int64))
        _check_array("counts", self.counts, _COUNT)
        if len(self.keys) != len(self.counts):
            raise TableDataError(
                f"Hot keys: {len(self.keys)} keys with {len(self.counts)} counts; "
                "give one count per key."
            )
        highest = self.counts.max(initial=0)
        if highest > MAX_COUNT:
            raise TableDataError(
                f"Hot keys: a count is {highest}, expected 0 to {MAX_COUNT}."
            )


def _check_array(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> None:
    if array.ndim != 1 or array.dtype != dtype:
        raise TableDataError(
            f"Hot keys: {name} are {array.dtype.name} {list(array.shape)}, expected "
            f"{dtype.name} [n]."
        )


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table_uuid: str
    count: Annotated[int, msgspec.Meta(ge=0)]


def save_hot_keys(path: Path, hot: HotKeys) -> None:
    """Write or replace a file of hot keys in one step, durably.

    Any number of processes may save the same file at once: the last one wins. A kill in
    between leaves a file `<name>.<32 hex digits>.tmp` beside it, which a later save
    removes (see `ABANDONED_AFTER_S`).

    Args:
        path: the file, in a folder that exists.
        hot: what it is to hold.

    Raises:
        OSError: it cannot be written; `path` is then what it was, or all of `hot`.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        _remove_abandoned(path)
        write_file(temporary, encode(hot))
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # The caller knows `path` alone, and a full disk names no file at all.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # mostly: it has become `path`
            temporary.unlink()


def _remove_abandoned(path: Path) -> None:
    """Remove what savers of `path` left that were killed."""
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{32}\.tmp")
    before = time.time() - ABANDONED_AFTER_S
    for name in os.listdir(path.parent):  # noqa: PTH208 (names are all we want)
        if pattern.fullmatch(name):
            with contextlib.suppress(OSError):  # another saver was faster
                if path.with_name(name).stat().st_mtime < before:
                    path.with_name(name).unlink()


def load_hot_keys(path: Path, *, table_uuid: str) -> HotKeys | None:
    """Read the hot keys of a table.

    Args:
        path: the file.
        table_uuid: `Manifest.uuid` of the table.

    Returns:
        What was saved last; None where there is no such file, or where it is of another
        table: one made anew at the same place may mean other things by its keys.

    Raises:
        CorruptTableError: the bytes are not those that were written.
        TableFormatError: another release wrote them.
        OSError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    hot = decode(data, str(path))
    return hot if hot.table_uuid == table_uuid else None


def encode(hot: HotKeys) -> bytes:
    """Bytes of the file that holds `hot`."""
    header = msgspec.json.encode(_Header(hot.table_uuid, len(hot.keys)))
    parts: list[bytes | NDArray[Any]] = [
        _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(header)),
        header,
        np.ascontiguousarray(hot.keys, _KEY),
        np.ascontiguousarray(hot.counts),
    ]
    checksum = 0
    for part in parts:
        checksum = _native.crc32c(part, checksum)
    return b"".join([*parts, _CHECKSUM.pack(checksum)])


def decode(data: bytes, name: str = "hot keys") -> HotKeys:
    """Read the bytes of a file of hot keys.

    Args:
        data: the whole file.
        name: path of the file, for errors.

    Returns:
        Arrays of their own, aligned and writable.

    Raises:
        CorruptTableError: the bytes are not those that were written.
        TableFormatError: another release wrote them.
    """
    begin = _check_prefix(data, name)
    header = _read_header(data[_PREFIX.size : begin], name)
    _check_size(data, begin, header.count, name)
    keys = np.frombuffer(data, _KEY, header.count, begin)
    counts = np.frombuffer(data, _COUNT, header.count, begin + keys.nbytes)
    try:
        return HotKeys(keys.astype(np.int64), counts.copy(), header.table_uuid)
    except TableDataError as error:
        raise CorruptTableError(f"{name}: {error}") from error


def _check_prefix(data: bytes, name: str) -> int:
    """Where the header ends, in a file that is whole and of this release's format."""
    body = memoryview(data)[: -_CHECKSUM.size]
    if len(body) < _PREFIX.size or not data.startswith(_MAGIC):
        raise CorruptTableError(
            f"{name}: damaged, or no file of hot keys: expected at least "
            f"{_PREFIX.size + _CHECKSUM.size} bytes that begin with {_MAGIC!r}, got "
            f"{len(data)} that begin with {data[: len(_MAGIC)]!r}; remove it to start "
            "with a cold cache."
        )
    (expected,) = _CHECKSUM.unpack(data[-_CHECKSUM.size :])
    if _native.crc32c(body) != expected:
        raise CorruptTableError(
            f"{name}: damaged: its checksum does not match; remove it to start with a "
            "cold cache."
        )
    _, version, header_bytes = _PREFIX.unpack_from(data)
    if version != FORMAT_VERSION:
        raise TableFormatError(
            f"{name}: format version is {version}, this release reads "
            f"{FORMAT_VERSION}; install a newer jax_hps, or remove the file to start "
            "with a cold cache."
        )
    return _PREFIX.size + int(header_bytes)


def _read_header(data: bytes, name: str) -> _Header:
    try:
        return msgspec.json.decode(data, type=_Header)
    except ValueError as error:  # no JSON, not what we want in it, or no UTF-8
        raise CorruptTableError(f"{name}: header: {error}.") from error


def _check_size(data: bytes, begin: int, count: int, name: str) -> None:
    """Hold the size against the count, before anything is made of that size."""
    expected = begin + count * (_KEY.itemsize + _COUNT.itemsize) + _CHECKSUM.size
    if len(data) != expected:
        raise CorruptTableError(
            f"{name}: {count} hot keys take {expected} bytes, the file has {len(data)}."
        )
