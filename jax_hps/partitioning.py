# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How XLA splits a lookup among devices: every device looks up its own keys.

XLA replicates the operands of a custom call that it knows nothing about: it gathers all
keys on every device. Three things together keep it from that: the target registered as
batch partitionable, the frontend attribute `num_batch_dims`, and a Shardy rule by which
shardings pass through the call.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

from jax.extend.mlir.dialects import sdy
from jax.interpreters import mlir

Shape: TypeAlias = tuple[int, ...]


def num_devices(axis_context: mlir.AxisContext) -> int:
    """Count the devices that the program being lowered is compiled for."""
    if isinstance(axis_context, mlir.SPMDAxisContext):
        return axis_context.mesh.size
    return axis_context.num_devices


def is_partitioned(axis_context: mlir.AxisContext) -> bool:
    """Whether XLA splits calls of the program being lowered among devices.

    It does not with a single device, nor inside a `shard_map` over all axes of the
    mesh, where shapes are those of one device already.
    """
    if isinstance(axis_context, mlir.SPMDAxisContext):
        mesh = axis_context.mesh
        return mesh.size > 1 and axis_context.manual_axes != set(mesh.axis_names)
    return axis_context.num_devices > 1


def partitionable_groups(keys: Sequence[Shape]) -> list[list[int]]:
    """Group operands that one call can take: those of equal leading dimension.

    A call is split along dimensions that all its operands share. Without one in common,
    all keys would be gathered on every device.

    Args:
        keys: shapes [*ks, w] of the operands.

    Returns:
        Positions of the operands, group by group; single keys (ks = ()) are a group.
    """
    groups: dict[Any, list[int]] = {}
    for i, shape in enumerate(keys):
        leading = shape[0] if len(shape) > 1 else None
        groups.setdefault(leading, []).append(i)
    return list(groups.values())


def partitioning_attributes(
    keys: Sequence[Shape], results: Sequence[Shape]
) -> dict[str, Any] | None:
    """Attributes of a custom call by which XLA splits it.

    Args:
        keys: shapes [*ks, w] of the operands.
        results: shapes [*ks, dim] and [*ks, 1].

    Returns:
        Attributes to put on the call; None where it has nothing to be split along, or
        where dimensions are symbolic (`jax.export`).
    """
    shapes = [*keys, *results]
    batch = _common_prefix([shape[:-1] for shape in shapes])
    static = all(isinstance(dim, int) for shape in shapes for dim in shape)
    if not batch or not static:
        return None
    attribute = {"num_batch_dims": str(len(batch))}
    return {
        "mhlo.frontend_attributes": mlir.ir_attribute(attribute),
        "sdy.sharding_rule": _sharding_rule(batch, shapes, len(keys)),
    }


def _common_prefix(shapes: Sequence[Shape]) -> list[int]:
    columns = zip(*shapes, strict=False)
    same = itertools.takewhile(lambda dims: len(set(dims)) == 1, columns)
    return [dims[0] for dims in same]


def _sharding_rule(
    batch: list[int], shapes: Sequence[Shape], num_operands: int
) -> sdy.OpShardingRuleAttr:
    """Write the Shardy rule: one factor per batch dimension, common to all shapes.

    Every other dimension has a factor of its own, which must be whole on each device.
    """
    factors = list(batch)
    mappings = []
    for shape in shapes:
        own = shape[len(batch) :]
        new = range(len(factors), len(factors) + len(own))
        factors.extend(own)
        dims = [sdy.DimMappingAttr.get([f]) for f in (*range(len(batch)), *new)]
        mappings.append(sdy.TensorMappingAttr.get(dims))
    return sdy.OpShardingRuleAttr.get(
        factors,
        mappings[:num_operands],
        mappings[num_operands:],
        need_replication_factors=list(range(len(batch), len(factors))),
        is_custom=True,
    )
