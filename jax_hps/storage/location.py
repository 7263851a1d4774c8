# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Where a table is: a folder on this machine, or a URL that TensorStore reads."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import TableFormatError
from .tensorstore_rows import read_remote_file

URL_SCHEMES = ("s3", "gs", "http", "https", "memory")


@dataclasses.dataclass(frozen=True)
class Location:
    """A folder: `path` where it is local, else None and `name` is its URL.

    Attributes:
        name: path or URL as it was given, for errors.
        path: absolute, so that it means the same after `os.chdir`.
    """

    name: str
    path: Path | None

    @classmethod
    def parse(cls, path: str | os.PathLike[str]) -> Location:
        """Take a path, a `file://` URL or a URL of `URL_SCHEMES`.

        A path may be relative and may begin with `~`.

        Raises:
            TableFormatError: an empty path, the home of an unknown user, a URL of
                another scheme, or a `file://` URL that is more than an absolute path.
        """
        name = os.fspath(path)
        scheme, found, _ = name.partition("://")
        if not found:
            return cls(name, _path_of_name(name))
        if scheme == "file":
            return cls(name, _path_of_url(name))
        if scheme not in URL_SCHEMES:
            schemes = ", ".join(("file", *URL_SCHEMES))
            raise TableFormatError(
                f"{name}: expected a local path or a URL of {schemes}."
            )
        return cls(name.rstrip("/"), None)

    @property
    def is_remote(self) -> bool:
        """Whether reading goes over a network, with deadlines."""
        return self.path is None

    @property
    def kvstore(self) -> dict[str, Any] | str:
        """The folder as TensorStore's `kvstore`."""
        if self.path is None:
            return self.name + "/"
        return {"driver": "file", "path": f"{self.path}/"}

    def folder(self, name: str) -> Location:
        """A folder within this one."""
        path = None if self.path is None else self.path / name
        return Location(f"{self.name}/{name}", path)

    def read(self, name: str) -> bytes | None:
        """Bytes of a small file in the folder; None where there is no such file."""
        if self.path is None:
            return read_remote_file(self.name + "/", name)
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def __str__(self) -> str:
        return self.name


def _path_of_name(name: str) -> Path:
    if not name:
        raise TableFormatError("The path is empty: expected a local path or a URL.")
    try:
        return Path(name).expanduser().absolute()
    except RuntimeError as error:
        raise TableFormatError(f"{name}: {error}") from error


def _path_of_url(url: str) -> Path:
    parts = urlsplit(url)
    is_local = parts.netloc in ("", "localhost")
    if not (is_local and parts.path) or parts.query or parts.fragment:
        raise TableFormatError(
            f"{url}: expected the form file:///absolute/path, with three slashes and "
            "with %3F and %23 for ? and #."
        )
    return Path(unquote(parts.path))
