# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a table, as its only writer has it.

A new version is written beside the old one and becomes the table with one rename of
MANIFEST. Killed before that, the old version is the table, or there is none; what the
killed writer left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType

from ..errors import TableExistsError
from .files import sync_folder
from .locks import FolderLock, acquire_writer_lock, is_writer_lock
from .manifest import FILE_NAME, VERSION_FOLDER, Manifest, read_manifest, write_manifest

LOCK_NAME = "LOCK"
_TEMPORARY_NAME = FILE_NAME + ".tmp"


def is_interrupted(folder: Path) -> bool:
    """Whether a folder holds what a first writer leaves before there is a table."""
    names = set(os.listdir(folder))  # noqa: PTH208 (names are all we want)
    others = names - {LOCK_NAME, _TEMPORARY_NAME}
    return is_writer_lock(folder / LOCK_NAME) and all(
        VERSION_FOLDER.fullmatch(name) for name in others
    )


class TableFolder:
    """A context in which one version is written; leaving it by an error undoes it.

    Attributes:
        path: the folder.
        current: the manifest of the version there is; None: there is no table yet.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """Name the folder; nothing happens before the context is entered."""
        self.path = path
        self.current: Manifest | None = None
        self._overwrite = overwrite
        self._is_ours = False
        self._lock = -1

    def __enter__(self) -> TableFolder:
        """Lock the folder, made on demand, and remove what killed writers left.

        Raises:
            TableExistsError: it holds a table and `overwrite` is false, or holds
                something that is no table.
            TableLockedError: somebody else is writing.
            CorruptTableError, TableFormatError: its manifest cannot be read.
        """
        self._refuse_foreign()
        self._is_ours = self._make()
        try:
            self._lock = acquire_writer_lock(self.path / LOCK_NAME)
            self.current = self._refuse_foreign()
            self._remove_unused(self.current)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._undo()
        self._release()

    def new_version(self) -> Path:
        """Make the empty folder of the version to come."""
        number = self.current.version + 1 if self.current else 1
        while True:
            folder = self.path / f"v{number:06d}"
            with contextlib.suppress(FileExistsError):  # old, and still being read
                folder.mkdir()
                return folder
            number += 1

    def publish(self, manifest: Manifest) -> None:
        """Make a written version the table, and remove the one before."""
        sync_folder(self.path)
        write_manifest(self.path, manifest)
        self._remove_unused(manifest)

    def _refuse_foreign(self) -> Manifest | None:
        """Manifest of the table there is; raises where we may not write."""
        try:
            names = set(os.listdir(self.path))  # noqa: PTH208 (names are all we want)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise TableExistsError(f"{self.path}: there is a file already.") from None
        manifest = read_manifest(self.path) if FILE_NAME in names else None
        if manifest is not None and not self._overwrite:
            raise TableExistsError(
                f"{self.path}: there is a table already; give overwrite=True to "
                "replace it."
            )
        if manifest is None and names and not is_interrupted(self.path):
            raise TableExistsError(
                f"{self.path}: the folder holds something that is no table, which is "
                "never overwritten; choose another path."
            )
        return manifest

    def _make(self) -> bool:
        """Make the folder; whether we did."""
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            return False
        sync_folder(self.path.parent)
        return True

    def _remove_unused(self, manifest: Manifest | None) -> None:
        """Remove what no manifest names, except versions that are still being read."""
        used = manifest.base.folder if manifest else None
        (self.path / _TEMPORARY_NAME).unlink(missing_ok=True)
        for folder in self.path.iterdir():
            if VERSION_FOLDER.fullmatch(folder.name) and folder.name != used:
                lock = FolderLock.exclusive(folder)
                if lock is not None:
                    with lock:
                        shutil.rmtree(folder, ignore_errors=True)

    def _undo(self) -> None:
        """Leave the folder as it was found, unless the new version is the table."""
        with contextlib.suppress(OSError):
            current = read_manifest(self.path)
            self._remove_unused(current)
            if current is None:
                (self.path / LOCK_NAME).unlink(missing_ok=True)

    def _release(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)
        if self._is_ours:
            with contextlib.suppress(OSError):  # a table is in it
                self.path.rmdir()
