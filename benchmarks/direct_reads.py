# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Random reads past the page cache: the most that a disk gives."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import pagecache

from . import native_helpers


class DirectReads:
    """Reads whole pages of a file with O_DIRECT, a fixed number of them in flight.

    Linux' native aio from C, in one thread; io_uring and a thread for each read in
    flight were no faster. The pages go nowhere.

    Args:
        file: on the disk to measure.
        page_bytes: size of a page.
        depth: reads in flight.

    Raises:
        NoCompilerError: there is no C compiler.
        OSError: the file system has no direct reads.
    """

    def __init__(self, file: Path, *, page_bytes: int, depth: int) -> None:
        pagecache.drop(file)
        self._native = native_helpers.load("direct_read.c")
        self._reader = ctypes.c_void_p()
        size = ctypes.c_int64(page_bytes)
        made = ctypes.byref(self._reader)
        self._check(self._native.direct_open(made, os.fsencode(file), size, depth))
        self._page_bytes = page_bytes

    def __call__(self, pages: NDArray[np.int64]) -> None:
        """Read pages by number, int64 `[n]`."""
        offsets = np.ascontiguousarray(pages * self._page_bytes)
        wanted, count = ctypes.c_void_p(offsets.ctypes.data), ctypes.c_int64(len(pages))
        self._check(self._native.direct_read(self._reader, wanted, count))

    def close(self) -> None:
        self._native.direct_close(self._reader)

    @staticmethod
    def _check(error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error))
