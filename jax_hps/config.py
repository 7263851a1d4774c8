# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Specifications of tables and servers, and their TOML and JSON form."""

from __future__ import annotations

import re
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


class CacheSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of an embedding cache; exactly one of the three is given.

    Attributes:
        rows: capacity in rows.
        fraction: capacity as a share of the table's rows, above 0 and at most 1 (the
            `gpucacheper` of HPS).
        bytes: capacity in bytes, metadata included.

    Raises:
        ConfigError: none or several of the three given, or a size that is not positive.

    Example:
        >>> import jax_hps as hps
        >>> hps.CacheSpec(fraction=0.2)
        CacheSpec(rows=None, fraction=0.2, bytes=None)
    """

    rows: int | None = None
    fraction: float | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.rows, self.fraction, self.bytes)
        given = [size for size in sizes if size is not None]
        if len(given) != 1:
            raise ConfigError(
                f"{self}: expected exactly one of rows, fraction and bytes, got "
                f"{len(given)}."
            )
        if given[0] <= 0 or (self.fraction is not None and self.fraction > 1):
            raise ConfigError(
                f"{self}: expected rows or bytes above 0, or a fraction in (0, 1]."
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
        hit_rate_threshold: in [0, 1]; share of unique keys found in the device cache
            (else the row cache) from which on misses answer the default vector and
            are inserted behind the call. 1.0, the default, is always exact. Without
            a cache it has no effect.
        on_missing: "default": unknown keys answer the default vector; "error": they
            raise `MissingKeyError` (see `ParameterServer.check`).
        deadline_s: seconds after which a base on a remote URL counts as unavailable
            and the default vector answers. A local base is always waited for.
        strict: raise in the call, instead, what a deadline or an unavailable tier
            would turn into default vectors.

    Raises:
        ConfigError: an empty or malformed name, a number out of range.

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
    hit_rate_threshold: float = 1.0
    on_missing: Literal["default", "error"] = "default"
    deadline_s: float = 1.0
    strict: bool = False

    def __post_init__(self) -> None:
        _check_name("TableSpec.name", self.name)
        _check_name("TableSpec.model", self.model)
        if not self.path:
            raise ConfigError(f"TableSpec {self.name!r}: path is empty.")
        if not 0 <= self.hit_rate_threshold <= 1:
            raise ConfigError(
                f"TableSpec {self.name!r}: hit_rate_threshold="
                f"{self.hit_rate_threshold}: expected a number in [0, 1]."
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
        msgspec.structs.replace(table, path=_resolved(table.path, path.parent))
        for table in spec.tables
    ]
    return msgspec.structs.replace(spec, tables=tables)


def _resolved(path: str, folder: Path) -> str:
    return path if "://" in path else str((folder / path).absolute())
