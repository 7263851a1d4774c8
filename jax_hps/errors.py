# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What jax_hps raises: every class is an `HpsError` and the fitting built-in."""

from __future__ import annotations


class HpsError(Exception):
    """Base of every error that jax_hps raises."""

    # KeyError prints the repr of its argument; a sentence should read as one.
    def __str__(self) -> str:
        return " ".join(str(arg) for arg in self.args)


class ArgumentError(HpsError, TypeError):
    """An argument of a wrong type."""


class TableNotFoundError(HpsError, KeyError):
    """No such table, or no such server."""


class TableExistsError(HpsError, FileExistsError):
    """The path holds something already, and `overwrite` was not given."""


class TableDataError(HpsError, ValueError):
    """Keys or rows that do not fit the table: lengths, dtypes, duplicate keys."""


class TableLockedError(HpsError, BlockingIOError):
    """Another process or handle is writing the table."""


class CorruptTableError(HpsError, OSError):
    """A file of a table is damaged; the message names the file and the place."""


class TableFormatError(HpsError, ValueError):
    """What is stored is sound but no table that this release can read."""


class KeyDtypeError(HpsError, TypeError):
    """Keys of a dtype that would lose bits, or that are no integers at all."""


class MissingKeyError(HpsError, KeyError):
    """A key is unknown in a table opened with `on_missing="error"`."""


class ConfigError(HpsError, ValueError):
    """A specification or a configuration file says something impossible."""


class TierUnavailableError(HpsError, ConnectionError):
    """A tier did not answer."""


class DeadlineError(HpsError, TimeoutError):
    """A lookup's deadline passed before a tier had answered."""


class ClosedError(HpsError, RuntimeError):
    """The server or table was closed."""
