# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Failures of lookups that no call could raise, and the errors they become."""

from __future__ import annotations

from . import _native
from .errors import (
    ClosedError,
    CorruptTableError,
    DeadlineError,
    HpsError,
    MissingKeyError,
    TableDataError,
    TierUnavailableError,
)

Failure = tuple[str, str]  # code, message

_ERRORS: dict[str, type[HpsError]] = {
    "closed": ClosedError,
    "missing_key": MissingKeyError,
    "unavailable": TierUnavailableError,
    "deadline": DeadlineError,
    "corrupt": CorruptTableError,
    "invalid_argument": TableDataError,
}


def take_orphans(server: str) -> list[Failure]:
    """Take the failures of calls that named a table which `server` no longer had."""
    return _native.take_orphan_failures(f"{server}/")


def as_error(failures: list[Failure]) -> HpsError:
    """Make one error of failures, of the class of the first."""
    code, message = failures[0]
    more = len(failures) - 1
    return _ERRORS[code](f"{message} ({more} more failures)" if more else message)
