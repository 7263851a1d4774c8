# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups of rows that the cache holds, all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import Workload

from .contestants import take_program
from .full_cache import NUM_KEYS, FullCache
from .lookup import WORKLOADS
from .random_keys import Bytes, Keys, aligned, rows_of
from .row_map import PlainGather, RowMap
from .rows import per_key
from .run import Run
from .timing import WARM_UP, interleave

Numbers = NDArray[np.int64]


class Baseline(NamedTuple):
    """Something that answers the same rows.

    Attributes:
        name: of it.
        answer: is given what `place` makes of row numbers, and waits for the rows.
        place: untimed.
    """

    name: str
    answer: Callable[[Any], object]
    place: Callable[[Numbers], Any]


def measure_hits(
    run: Run, full: FullCache, rows: Bytes, row_map: RowMap | None, *, with_jax: bool
) -> None:
    """Beside whatever there is.

    Args:
        run: gets the rows.
        full: the cache.
        rows: those of `full.keys`, side by side.
        row_map: from `full.keys` to rows.
        with_jax: beside `jnp.take` as well.
    """
    out = aligned(NUM_KEYS, full.row_bytes)
    baselines = [_plain_gather(rows, out)]
    if row_map:
        baselines.append(_row_map(full, row_map, out))
    if with_jax:
        baselines.append(_jax_take(rows))
    for baseline in baselines:
        for name, workload in WORKLOADS.items():
            stream = workload(len(full.keys), run.seed)
            _compare(run, full, out, baseline, stream, name)


def _compare(
    run: Run,
    full: FullCache,
    out: Bytes,
    baseline: Baseline,
    stream: Workload,
    name: str,
) -> None:
    drawn = [stream.draw(NUM_KEYS) for _ in range(WARM_UP + _num_calls(run))]
    _check(full, full.keys[drawn[0]], out)
    ours, theirs = interleave(
        lambda batch: full.cache.lookup(batch[0], out),
        lambda batch: baseline.answer(batch[1]),
        [(full.keys[numbers], baseline.place(numbers)) for numbers in drawn],
    )
    case = f"cache hits vs {baseline.name}"
    run.add(per_key(case, full.shape(name), ours, theirs, NUM_KEYS))


def _num_calls(run: Run) -> int:
    return 24 if run.quick else 104


def _plain_gather(rows: Bytes, out: Bytes) -> Baseline:
    name = "prefetched gather by row number"
    return Baseline(name, PlainGather(rows, out), _as_int32)


def _row_map(full: FullCache, row_map: RowMap, out: Bytes) -> Baseline:
    return Baseline(
        "absl::flat_hash_map and memcpy",
        lambda keys: row_map.lookup(keys, out),
        lambda numbers: full.keys[numbers],
    )


def _jax_take(rows: Bytes) -> Baseline:
    # JAX uses the memory as it is, huge pages and all.
    resident = jax.device_put(rows.view(np.float32)).block_until_ready()
    return Baseline(
        "jnp.take in jit by row number, a fresh result",
        take_program(resident),
        lambda numbers: jax.device_put(_as_int32(numbers)).block_until_ready(),
    )


def _as_int32(numbers: Numbers) -> NDArray[np.int32]:
    return numbers.astype(np.int32)


def _check(full: FullCache, keys: Keys, out: Bytes) -> None:
    if not full.cache.lookup(keys, out).all():
        raise AssertionError("a key that the cache holds was missed")
    np.testing.assert_array_equal(out, rows_of(keys, full.row_bytes))
