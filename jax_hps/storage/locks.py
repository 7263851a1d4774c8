# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Advisory locks: a table has one writer, and a version stays while it is read."""

from __future__ import annotations

import errno
import fcntl
import os
import weakref
from pathlib import Path
from types import TracebackType

from ..errors import TableLockedError

_MAGIC = b"jax_hps.table\n"

# A file system without locks holds no writer's lock either: reading is as safe as ever.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class FolderLock:
    """A lock on an open folder; it ends with `close`, the object or the process."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, without a lock as yet."""
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        # Unlike __del__, this also works while the interpreter is torn down.
        self._close = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self.identity = (status.st_dev, status.st_ino)
        """What tells the folder apart from any other, for as long as it is open."""

    @classmethod
    def shared(cls, folder: Path) -> FolderLock | None:
        """Lock a folder against its removal; None if it is gone."""
        try:
            lock = cls(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(lock._descriptor, fcntl.LOCK_SH)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return lock

    @classmethod
    def exclusive(cls, folder: Path) -> FolderLock | None:
        """Lock a folder that nobody reads; None if it is gone, or read by someone."""
        try:
            lock = cls(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(lock._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # where nothing can be locked, nobody can be ruled out
            lock.close()
            return None
        return lock

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        self._close()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def acquire_writer_lock(path: Path) -> int:
    """Take the writer's lock of a table, the file `path`, which is made on demand.

    Returns:
        An open descriptor; closing it releases the lock.

    Raises:
        TableLockedError: another process or handle holds it.
        FileNotFoundError: the folder is gone.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                _sign(descriptor, path)
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise TableLockedError(
                f"{path.parent}: another process or handle is writing the table; "
                "wait for it to finish."
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # a writer that gave up removed the file under us


def _sign(descriptor: int, path: Path) -> None:
    if os.fstat(descriptor).st_size:
        return
    try:
        os.write(descriptor, _MAGIC)
    except OSError:  # a full disk gives us the file, but no byte in it
        path.unlink(missing_ok=True)
        raise


def is_writer_lock(path: Path) -> bool:
    """Whether a file is a lock of ours, or the beginning of one."""
    try:
        with path.open("rb") as file:
            return _MAGIC.startswith(file.read(len(_MAGIC) + 1))
    except OSError:
        return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
