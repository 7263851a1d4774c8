# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Dense lookups beside gathers that leave JAX out, or leave jit for Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import Uniform

from . import native_helpers
from .cases import NUM_KEYS, compare
from .contestants import Contestants
from .run import Run

THREADS_FROM = 16384  # keys; fewer are gathered faster by one thread

Rows = NDArray[np.float32]
Places = NDArray[np.int32]


def measure_gather(run: Run, made: Contestants) -> None:
    """Against the least that a custom call can do: prefetch, and copy."""
    case = "dense lookup in jit vs memcpy gather in an FFI call"
    try:
        native = native_helpers.load("gather.cc", jax.ffi.include_dir())
    except native_helpers.NoCompilerError as error:
        run.skip(case, str(error))
        return
    handler = jax.ffi.pycapsule(native.BenchmarkGather)
    jax.ffi.register_ffi_target("benchmark_gather", handler, platform="cpu")
    for num_keys in NUM_KEYS:
        threads = (os.cpu_count() or 1) if num_keys >= THREADS_FROM else 1
        gather, note = _gather_program(made, threads), f"uniform, {threads} thread(s)"
        _compare(run, made, case, num_keys, gather, note=note, place=made.row_numbers)


def measure_host_calls(run: Run, made: Contestants) -> None:
    """Against `np.take` on a mapped file, and `jax.pure_callback` over NumPy."""
    with run.scratch("memmap") as folder:
        np.save(folder / "rows.npy", np.asarray(made.resident))
        mapped = np.asarray(np.load(folder / "rows.npy", mmap_mode="r"))
        mapped.sum()  # every page in memory and mapped
        case = "dense lookup in jit vs np.take on a memmap"
        for num_keys in NUM_KEYS:
            _compare(run, made, case, num_keys, _numpy_take(mapped))
    case = "dense lookup in jit vs jax.pure_callback over NumPy"
    callback = _callback(_numpy_take(np.asarray(made.resident)), made.table.dim)
    for num_keys in NUM_KEYS:
        _compare(run, made, case, num_keys, callback, place=made.row_numbers)


def _compare(
    run: Run,
    made: Contestants,
    case: str,
    num_keys: int,
    baseline: Callable[[Any], object],
    *,
    note: str = "uniform",
    place: Callable[[NDArray[Any]], Any] = lambda rows: rows.astype(np.int32),
) -> None:
    stream = Uniform(len(made.resident), seed=run.seed + num_keys)
    compare(
        run, made, case, stream, num_keys, note=note, baseline=baseline, place=place
    )


def _numpy_take(rows: Rows) -> Callable[[Places], Rows]:
    return lambda places: np.take(rows, places, axis=0, mode="clip")


def _gather_program(
    made: Contestants, threads: int
) -> Callable[[jax.Array], jax.Array]:
    @jax.jit
    def program(rows: jax.Array, places: jax.Array) -> Any:
        shape = (*places.shape, made.table.dim)
        result = jax.eval_shape(lambda: jnp.zeros(shape))
        call: Any = jax.ffi.ffi_call("benchmark_gather", result)
        return call(rows, places, threads=np.int64(threads))

    def gather(places: jax.Array) -> jax.Array:
        rows: jax.Array = program(made.resident, places)
        return rows.block_until_ready()

    sample = np.array([0, 5, len(made.resident) - 1, 5], np.int32)
    found, expected = gather(jnp.asarray(sample)), made.resident[sample]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    return gather


def _callback(
    take: Callable[[Places], Rows], dim: int
) -> Callable[[jax.Array], object]:
    @jax.jit
    def program(places: jax.Array) -> Any:
        result = jax.eval_shape(lambda: jnp.zeros((*places.shape, dim)))
        return jax.pure_callback(lambda at: take(np.asarray(at)), result, places)

    return lambda places: program(places).block_until_ready()
