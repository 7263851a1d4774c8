# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Which processor cores a measurement runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_core() -> Iterator[list[int]]:
    """Keep this thread, and those that it starts, on one core; yields the others.

    JAX makes as many threads as it sees cores when it is first used: do that inside.
    """
    allowed = os.sched_getaffinity(0)
    *others, chosen = sorted(allowed)
    os.sched_setaffinity(0, {chosen})
    try:
        yield others
    finally:
        os.sched_setaffinity(0, allowed)


def move_to(core: int) -> None:
    """Run this thread on that core from now on."""
    os.sched_setaffinity(0, {core})
