# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Specifications of tables and servers, and their TOML and JSON form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import ConfigError

KeyDtype = Literal["int32", "uint32", "int64"]

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,120}")


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what}={name!r}: expected 1 to 120 letters, digits, '_', '-' or '.'."
        )


def _check_types(spec: msgspec.Struct) -> None:
    """Check and normalise a specification that Python made as if a file had.

    msgspec checks types where it decodes, and not where a constructor is called.
    """
    for field in msgspec.structs.fields(spec):
        try:
            value = msgspec.convert(getattr(spec, field.name), field.type)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{type(spec).__name__}.{field.name}: {error}") from error
        msgspec.structs.force_setattr(spec, field.name, value)


class CacheSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size and policy of an embedding cache; exactly one of the three sizes is given.

    Rows live in buckets of 16. A bucket of a cache with room for N rows gets 16 of N
    keys on average, not always: for all rows of a table to stay, give it room for a
    tenth more.

    Attributes:
        rows: capacity in rows, rounded up to a multiple of 16.
        fraction: capacity as a share of the table's rows, above 0 and at most 1 (the
            `gpucacheper` of HPS).
        bytes: capacity in bytes, metadata included.
        policy: who has to go when a bucket is full. "frequency": the row that has been
            used least, in 4-bit counters that age. "lru": the row that has not been
            used for longest. "s3fifo": S3-FIFO (Yang et al., SOSP 2023) in each bucket.
        admit: who may come in, under "frequency". "frequency": a key that has been
            asked for more often than the row that would have to go has been used.
            "always": every key. The other policies let every key in.
        halving: how fast counters age, under "frequency": they are halved every 16 *
            halving insertions into their bucket, 1 to 15. Low numbers forget faster,
            for traffic whose favourites change within minutes. None: between 1 and 8,
            by how many of the favourites are seen to fall out of use.

    Raises:
        ConfigError: none or several of the three sizes given, a size that is not
            positive, a policy or number out of range.

    Example:
        >>> import jax_hps as hps
        >>> hps.CacheSpec(fraction=0.2).policy
        'frequency'
    """

    rows: int | None = None
    fraction: float | None = None
    bytes: int | None = None
    policy: Literal["frequency", "lru", "s3fifo"] = "frequency"
    admit: Literal["frequency", "always"] = "frequency"
    halving: int | None = None

    def __post_init__(self) -> None:
        _check_types(self)
        sizes = (self.rows, self.fraction, self.bytes)
        given = [size for size in sizes if size is not None]
        if len(given) != 1:
            raise ConfigError(
                f"{self}: expected exactly one of rows, fraction and bytes, got "
                f"{len(given)}."
            )
        if not given[0] > 0 or (self.fraction is not None and self.fraction > 1):
            raise ConfigError(
                f"{self}: expected rows or bytes above 0, or a fraction in (0, 1]."
            )
        if self.halving is not None and not 1 <= self.halving <= 15:
            raise ConfigError(
                f"CacheSpec.halving={self.halving}: expected a number from 1 to 15."
            )


class TableSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table that a server serves.

    Attributes:
        name: the table's name, unique among the server's tables of one model.
        path: folder or URL of the table (see `open_table`).
        model: the model that the table belongs to; identity is server/model/table.
        default: what unknown keys answer, a scalar or a vector of the table's dim;
            None: the default stored with the table.
        key_dtype: dtype of the keys that lookups bring: "int64", "int32" or "uint32";
            None: the table's own.
        device_cache: size of the embedding cache on each accelerator; ignored on cpu.
        row_cache: size of a cache of rows in DRAM, in front of the base; None: none.
            For tables at a URL, compressed, or larger than memory. A local table that
            fits into memory is better left to the page cache.
        hot_keys: where the hottest keys of the caches are kept between runs, so that
            the next server starts warm. True: in the folder of a local table that
            `create_table` wrote; a path: in this file; False: nowhere.
        hit_rate_threshold: share of a call's distinct keys, 0 to 1, from which on the
            others are not waited for: where the row cache had so many of them, the
            rest answer the default vector, and their rows come into the cache behind
            the call. 1.0: every answer is exact; 0: nothing is ever waited for.
            Ignored without a row cache, and for tables that are mapped from a local
            disk. (`hit_rate_threshold` of HPS.)
        on_missing: "default": unknown keys answer the default vector; "error": they
            raise `MissingKeyError` (see `ParameterServer.check`).
        deadline_s: in (0, 60]; seconds after which a base on a remote URL counts as
            unavailable and the default vector answers. A local base is always waited
            for, and an error if it cannot be read.
        strict: raise in the call, on any number of devices, whatever would answer
            default vectors instead: an unavailable base, a deadline that passed.

    Raises:
        ConfigError: an empty or malformed name, a value of another type, a number out
            of range; the message names the field.

    Example:
        >>> import jax_hps as hps
        >>> hps.TableSpec(name="user", path="tables/user", strict=True).model
        'default'
    """

    name: str
    path: str
    model: str = "default"
    default: float | tuple[float, ...] | None = None
    key_dtype: KeyDtype | None = None
    device_cache: CacheSpec | None = None
    row_cache: CacheSpec | None = None
    hot_keys: bool | str = True
    hit_rate_threshold: float = 1.0
    on_missing: Literal["default", "error"] = "default"
    deadline_s: float = 1.0
    strict: bool = False

    def __post_init__(self) -> None:
        for field in ("path", "hot_keys"):
            if isinstance(value := getattr(self, field), os.PathLike):
                msgspec.structs.force_setattr(self, field, os.fspath(value))
        _check_types(self)
        _check_name("TableSpec.name", self.name)
        _check_name("TableSpec.model", self.model)
        if not self.path:
            raise ConfigError(f"TableSpec {self.name!r}: path is empty.")
        if self.hot_keys == "":
            raise ConfigError(
                f"TableSpec {self.name!r}: hot_keys is empty; expected True, False or "
                "the path of a file."
            )
        if not 0 <= self.hit_rate_threshold <= 1:
            raise ConfigError(
                f"TableSpec {self.name!r}: hit_rate_threshold="
                f"{self.hit_rate_threshold}: expected a share from 0 to 1."
            )
        if not 0 < self.deadline_s <= 60:
            raise ConfigError(
                f"TableSpec {self.name!r}: deadline_s={self.deadline_s}: expected "
                "seconds in (0, 60]."
            )


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server and its tables, as a configuration file states them.

    Attributes:
        tables: the tables to open.
        name: the server's name, unique in the process.
    """

    tables: list[TableSpec]
    name: str = "default"

    def __post_init__(self) -> None:
        _check_name("ServerSpec.name", self.name)


def as_specs(specs: TableSpec | Iterable[TableSpec]) -> list[TableSpec]:
    """Take one specification or several.

    Raises:
        ConfigError: something else.
    """
    given: Any = specs
    single = isinstance(given, TableSpec | str | os.PathLike | Mapping)
    checked = [given] if single else list(given)
    for spec in checked:
        if not isinstance(spec, TableSpec):
            raise ConfigError(
                f"expected TableSpec(name=..., path=...), got {spec!r}. A file is "
                "opened by ParameterServer.from_file."
            )
    return checked


def load_server_spec(path: str | Path) -> ServerSpec:
    """Read a server's specification from a `.toml` or `.json` file.

    Relative table paths are taken from the folder of the file.

    Args:
        path: the file; its suffix tells the format.

    Returns:
        The specification, with absolute local paths.

    Raises:
        ConfigError: an unknown suffix, a syntax error, an unknown field, a value of the
            wrong type or out of range; the message ends with the path of the field.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    decoders: dict[str, Any] = {
        ".toml": msgspec.toml.decode,
        ".json": msgspec.json.decode,
    }
    if path.suffix not in decoders:
        raise ConfigError(f"{path}: expected a .toml or .json file.")
    try:
        spec: ServerSpec = decoders[path.suffix](path.read_bytes(), type=ServerSpec)
    except msgspec.DecodeError as error:  # ValidationError, our own ones included
        raise ConfigError(f"{path}: {error}") from error
    tables = [
        msgspec.structs.replace(
            table,
            path=_resolved(table.path, path.parent),
            hot_keys=_resolved(table.hot_keys, path.parent)
            if isinstance(table.hot_keys, str)
            else table.hot_keys,
        )
        for table in spec.tables
    ]
    return msgspec.structs.replace(spec, tables=tables)


def _resolved(path: str, folder: Path) -> str:
    return path if "://" in path else str((folder / Path(path).expanduser()).absolute())
