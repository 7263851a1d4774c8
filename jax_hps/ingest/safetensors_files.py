# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files in the safetensors format: one, or a set with an index."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import msgspec
from numpy.typing import ArrayLike

from ..errors import TableFormatError, TableNotFoundError
from ..storage import StoredTable
from .arrays import FileArray
from .given_keys import given_keys
from .names import listed
from .options import TableOptions
from .safetensors_header import Header
from .sources import PathLike, local_paths, open_file
from .streams import Part, write_parts

_INDEX_SUFFIX = ".safetensors.index.json"


class _Index(msgspec.Struct):
    """The index of a set: in which file, beside it, each tensor is."""

    weight_map: dict[str, str]


def safetensors(
    path: str | os.PathLike[str],
    files: PathLike | Sequence[PathLike],
    *,
    rows: str,
    keys: str | ArrayLike | None = None,
    **options: Unpack[TableOptions],
) -> StoredTable:
    """Write a table of a tensor in safetensors files.

    Args:
        path: folder of the table to write.
        files: a file; several files; the index of a set (`...safetensors.index.json`);
            or a folder that holds such an index, or else files `*.safetensors`.
        rows: name of the tensor of shape [rows, dim], for example "embedding.weight".
        keys: name of a tensor of integers of shape [rows], or the integers themselves,
            as `create_table` takes them. None, the default: a dense table, where a
            row's key is its number.
        **options: those of `create_table`: dtype, default, key_dtype, overwrite,
            progress.

    Returns:
        The table, open.

    Raises:
        TableNotFoundError: a file is not there; no file has a tensor of that name
            (names those there are).
        TableFormatError: a file is no safetensors file.
        CorruptTableError: a file was cut short.
        TableDataError, KeyDtypeError: shapes, lengths, dtypes, duplicate keys.
        HpsError, OSError: what else `create_table` raises; the table that was there
            before stays as it was.

    Example:
        >>> import json, tempfile, numpy as np, jax_hps as hps
        >>> from safetensors.numpy import save_file
        >>> folder = tempfile.mkdtemp()
        >>> tensors = {"embedding.weight": np.ones((3, 4), np.float32)}
        >>> save_file(tensors, f"{folder}/model.safetensors")
        >>> with hps.ingest.safetensors(
        ...     f"{folder}/user", f"{folder}/model.safetensors", rows="embedding.weight"
        ... ) as table:
        ...     table.num_rows, table.dim, table.is_dense
        (3, 4, True)
    """
    with contextlib.ExitStack() as opened:
        tensors = _Tensors(files, opened)
        found = (
            tensors.array(keys)
            if isinstance(keys, str)
            else given_keys(keys, options.get("key_dtype"))
        )
        return write_parts(path, [Part(tensors.array(rows), found)], options)


class _Tensors:
    """All tensors of the files that the caller named."""

    def __init__(
        self, files: PathLike | Sequence[PathLike], opened: contextlib.ExitStack
    ) -> None:
        self._files = files
        self._opened = opened
        self._headers: dict[Path, Header] = {}

    def array(self, name: str) -> FileArray:
        """Find a tensor.

        Raises:
            TableNotFoundError: there is none of that name.
        """
        for file in _files_of(self._files, name):
            header = self._header(file)
            if name in header.tensors:
                return header.array(name)
        there = [found for header in self._headers.values() for found in header.tensors]
        raise TableNotFoundError(
            f"{self._files}: there is no tensor {name!r}, but {listed(there, name)}."
        )

    def _header(self, path: Path) -> Header:
        if path not in self._headers:
            file = self._opened.enter_context(open_file(path))
            self._headers[path] = Header(path, file)
        return self._headers[path]


def _files_of(files: PathLike | Sequence[PathLike], name: str) -> list[Path]:
    """The files that may hold a tensor: where there is an index, the one."""
    found = local_paths(files)
    if len(found) > 1:
        return found
    [only] = found
    if only.is_dir():
        indexes = sorted(only.glob(f"*{_INDEX_SUFFIX}"))
        if len(indexes) != 1:
            return _all_in(only)
        [only] = indexes
    if only.name.endswith(_INDEX_SUFFIX):
        return [_file_by_index(only, name)]
    return [only]


def _all_in(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise TableNotFoundError(f"{folder}: there is no file *.safetensors.")
    return found


def _file_by_index(index: Path, name: str) -> Path:
    try:
        weight_map = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TableFormatError(f"{index}: no index of safetensors: {error}.") from error
    if name not in weight_map:
        raise TableNotFoundError(
            f"{index}: there is no tensor {name!r}, but {listed(weight_map, name)}."
        )
    file = index.parent / weight_map[name]
    if not file.is_file():
        raise TableNotFoundError(
            f"{file}: there is no such file, which {index.name} names for {name!r}."
        )
    return file
