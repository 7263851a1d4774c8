# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Names of files that the caller gives, turned into paths that exist."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ..errors import TableDataError, TableFormatError, TableNotFoundError
from ..storage.location import Location

PathLike = str | os.PathLike[str]


def local_path(name: PathLike) -> Path:
    """Take a local path or a `file://` URL, to a file or folder that is there.

    Raises:
        TableNotFoundError: it is not.
        TableFormatError: a URL of a store.
    """
    path = Location.parse(name).path
    if path is None:
        raise TableFormatError(
            f"{name}: expected a local path; copy the files to a local disk first."
        )
    if not path.exists():
        raise TableNotFoundError(f"{name}: there is no such file or folder.")
    return path


def local_paths(names: PathLike | Sequence[PathLike]) -> list[Path]:
    """Take one path or several; see `local_path`.

    Raises:
        TableDataError: an empty list.
    """
    if isinstance(names, str | os.PathLike):
        return [local_path(names)]
    if not names:
        raise TableDataError("Expected a path or a list of paths, got an empty list.")
    return [local_path(name) for name in names]


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading by position.

    Raises:
        TableFormatError: it is a folder.
    """
    if path.is_dir():
        raise TableFormatError(f"{path}: expected a file, found a folder.")
    # Unbuffered: rows are read by position, past any buffer.
    with open(path, "rb", buffering=0) as file:
        yield file
