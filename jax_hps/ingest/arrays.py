# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays that are read in ranges of rows, and never as a whole."""

from __future__ import annotations

import os
from math import prod
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptTableError


class RangedArray(Protocol):
    """What gives ranges of its rows, on any thread."""

    @property
    def name(self) -> str:
        """File and place, for errors."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its dimensions, rows first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of its elements."""

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Read the rows from `start` up to, and without, `stop`."""


class HeldArray:
    """An array that is in memory, or mapped there."""

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self.name = name
        self.shape: tuple[int, ...] = array.shape
        self.dtype = array.dtype
        self._array = array

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Slice it."""
        return self._array[start:stop]


class FileArray:
    """An array that lies in a file row after row, from some offset on.

    It is read, not mapped: a page of a mapped file that the disk fails to give, or that
    somebody cuts off, ends the process.
    """

    def __init__(
        self,
        name: str,
        file: BinaryIO,
        *,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        """Check that all of it is there.

        Args:
            name: of file and place, for errors.
            file: open for as long as the array is read.
            offset: of the first element, in bytes.
            shape: sizes of the dimensions, rows first.
            dtype: of the elements, as they are in the file.

        Raises:
            CorruptTableError: the file is too short.
        """
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self._file = file
        self._offset = offset
        self._row_bytes = prod(shape[1:]) * dtype.itemsize
        needed = offset + prod(shape) * dtype.itemsize
        size = os.fstat(file.fileno()).st_size
        if size < needed:
            raise CorruptTableError(
                f"{name}: expected {needed} bytes for {dtype.name} of shape {shape}, "
                f"got {size}: the file was cut short."
            )

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Read rows into fresh memory.

        Raises:
            CorruptTableError: the file has become shorter.
        """
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        left = memoryview(rows.reshape(-1).view(np.uint8))
        place = self._offset + start * self._row_bytes
        while left:
            count = os.preadv(self._file.fileno(), [left], place)
            if not count:
                raise CorruptTableError(
                    f"{self.name}: the file ends at byte {place}, while it is read."
                )
            left, place = left[count:], place + count
        return rows
