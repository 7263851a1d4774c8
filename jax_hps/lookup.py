# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`lookup` and `lookup_many`: rows of tables by key, inside and outside of jit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, TypeAlias, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from .errors import ArgumentError, KeyDtypeError, TableDataError
from .keys import PackedKeys
from .keys import keys as pack
from .primitive import call
from .server import require_open
from .table import Table

KeysLike: TypeAlias = PackedKeys | jax.Array | ArrayLike
Rows: TypeAlias = jax.Array
RowsAndFound: TypeAlias = tuple[jax.Array, jax.Array]
Name = TypeVar("Name", bound=Hashable)

_ROW_DTYPES = ("float32", "float16", "bfloat16")


@overload
def lookup(
    table: Table,
    keys: KeysLike,
    *,
    dtype: DTypeLike | None = None,
    return_found: Literal[False] = False,
) -> Rows: ...
@overload
def lookup(
    table: Table,
    keys: KeysLike,
    *,
    dtype: DTypeLike | None = None,
    return_found: Literal[True],
) -> RowsAndFound: ...
def lookup(
    table: Table,
    keys: KeysLike,
    *,
    dtype: DTypeLike | None = None,
    return_found: bool = False,
) -> Rows | RowsAndFound:
    """Look up rows of a table by key; works inside `jax.jit`.

    Unknown keys answer the table's default vector. A lookup is a constant under
    differentiation and may be transformed in every way: jit, vmap, scan, cond, grad of
    other arguments, checkpoint, shard_map. Under jit with sharded keys every device
    looks up its own keys, without communication.

    In a program of one device a lookup that fails raises in the call, by JAX's doing a
    `jax.errors.JaxRuntimeError` or, from the second call of a jitted function on, a
    `ValueError`. In a program of several devices it answers default vectors, and
    `ParameterServer.check` raises. Tables with `strict` always raise in the call.

    Args:
        table: the table, from `ParameterServer.table`.
        keys: keys [...]: `PackedKeys`; int64 or uint64 jax arrays (`jax_enable_x64`);
            int32 or uint32 jax arrays where the table takes them; NumPy integers and
            (lists of) Python ints, which are packed by `keys` first.
        dtype: dtype of the rows: float32, float16 or bfloat16; default: the dtype they
            are stored in. The values are those of `.astype(dtype)`.
        return_found: also return which keys the table knows.

    Returns:
        Rows [..., dim]; with `return_found` also bool [...], False for unknown keys.

    Raises:
        KeyDtypeError: keys that are no integers, or 32-bit keys for a table of 64-bit
            keys: they may have lost their upper bits on the way.
        TableDataError: a `dtype` that rows cannot have.
        ArgumentError: `table` is no `Table`.
        TableNotFoundError: its server has the table no more.
        ClosedError: the server was closed.
        HpsError: called from a resolver thread, which would wait for itself.

    Example:
        >>> import tempfile, jax, numpy as np, jax_hps as hps
        >>> rows = np.array([[1, 2], [3, 4]], np.float32)
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = f"{folder.name}/user"
        >>> hps.create_table(path, rows, np.array([7, 2**40])).close()
        >>> spec = hps.TableSpec(name="user", path=path)
        >>> with hps.ParameterServer([spec], name="lookup-example") as server:
        ...     user = server.table("user")
        ...     ids = hps.keys([2**40, 7, 8])
        ...     jax.jit(lambda ids: hps.lookup(user, ids))(ids).tolist()
        [[3.0, 4.0], [1.0, 2.0], [0.0, 0.0]]
        >>> folder.cleanup()
    """
    # Two calls, for the sake of the overloads.
    one = {"": (table, keys)}
    if return_found:
        return lookup_many(one, dtype=dtype, return_found=True)[""]
    return lookup_many(one, dtype=dtype)[""]


