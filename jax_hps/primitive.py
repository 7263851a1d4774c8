# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`hps_lookup_p`: the primitive behind every lookup.

One equation looks up any number of tables. Its operands are keys, one array per table,
of shape [*ks, w]: w = 1 with int32, uint32 or int64, w = 2 with pairs of uint32. Its
results are rows [*ks, dim], one array per table, and then, with `return_found`, a mask
[*ks, 1] per table. Keys and rows have equal ranks because XLA's batch partitioner asks
for it.

The equation has no side effects, so that XLA may merge, hoist and drop lookups and
`jax.checkpoint` may repeat them. Tables are named, never pointed to: a compiled program
finds its tables anew in each call, also one that comes from a cache on disk.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend import core as jex_core
from jax.interpreters import ad, batching, mlir, xla
from jax.sharding import PartitionSpec

from . import _native
from .ffi_version import check_ffi_version
from .partitioning import (
    is_partitioned,
    num_devices,
    partitionable_groups,
    partitioning_attributes,
)
from .table import Table

_TARGET = "hps_lookup"


class Tables(tuple[Table, ...]):
    """The tables of one call; in a jaxpr they read as "server/model/table"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"({', '.join(table.full_name for table in self)})"


def call(
    operands: Sequence[jax.Array],
    tables: Iterable[Table],
    dtypes: Iterable[str],
    *,
    return_found: bool,
) -> tuple[list[jax.Array], list[jax.Array]]:
    """Bind the primitive.

    Args:
        operands: keys of each table, [*ks, w].
        tables: the tables.
        dtypes: dtype of each table's rows: "float32", "float16" or "bfloat16".
        return_found: whether the masks are wanted.

    Returns:
        Rows [*ks, dim] of each table, and masks [*ks, 1] of each table (none unless
        `return_found`).
    """
    results = hps_lookup_p.bind(
        *operands,
        tables=Tables(tables),
        dtypes=tuple(dtypes),
        return_found=return_found,
    )
    return results[: len(operands)], results[len(operands) :]


def _abstract_eval(
    *keys: ShapedArray, tables: Tables, dtypes: tuple[str, ...], return_found: bool
) -> list[ShapedArray]:
    columns = [(table.dim, dtype) for table, dtype in zip(tables, dtypes, strict=True)]
    if return_found:
        columns += [(1, "bool")] * len(keys)
    sources = keys * (1 + return_found)
    return [
        _result(key, width, dtype)
        for key, (width, dtype) in zip(sources, columns, strict=True)
    ]


def _result(keys: ShapedArray, width: int, dtype: str) -> ShapedArray:
    """Shape of a result: sharding and manual axes are those of its own keys."""
    spec = PartitionSpec(*tuple(keys.sharding.spec)[:-1], None)
    result: ShapedArray = keys.update(
        shape=(*keys.shape[:-1], width),
        dtype=jnp.dtype(dtype),
        weak_type=False,
        sharding=keys.sharding.update(spec=spec),
    )
    return result


def _jvp(
    primals: Sequence[Any], _: Sequence[Any], **params: Any
) -> tuple[list[Any], list[ad.Zero]]:
    results = hps_lookup_p.bind(*primals, **params)
    tangents = [jax.typeof(result).to_tangent_aval() for result in results]
    return results, [ad.Zero(tangent) for tangent in tangents]


def _batch(
    keys: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    """Each key is looked up on its own, so a batch is one more leading dimension."""
    moved = [
        key if dim is None else jnp.moveaxis(key, dim, 0)
        for key, dim in zip(keys, dims, strict=True)
    ]
    results = hps_lookup_p.bind(*moved, **params)
    placed = [None if dim is None else 0 for dim in dims]
    return results, placed * (len(results) // len(keys))


def _lower(
    ctx: mlir.LoweringRuleContext,
    *keys: Any,
    tables: Tables,
    dtypes: tuple[str, ...],
    return_found: bool,
) -> list[Any]:
    """Emit one custom call, or several where the partitioner needs them apart."""
    groups = [list(range(len(keys)))]
    partitioned = is_partitioned(ctx.module_context.axis_context)
    if partitioned:
        groups = partitionable_groups(_shapes(ctx.avals_in))
    results: list[Any] = [None] * len(ctx.avals_out)
    for group in groups:
        places = group + [len(keys) + i for i in group if return_found]
        emitted = _emit(
            ctx.replace(
                avals_in=[ctx.avals_in[i] for i in group],
                avals_out=[ctx.avals_out[i] for i in places],
            ),
            [keys[i] for i in group],
            [tables[i] for i in group],
            return_found=return_found,
            partitioned=partitioned,
        )
        for place, result in zip(places, emitted, strict=True):
            results[place] = result
    return results


def _emit(
    ctx: mlir.LoweringRuleContext,
    keys: Sequence[Any],
    tables: Sequence[Table],
    *,
    return_found: bool,
    partitioned: bool,
) -> Sequence[Any]:
    attributes = None
    if partitioned:
        attributes = partitioning_attributes(
            _shapes(ctx.avals_in), _shapes(ctx.avals_out)
        )
    return jax.ffi.ffi_lowering(_TARGET, extra_attributes=attributes)(
        ctx,
        *keys,
        tables={str(i): table.full_name for i, table in enumerate(tables)},
        return_found=return_found,
        # An error on one of several devices leaves the others waiting for it in their
        # next collective, until XLA ends the process. There a failed lookup answers
        # default vectors, and `ParameterServer.check` raises what happened.
        raise_errors=num_devices(ctx.module_context.axis_context) == 1,
    )


def _shapes(avals: Iterable[Any]) -> list[tuple[int, ...]]:
    return [aval.shape for aval in avals]


def _register() -> None:
    check_ffi_version(_native.FFI_API_VERSION)
    for target, handler in _native.handlers().items():
        jax.ffi.register_ffi_target(target, handler, platform="cpu")
    jax.ffi.register_ffi_target_as_batch_partitionable(_TARGET)


hps_lookup_p = jex_core.Primitive("hps_lookup")
hps_lookup_p.multiple_results = True
hps_lookup_p.def_impl(functools.partial(xla.apply_primitive, hps_lookup_p))
hps_lookup_p.def_abstract_eval(_abstract_eval)
ad.primitive_jvps[hps_lookup_p] = _jvp
batching.primitive_batchers[hps_lookup_p] = _batch
mlir.register_lowering(hps_lookup_p, _lower, platform="cpu")
_register()
