# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What a safetensors file says of itself: 8 bytes of length, then JSON, then the data.

Read here and not by the safetensors library, whose slices are copied three times and
which lets nobody else run meanwhile.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import msgspec
import numpy as np

from ..errors import CorruptTableError, TableFormatError
from .arrays import FileArray

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
}

# The format's own limit; a damaged length must not make us read gigabytes.
_MAX_HEADER_BYTES = 100_000_000


class Tensor(msgspec.Struct, frozen=True):
    """Where a tensor lies.

    Attributes:
        dtype: name of the elements' dtype, "F32" for example.
        shape: sizes of the dimensions.
        data_offsets: its first byte and the one behind its last, within the data.
    """

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class Header:
    """The tensors of one file.

    Attributes:
        path: of the file.
        tensors: by name.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read the beginning of a file.

        Raises:
            TableFormatError: the file is no safetensors file.
        """
        self.path = path
        self._file = file
        self._data_start, self.tensors = _read(path, file)

    def array(self, name: str) -> FileArray:
        """Take one of the tensors, of which nothing is read yet.

        Raises:
            TableFormatError: elements of a dtype that NumPy has not.
            CorruptTableError: the file is too short, or contradicts itself.
        """
        tensor = self.tensors[name]
        what = f"{self.path}: tensor {name!r}"
        dtype = _DTYPES.get(tensor.dtype)
        if dtype is None:
            raise TableFormatError(
                f"{what}: expected elements of one of {', '.join(_DTYPES)}, got "
                f"{tensor.dtype}."
            )
        begin, end = tensor.data_offsets
        expected = prod(tensor.shape) * dtype.itemsize
        if begin < 0 or end - begin != expected or min(tensor.shape, default=0) < 0:
            raise CorruptTableError(
                f"{what}: {tensor.dtype} of shape {tensor.shape} takes {expected} "
                f"bytes, but the header gives it bytes {begin} to {end}."
            )
        return FileArray(
            what,
            self._file,
            offset=self._data_start + begin,
            shape=tensor.shape,
            dtype=dtype,
        )


def _read(path: Path, file: BinaryIO) -> tuple[int, dict[str, Tensor]]:
    """Where the data begins, and the tensors."""
    length = int.from_bytes(file.read(8), "little")
    if length > _MAX_HEADER_BYTES:
        raise TableFormatError(
            f"{path}: no safetensors file: its header would be {length} bytes long."
        )
    encoded = file.read(length)
    try:
        entries = msgspec.json.decode(encoded, type=dict[str, msgspec.Raw])
        tensors = {
            name: msgspec.json.decode(entry, type=Tensor)
            for name, entry in entries.items()
            if name != "__metadata__"
        }
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TableFormatError(
            f"{path}: no safetensors file, or one that was cut short: its header of "
            f"{length} bytes is no such JSON ({error})."
        ) from error
    return 8 + length, tensors
