# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`lookup` inside jit, beside `jnp.take` and other ways to the same rows."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jax_hps.testing import MetaReuse, TraceReplay, Uniform, Workload, Zipf

from .cases import NUM_KEYS, compare
from .contestants import Contestants, contestants, lookup_program, take_program
from .gathers import measure_gather, measure_host_calls
from .rows import duration
from .run import Run
from .timing import WARM_UP, interleave

DIMS = (16, 64, 128)
KINDS = ("dense", "sparse")

WORKLOADS: dict[str, Callable[[int, int], Workload]] = {
    "uniform": lambda rows, seed: Uniform(rows, seed=seed),
    "Zipf 1.05": lambda rows, seed: Zipf(rows, 1.05, seed=seed),
}


def measure(run: Run, allocator: str) -> None:
    """Everything with glibc's own settings; the large results alone with others."""
    if allocator == "default":
        for dim in DIMS:
            for kind in KINDS:
                with contestants(run, kind, dim) as made:
                    _everything(run, made)
        return
    for dim in DIMS[1:]:
        for kind in KINDS:
            with contestants(run, kind, dim) as made:
                _against_take(run, made, NUM_KEYS[2:], f", malloc {allocator}")


def _everything(run: Run, made: Contestants) -> None:
    _against_take(run, made, NUM_KEYS)
    if made.kind == "dense":
        measure_gather(run, made)
    if made.table.dim != 64:
        return
    _production_reuse(run, made)
    _replayed_trace(run, made)
    if made.kind == "dense":
        _empty_call(run, made)
        measure_host_calls(run, made)


def _against_take(
    run: Run, made: Contestants, sizes: tuple[int, ...], note: str = ""
) -> None:
    for name, workload in WORKLOADS.items():
        for num_keys in sizes:
            stream = workload(len(made.resident), run.seed + num_keys)
            _compare(run, made, stream, num_keys, name + note)


def _production_reuse(run: Run, made: Contestants) -> None:
    for num_keys in NUM_KEYS[1:3]:
        stream = MetaReuse(len(made.resident), seed=run.seed)
        _compare(run, made, stream, num_keys, "Meta's reuse of 2022")


def _replayed_trace(run: Run, made: Contestants) -> None:
    """A trace that repeats: a million Zipf keys, again and again."""
    trace = Zipf(len(made.resident), 1.2, seed=run.seed).draw(2**20)
    for num_keys in NUM_KEYS[1:3]:
        _compare(run, made, TraceReplay(trace), num_keys, "replay of 1 M keys")


def _compare(
    run: Run, made: Contestants, stream: Workload, num_keys: int, note: str
) -> None:
    compare(
        run,
        made,
        f"{made.kind} lookup in jit vs jnp.take in jit",
        stream,
        num_keys,
        note=note,
        baseline=take_program(made.resident),
        place=made.row_numbers,
    )


def _empty_call(run: Run, made: Contestants) -> None:
    """What the custom call itself costs, at one key."""
    result = jax.eval_shape(lambda: jnp.zeros((1, made.table.dim)))
    empty = jax.jit(jax.ffi.ffi_call("hps_noop", result))
    stream = Uniform(len(made.resident), seed=run.seed)
    calls = 400 if run.quick else 4000
    ours, theirs = interleave(
        lookup_program(made),
        lambda keys: empty(keys).block_until_ready(),
        [made.keys(stream.draw(1)) for _ in range(WARM_UP + calls)],
    )
    run.add(duration("lookup in jit vs empty FFI call", "1 key", ours, theirs))
