# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Does the running jaxlib accept handlers that were compiled for another one?

XLA refuses a handler built against FFI headers newer than its own, and it does so while
a backend starts: not one call fails, all of JAX does. So the question is asked before
anything is registered.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import jax


def check_ffi_version(built: tuple[int, int], include_dir: str | None = None) -> None:
    """Raise unless the running jaxlib accepts handlers of an FFI API version.

    Args:
        built: (major, minor) of the FFI headers that the handlers were compiled with.
        include_dir: folder of the runtime's headers; default: the running jaxlib's.
            Where no version can be read there, nothing is checked.

    Raises:
        ImportError: another major version, or a newer minor one.

    Example:
        >>> check_ffi_version((0, 1))
    """
    include_dir = include_dir or jax.ffi.include_dir()
    running = _version_of(Path(include_dir, "xla/ffi/api/c_api.h"))
    if running is None or (built[0] == running[0] and built[1] <= running[1]):
        return
    jaxlib = importlib.metadata.version("jaxlib")
    raise ImportError(
        f"jax_hps was built for XLA's FFI API {built[0]}.{built[1]}; the installed "
        f"jaxlib {jaxlib} has {running[0]}.{running[1]}, would refuse it, "
        "and could then start no backend. Nothing was registered: JAX itself works on. "
        "Upgrade jaxlib, or build jax_hps from source against its headers: pip install "
        f". --config-settings=cmake.define.JAX_HPS_FFI_INCLUDE_DIR={include_dir}"
    )


def _version_of(header: Path) -> tuple[int, int] | None:
    text = header.read_text() if header.is_file() else ""
    major = re.search(r"#define\s+XLA_FFI_API_MAJOR\s+(\d+)", text)
    minor = re.search(r"#define\s+XLA_FFI_API_MINOR\s+(\d+)", text)
    return (int(major[1]), int(minor[1])) if major and minor else None