@overload
def lookup_many(
    requests: Mapping[Name, tuple[Table, KeysLike]],
    *,
    dtype: DTypeLike | None = None,
    return_found: Literal[False] = False,
) -> dict[Name, Rows]: ...
@overload
def lookup_many(
    requests: Mapping[Name, tuple[Table, KeysLike]],
    *,
    dtype: DTypeLike | None = None,
    return_found: Literal[True],
) -> dict[Name, RowsAndFound]: ...
def lookup_many(
    requests: Mapping[Name, tuple[Table, KeysLike]],
    *,
    dtype: DTypeLike | None = None,
    return_found: bool = False,
) -> dict[Name, Rows] | dict[Name, RowsAndFound]:
    """Look up several tables in one custom call.

    Tables, dims, dtypes and the shapes of keys may differ, and a table may occur more
    than once. In a program of several devices there is one call for each leading
    dimension that occurs among the keys.

    Args:
        requests: table and keys by any name; each as in `lookup`.
        dtype: dtype of all rows; default: each table's stored dtype.
        return_found: also return which keys the tables know.

    Returns:
        By the same names, in the same order: rows [..., dim], or with `return_found`
        pairs of rows and bool [...].

    Raises:
        ArgumentError: `requests` is no mapping to pairs of a table and keys.
        HpsError: as in `lookup`; the message names the table.

    Example:
        >>> import tempfile, numpy as np, jax_hps as hps
        >>> folder = tempfile.TemporaryDirectory()
        >>> specs = []
        >>> for name, dim in ("user", 4), ("item", 8):
        ...     path = f"{folder.name}/{name}"
        ...     hps.create_table(path, np.ones((10, dim), np.float32)).close()
        ...     specs.append(hps.TableSpec(name=name, path=path))
        >>> with hps.ParameterServer(specs, name="lookup-many-example") as server:
        ...     user, item = server.table("user"), server.table("item")
        ...     requests = {"u": (user, [1, 2, 3]), "i": (item, [[4], [5]])}
        ...     rows = hps.lookup_many(requests)
        >>> {name: array.shape for name, array in rows.items()}
        {'u': (3, 4), 'i': (2, 1, 8)}
        >>> folder.cleanup()
    """
    _check_requests(requests)
    if not requests:
        return {}
    tables = [_checked_table(table) for table, _ in requests.values()]
    rows, found = call(
        [_operand(table, keys) for table, keys in requests.values()],
        tables,
        [_row_dtype(table, dtype) for table in tables],
        return_found=return_found,
    )
    if not return_found:
        return dict(zip(requests, rows, strict=True))
    masks = [jnp.squeeze(mask, -1) for mask in found]
    return dict(zip(requests, zip(rows, masks, strict=True), strict=True))


def _check_requests(requests: Mapping[Name, tuple[Table, KeysLike]]) -> None:
    if not isinstance(requests, Mapping):
        raise ArgumentError(
            "hps.lookup_many: expected a mapping from names to (table, keys), got "
            f"{type(requests).__name__}."
        )
    for name, pair in requests.items():
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise ArgumentError(
                f"hps.lookup_many: expected (table, keys) for {name!r}, got "
                f"{type(pair).__name__}."
            )


def _checked_table(table: Table) -> Table:
    if isinstance(table, jax.core.Tracer):
        raise ArgumentError(
            f"hps.lookup: expected a Table, got {table!r}. A Table is static, not an "
            "argument that JAX traces: use it in the function by its name there (a "
            "closure), or jit with static_argnames; table and keys come in that order."
        )
    if not isinstance(table, Table):
        raise ArgumentError(
            f"hps.lookup: expected a Table, got {type(table).__name__}. "
            "ParameterServer.table(name) returns the Table of an open table."
        )
    require_open(table)
    return table


def _row_dtype(table: Table, dtype: DTypeLike | None) -> str:
    name = table.dtype if dtype is None else jnp.dtype(dtype).name
    if name not in _ROW_DTYPES:
        raise TableDataError(
            f"hps.lookup(table={table.full_name!r}): rows cannot be of dtype {name}; "
            f"expected one of {', '.join(_ROW_DTYPES)}."
        )
    return name


def _operand(table: Table, keys: KeysLike) -> jax.Array:
    """Bring keys [*ks] into the primitive's form [*ks, w]."""
    if not isinstance(keys, PackedKeys | jax.Array):
        keys = pack(keys)
    if isinstance(keys, PackedKeys):
        _check_words(table, keys.data)
        return keys.data
    _check_key_dtype(table, keys)
    if keys.dtype.name == "uint64":
        return lax.bitcast_convert_type(keys, jnp.uint32)
    return jnp.expand_dims(keys, -1)


def _check_words(table: Table, words: jax.Array) -> None:
    if words.dtype != np.uint32 or words.ndim == 0 or words.shape[-1] != 2:
        raise KeyDtypeError(
            f"hps.lookup(table={table.full_name!r}): expected PackedKeys over "
            f"uint32[..., 2], got {jax.typeof(words).str_short()}. The last axis holds "
            "the two words of a key: map, scan and shard the axes before it."
        )


def _check_key_dtype(table: Table, keys: jax.Array) -> None:
    asked = f"hps.lookup(table={table.full_name!r}): "
    dtype = keys.dtype.name
    if dtype not in ("int32", "uint32", "int64", "uint64"):
        raise KeyDtypeError(
            f"{asked}expected integer keys of 32 or 64 bits, got a jax array of "
            f"{dtype}. hps.keys(...) packs NumPy integers of any size."
        )
    if dtype in ("int32", "uint32") and not table.takes_32bit_keys:
        raise KeyDtypeError(
            f"{asked}the table's keys are {table.key_dtype}, got a jax array of "
            f"{dtype}. JAX cuts NumPy's int64 and Python ints to int32 without a word "
            "where they enter jit or jnp.asarray, so these keys may have lost their "
            "upper bits. Pass hps.keys(ids) instead, with ids in NumPy, or build keys "
            "inside jit with hps.pack_keys(lo, hi)."
        )
