# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement depends on besides the code: machine, versions, settings."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("jax_hps", "jax", "jaxlib", "numpy", "tensorstore")
SETTINGS = ("GLIBC_TUNABLES", "MALLOC_", "XLA_FLAGS", "JAX_HPS_ISA", "LD_PRELOAD")


def describe(*, seed: int) -> dict[str, str]:
    """Machine, versions, commit and seed, as text by name."""
    return {
        "machine": _machine(),
        "kernel": platform.release().partition("-")[0],
        "huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "isa": _isa(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "settings": _settings(),
        "commit": _commit(),
        "seed": str(seed),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _machine() -> str:
    info = _read("/proc/cpuinfo")
    models = [line for line in info.splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{os.cpu_count()} cores of {model}, {memory / 2**30:.0f} GiB"


def _isa() -> str:
    from jax_hps import _native

    return _native.isa()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _settings() -> str:
    names = sorted(name for name in os.environ if name.startswith(SETTINGS))
    return " ".join(f"{name}={os.environ[name]}" for name in names)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"
