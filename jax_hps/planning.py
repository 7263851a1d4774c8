# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`plan`: what tables will take, before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from . import _native
from .config import TableSpec, as_specs
from .errors import ConfigError
from .open_table import OpenTable
from .storage.opening import open_arrays


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What serving one table takes.

    Attributes:
        base_bytes: bytes of its rows. Where the native reader takes them they are
            mapped, and in memory as far as the page cache keeps them; it gives them up
            under pressure. Rows that TensorStore reads stay where they are.
        index_bytes: bytes of memory for the key index; 0 in a dense table.
        other_bytes: bytes of memory for the default row, and for the places of chunks
            where those are not in order.
    """

    base_bytes: int
    index_bytes: int
    other_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory that cannot be given up."""
        return self.index_bytes + self.other_bytes


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
        ConfigError: two tables of one model and name.
        TableNotFoundError, TableFormatError, CorruptTableError, TierUnavailableError:
            see `open_table`.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> path = tempfile.mkdtemp() + "/user"
        >>> rows = np.zeros((1000, 16), np.float32)
        >>> hps.create_table(path, rows, keys=np.arange(1000)).close()
        >>> hps.plan(hps.TableSpec(name="user", path=path)).tables["user"]
        TablePlan(base_bytes=64000, index_bytes=20480, other_bytes=64)
    """
    plans: dict[str, TablePlan] = {}
    for spec in as_specs(specs):
        key = OpenTable.key_of(spec.name, spec.model)
        if key in plans:
            raise ConfigError(f"plan: two tables are called {key!r}.")
        plans[key] = _plan(spec)
    return Plan(plans)


def _plan(spec: TableSpec) -> TablePlan:
    rows, keys = open_arrays(spec.path)
    num_rows, dim = rows.shape
    return TablePlan(
        base_bytes=num_rows * dim * rows.itemsize,
        index_bytes=_native.KeyIndex.planned_bytes(num_rows) if keys else 0,
        other_bytes=dim * rows.itemsize + rows.table_bytes,
    )
