# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The key index: how fast it is built and asked, and how large it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

import jax_hps as hps
from jax_hps import _native
from jax_hps.testing import Uniform, scatter_keys

from .resident import Resident
from .rows import duration, rate, size
from .run import Run
from .timing import interleave

DIM = 4
BYTES_PER_KEY = 17.5  # what an index may take, and a table besides 1.25x its rows
NUM_KEYS = 65536


def measure_index(run: Run) -> None:
    """64 M keys; beside them what NumPy offers, which is to sort them."""
    count = 2**20 if run.quick else 64_000_000
    keys = scatter_keys(np.arange(count), seed=run.seed)
    label = f"{count / 1e6:.3g} M int64 keys"
    _build_and_find(run, keys, label)
    with run.scratch("index") as folder:
        np.save(folder / "keys.npy", keys)
        hps.create_table(folder / "table", _blocks(keys)).close()
        del keys
        _open(run, folder, label)
        _memory(run, folder / "table", label)


def _blocks(
    keys: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    for some in np.array_split(keys, max(1, len(keys) // 2**20)):
        yield some, np.ones((len(some), DIM), np.float32)


def _build(keys: NDArray[np.int64]) -> _native.KeyIndex:
    index = _native.KeyIndex(expected_keys=len(keys))
    index.insert(keys)
    return index


def _build_and_find(run: Run, keys: NDArray[np.int64], label: str) -> None:
    # Processor time: a thread more does not make a core faster.
    ours, theirs = interleave(
        _build, np.argsort, [keys] * 3, warm_up=0, block=1, clock=time.process_time
    )
    case = "key index built vs np.argsort"
    amount = len(keys) / 1e6
    run.add(rate(case, label, ours, theirs, amount=amount, unit="Mkeys/s/core"))

    index = _build(keys)
    per_key = index.nbytes / len(keys)
    case = "key index vs its limit"
    run.add(size(case, label, per_key, BYTES_PER_KEY, "B/key"))
    _find(run, index, keys, label)


def _find(
    run: Run, index: _native.KeyIndex, keys: NDArray[np.int64], label: str
) -> None:
    order = np.argsort(keys)
    in_order = keys[order]

    def search(wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        places = np.minimum(np.searchsorted(in_order, wanted), len(in_order) - 1)
        return np.where(in_order[places] == wanted, order[places], -1)

    stream = Uniform(len(keys), seed=run.seed)
    batches = [keys[stream.draw(NUM_KEYS)] for _ in range(24 if run.quick else 104)]
    np.testing.assert_array_equal(index.find(batches[0]), search(batches[0]))
    ours, theirs = interleave(index.find, search, batches)
    case, shape = "key index asked vs np.searchsorted", f"{NUM_KEYS} of {label}"
    run.add(rate(case, shape, ours, theirs, amount=NUM_KEYS / 1e6, unit="Mkeys/s"))


def _open(run: Run, folder: Path, label: str) -> None:
    ours, theirs = interleave(
        lambda _: hps.open_table(folder / "table").close(),
        lambda _: np.argsort(np.load(folder / "keys.npy")),
        range(4),
        warm_up=1,
        block=1,
    )
    case = "open_table, sparse vs np.load and np.argsort of the keys"
    run.add(duration(case, label, ours, theirs, "s"))


def _memory(run: Run, path: Path, label: str) -> None:
    """A process of its own opens the table and reads every page of it."""
    command = [sys.executable, "-m", "benchmarks.resident", str(path), str(run.seed)]
    answer = subprocess.run(command, check=True, capture_output=True)
    found = msgspec.json.decode(answer.stdout, type=Resident)
    mib = 2**20
    limit = 1.25 * found.row_bytes + BYTES_PER_KEY * found.num_keys
    shape = f"{label}, dim {DIM}, every page read"
    case = "resident memory of a table vs its limit"
    run.add(size(case, shape, found.total_bytes / mib, limit / mib, "MiB"))
