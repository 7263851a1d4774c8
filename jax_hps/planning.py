# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`plan`: what tables will take, before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from . import _native
from .caching import plan_row_cache
from .config import TableSpec, as_specs
from .errors import ConfigError
from .open_table import OpenTable
from .storage.opening import TableArrays, open_arrays


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What serving one table takes.

    Attributes:
        base_bytes: bytes of its rows. Where the native reader takes them they are
            mapped, and in memory as far as the page cache keeps them; it gives them up
            under pressure. Rows that TensorStore reads stay where they are.
        index_bytes: bytes of memory for the key index; 0 in a dense table.
        other_bytes: bytes of memory for the default row, and for the places of chunks
            where those are not in order.
        row_cache_rows: rows that the row cache has room for; 0: there is none.
        row_cache_bytes: bytes of memory for the row cache, metadata included.
    """

    base_bytes: int
    index_bytes: int
    other_bytes: int
    row_cache_rows: int = 0
    row_cache_bytes: int = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that cannot be given up."""
        return self.index_bytes + self.other_bytes + self.row_cache_bytes


class Plan(msgspec.Struct, frozen=True):
    """What serving some tables takes.

    Attributes:
        tables: by "table", or "model/table" where the model is not "default".
    """

    tables: dict[str, TablePlan]

    @property
    def base_bytes(self) -> int:
        """Bytes of all rows."""
        return sum(table.base_bytes for table in self.tables.values())

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that cannot be given up."""
        return sum(table.memory_bytes for table in self.tables.values())


def plan(specs: TableSpec | Iterable[TableSpec]) -> Plan:
    """Tell exactly what a server of these tables will take.

    Reads what describes the tables, and no rows or keys. Two specifications of one path
    share its memory in a server, and are counted twice here.

    Args:
        specs: one table, or several.

    Returns:
        Bytes by table.

    Raises:
        ConfigError: two tables of one model and name, or a cache that cannot be had.
        TableNotFoundError, TableFormatError, CorruptTableError, TierUnavailableError:
            see `open_table`.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> path = tempfile.mkdtemp() + "/user"
        >>> rows = np.zeros((1000, 16), np.float32)
        >>> hps.create_table(path, rows, keys=np.arange(1000)).close()
        >>> hps.plan(hps.TableSpec(name="user", path=path)).memory_bytes
        20544
    """
    plans: dict[str, TablePlan] = {}
    for spec in as_specs(specs):
        key = OpenTable.key_of(spec.name, spec.model)
        if key in plans:
            raise ConfigError(f"plan: two tables are called {key!r}.")
        plans[key] = _plan(spec)
    return Plan(plans)


def _plan(spec: TableSpec) -> TablePlan:
    arrays = open_arrays(spec.path)
    num_rows, dim = arrays.rows.shape
    row_bytes = dim * arrays.rows.itemsize
    cache_rows, cache_bytes = 0, 0
    if spec.row_cache is not None:
        cache_rows, cache_bytes = _planned_cache(spec, arrays)
    return TablePlan(
        base_bytes=num_rows * row_bytes,
        index_bytes=_native.KeyIndex.planned_bytes(num_rows) if arrays.keys else 0,
        other_bytes=row_bytes + arrays.rows.table_bytes,
        row_cache_rows=cache_rows,
        row_cache_bytes=cache_bytes,
    )


def _planned_cache(spec: TableSpec, arrays: TableArrays) -> tuple[int, int]:
    assert spec.row_cache is not None
    try:
        return plan_row_cache(spec.row_cache, arrays)
    except ValueError as error:
        raise ConfigError(f"TableSpec {spec.name!r}: {error}") from error
