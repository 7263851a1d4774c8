# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The page cache of Linux: which bytes of a file it holds, and how to drop them."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def drop(path: str | Path) -> None:
    """Drop a file, or the files of a folder, from the page cache.

    Pages that some process maps, or that are not on disk yet, stay: close the table
    first. What stayed, `cached_bytes` tells.

    Args:
        path: a file or a folder.

    Raises:
        OSError: a file cannot be opened or synced.
    """
    for file in _files(path):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cached_bytes(path: str | Path) -> int:
    """Bytes of a file, or of the files of a folder, that the page cache holds.

    Args:
        path: a file or a folder.

    Returns:
        Bytes, in whole pages.

    Raises:
        OSError: a file cannot be opened, or the kernel does not tell.
    """
    return sum(_resident_pages(file) for file in _files(path)) * mmap.PAGESIZE


def _files(path: str | Path) -> Iterator[Path]:
    path = Path(path)
    if not path.is_dir():
        return iter([path])
    return (file for file in path.rglob("*") if file.is_file())


def _resident_pages(file: Path) -> int:
    size = file.stat().st_size
    if not size:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    resident = np.zeros(-(-size // mmap.PAGESIZE), dtype=np.uint8)
    with file.open("rb") as opened:
        mapped = np.memmap(opened, dtype=np.uint8, mode="r", shape=size)
        answer = libc.mincore(
            ctypes.c_void_p(mapped.ctypes.data),
            ctypes.c_size_t(size),
            ctypes.c_void_p(resident.ctypes.data),
        )
    if answer:
        raise OSError(ctypes.get_errno(), "mincore failed", str(file))
    return int((resident & 1).sum())
