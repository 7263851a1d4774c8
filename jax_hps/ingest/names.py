# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What an error lists when the name that was asked for is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 20


def listed(names: Iterable[str], asked: str) -> str:
    """List the names there are, the likeliest first and not too many of them.

    Args:
        names: those there are.
        asked: the one that is not among them.

    Example:
        >>> listed(["bias", "kernel"], "kernels")
        "'kernel', 'bias'"
        >>> listed([], "kernel")
        'nothing at all'
    """
    there = sorted(set(names))
    likeliest = difflib.get_close_matches(asked, there, _SHOWN, cutoff=0.0)
    shown = ", ".join(map(repr, likeliest)) or "nothing at all"
    more = len(there) - len(likeliest)
    return f"{shown} and {more} more" if more else shown
