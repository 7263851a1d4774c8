# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""MANIFEST: the file that says which version a table has, and what belongs to it.

It is JSON, replaced in one step. Its last field, `manifest_crc32c`, is the CRC-32C of
all bytes of the file before that field's name; releases to come keep to that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..config import KeyDtype
from ..errors import CorruptTableError, TableFormatError
from .dtypes import ROW_DTYPES, RowDtype
from .files import replace_file

FILE_NAME = "MANIFEST"
FORMAT: Literal["jax_hps.table"] = "jax_hps.table"
FORMAT_VERSION: Literal[1] = 1

VERSION_FOLDER = re.compile(r"v\d{6,}")

_SEAL = b'"manifest_crc32c": '

Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class ArrayFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files of one array: how they are cut, and the CRC-32C of each whole file."""

    shard_rows: Positive
    chunk_rows: Positive
    crc32c: list[Count]


class BaseFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The folder of a version, and the arrays in it; `keys` of sparse tables only."""

    folder: str
    rows: ArrayFiles
    keys: ArrayFiles | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What MANIFEST says.

    Attributes:
        uuid: made with the table, the same in all its versions.
        epoch: grows with every base that does not merely compact the last one.
        version: grows with every base.
        default: one element or one row, in the stored dtype.
    """

    format: Literal["jax_hps.table"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    uuid: str
    epoch: Positive
    version: Positive
    dim: Positive
    dtype: RowDtype
    kind: Literal["dense", "sparse"]
    key_dtype: KeyDtype
    num_rows: Count
    default: bytes
    base: BaseFiles

    def __post_init__(self) -> None:
        """Check what no type can say; ValueError."""
        if not VERSION_FOLDER.fullmatch(self.base.folder):
            raise ValueError(f"base.folder is {self.base.folder!r}")
        if (self.kind == "sparse") != (self.base.keys is not None):
            raise ValueError(f"kind is {self.kind!r}, base.keys says otherwise")
        itemsize = ROW_DTYPES[self.dtype].itemsize
        if len(self.default) not in (itemsize, itemsize * self.dim):
            raise ValueError(f"default has {len(self.default)} bytes")
        for files in (self.base.rows, self.base.keys):
            if files and len(files.crc32c) != -(-self.num_rows // files.shard_rows):
                raise ValueError(f"{len(files.crc32c)} shards for {self.num_rows} rows")

    def default_row(self) -> NDArray[Any]:
        """The row that unknown keys answer: [dim], in the stored dtype."""
        default = np.frombuffer(self.default, ROW_DTYPES[self.dtype])
        return np.broadcast_to(default, (self.dim,))


class _Header(msgspec.Struct):
    format: str
    format_version: int


def encode_manifest(manifest: Manifest) -> bytes:
    """Bytes of the file that says `manifest`."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    return seal(body.removesuffix(b"\n}") + b",\n  ")


def seal(head: bytes) -> bytes:
    """Append the checksum to all that comes before it."""
    return head + _SEAL + _tail(head)


def _tail(head: bytes) -> bytes:
    return b"%d\n}\n" % _native.crc32c(head)


def decode_manifest(data: bytes, name: str) -> Manifest:
    """Read the bytes of a MANIFEST.

    Args:
        data: the whole file.
        name: path or URL of the file, for errors.

    Raises:
        CorruptTableError: the bytes are not those that were written.
        TableFormatError: a newer release wrote them.
    """
    head, found, tail = data.rpartition(_SEAL)
    if not found or tail != _tail(head):
        raise CorruptTableError(
            f"{name}: damaged, or no manifest of a table: its checksum does not match."
        )
    body = head.rstrip(b", \n") + b"\n}"
    try:
        _check_format(msgspec.json.decode(body, type=_Header), name)
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.DecodeError as error:
        raise CorruptTableError(f"{name}: {error}.") from error


def _check_format(header: _Header, name: str) -> None:
    if header.format != FORMAT:
        raise TableFormatError(f"{name}: format is {header.format!r}, not {FORMAT!r}.")
    if header.format_version > FORMAT_VERSION:
        raise TableFormatError(
            f"{name}: format_version is {header.format_version}, this release reads up "
            f"to {FORMAT_VERSION}; install a newer jax_hps."
        )


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a local table; None where there is no such file.

    Raises:
        CorruptTableError: the bytes are not those that were written.
        TableFormatError: a newer release wrote them.
    """
    path = folder / FILE_NAME
    try:
        return decode_manifest(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a local table in one step, durably."""
    replace_file(folder / FILE_NAME, encode_manifest(manifest))
