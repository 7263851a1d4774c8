# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The learned tables, on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from training import Trained

import jax_hps as hps

NAMES = ("user", "item")


def user_keys(users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hash users to 64-bit keys, as is done where ids are strings."""
    digests = (hashlib.blake2b(b"user:%d" % user, digest_size=8) for user in users)
    return np.frombuffer(b"".join(d.digest() for d in digests), dtype=np.int64)


def write(trained: Trained, folder: Path) -> None:
    """Write both tables; the unknown's row becomes the default of each.

    Users are found by 64-bit keys (a sparse table), items by row number (a dense one).
    """
    for name in NAMES:
        table = trained.table(name)
        hps.create_table(
            folder / name,
            table[:-1],
            user_keys(trained.user_ids) if name == "user" else None,
            default=table[-1],
            overwrite=True,
        )


def open_server(folder: Path) -> hps.ParameterServer:
    """Serve both tables."""
    specs = [hps.TableSpec(name=name, path=str(folder / name)) for name in NAMES]
    return hps.ParameterServer(specs, name="movielens")
