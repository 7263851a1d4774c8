# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""C and C++ functions that baselines need, compiled when a benchmark asks for them."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).parent / "native"
_FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-Wall")
_COMPILERS = {".c": ("cc",), ".cc": ("c++", "-std=c++17")}


class NoCompilerError(RuntimeError):
    """There is no compiler on this machine, or it fails."""


@functools.cache
def load(name: str, *includes: str, package: str | None = None) -> ctypes.CDLL:
    """Compile a file of `native/` and load it.

    Args:
        name: of the file, with its suffix.
        includes: folders of headers.
        package: library that it needs, as pkg-config knows it.

    Raises:
        NoCompilerError: the compiler is missing or refuses the file, or there is no
            such package.
    """
    compiler, *language = _COMPILERS[Path(name).suffix]
    if shutil.which(compiler) is None:
        raise NoCompilerError(f"no compiler ({compiler}) on the path")
    libraries = _package_flags(package) if package else []
    # Threads that spin while they wait would slow the other contender down.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/helper.so"
        headers = [f"-I{include}" for include in includes]
        given = [*language, *_FLAGS, *headers, str(_SOURCES / name), *libraries]
        made = subprocess.run(
            [compiler, *given, "-o", library],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise NoCompilerError(f"{compiler} failed on {name}: {made.stderr.strip()}")
        return ctypes.CDLL(library)  # stays mapped after the file is gone


def _package_flags(package: str) -> list[str]:
    if shutil.which("pkg-config") is None:
        raise NoCompilerError("no pkg-config on the path")
    command = ["pkg-config", "--cflags", "--libs", package]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise NoCompilerError(f"pkg-config knows no {package}")
    return answer.stdout.split()
