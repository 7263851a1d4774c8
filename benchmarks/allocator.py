# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of glibc's allocator, which decide what a large result costs.

XLA allocates every result anew. From 32 MiB on, glibc maps fresh pages for it and the
kernel clears them one fault at a time. Both sides of a comparison pay for that, so the
suite runs with and without the settings that avoid it; they are read at process start.
"""

from __future__ import annotations

import os
import sys

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "hugetlb": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "no-mmap": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "268435456",
    },
}


def ensure(name: str) -> None:
    """Start this program again with the settings, unless it has them already."""
    wanted = SETTINGS[name]
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **wanted})
