# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What an Orbax checkpoint says of itself in its file `_METADATA`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec

from ..errors import TableDataError, TableFormatError, TableNotFoundError
from ..storage.location import Location
from ..storage.tensorstore_rows import TensorStoreArray
from .arrays import HeldArray
from .names import listed
from .sources import PathLike, local_path

TreePath = str | Sequence[str | int]

_METADATA = "_METADATA"

# An unfinished save's folder; its metadata may be there already.
_UNFINISHED = ".orbax-checkpoint-tmp"

_ARRAYS = ("jax.Array", "np.ndarray")


class _Key(msgspec.Struct):
    key: str


class _Value(msgspec.Struct):
    value_type: str


class _Leaf(msgspec.Struct):
    key_metadata: list[_Key]
    value_metadata: _Value


class _Metadata(msgspec.Struct):
    """What we need of the file; the rest is skipped."""

    tree_metadata: dict[str, _Leaf]
    use_zarr3: bool = False
    # Where this is false, chunks of nothing but zeros are not written.
    store_array_data_equal_to_fill_value: bool = False

    def array_names(self) -> list[str]:
        """Names of the arrays: the keys on the way to each, joined by dots."""
        return [
            ".".join(part.key for part in leaf.key_metadata)
            for leaf in self.tree_metadata.values()
            if leaf.value_metadata.value_type in _ARRAYS
        ]


def is_tree_path(keys: Any) -> TypeGuard[TreePath]:
    """Tell a place in a tree, which begins with a name, from keys, which are integers.

    Example:
        >>> is_tree_path("ids"), is_tree_path(("layers", 0)), is_tree_path([7, 8])
        (True, True, False)
    """
    if isinstance(keys, list | tuple):
        return any(isinstance(part, str) for part in keys)
    return isinstance(keys, str)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of which nothing but the metadata has been read."""

    location: Location
    metadata: _Metadata
    is_ocdbt: bool

    @classmethod
    def open(cls, name: PathLike) -> Checkpoint:
        """Find and read the metadata.

        Raises:
            TableNotFoundError: there is no checkpoint.
            TableFormatError: there are several, or one of another form.
        """
        location = _find(Location.parse(name))
        encoded = location.read(_METADATA)
        if encoded is None:
            raise TableNotFoundError(
                f"{name}: there is no checkpoint of Orbax's: expected the file "
                f"{_METADATA}."
            )
        try:
            metadata = msgspec.json.decode(encoded, type=_Metadata)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TableFormatError(
                f"{location}/{_METADATA}: no metadata of Orbax's that is known here: "
                f"{error}."
            ) from error
        is_ocdbt = location.read("manifest.ocdbt") is not None
        return cls(location, metadata, is_ocdbt)

    def array(self, path: TreePath) -> TensorStoreArray:
        """Open an array.

        Raises:
            TableNotFoundError: there is none at that place.
            CorruptTableError: its metadata is damaged.
        """
        name = path if isinstance(path, str) else ".".join(map(str, path))
        names = self.metadata.array_names()
        if name not in names:
            raise TableNotFoundError(
                f"{self.location}: there is no array {name!r}, but "
                f"{listed(names, name)}."
            )
        return TensorStoreArray(
            "zarr3" if self.metadata.use_zarr3 else "zarr",
            self._kvstore(name),
            f"{self.location}: array {name!r}",
            fill_missing_data_reads=not (
                self.metadata.store_array_data_equal_to_fill_value
            ),
            cache_pool={"total_bytes_limit": 0},  # nothing is read twice
        )

    def held(self, path: TreePath) -> HeldArray:
        """Read an array of keys, all at once: its chunks end elsewhere than the rows'.

        Raises:
            TableDataError: of another shape than [rows].
            HpsError: see `array`.
        """
        array = self.array(path)
        if len(array.shape) != 1:
            raise TableDataError(
                f"{array.name}: expected keys of shape [rows], got {array.shape}."
            )
        return HeldArray(array.name, array.read_range(0, array.shape[0]))

    def _kvstore(self, name: str) -> dict[str, Any] | str:
        if not self.is_ocdbt:
            return self.location.folder(name).kvstore
        base = self.location.kvstore
        return {"driver": "ocdbt", "base": base, "path": f"{name}/"}


def _find(location: Location) -> Location:
    """The folder itself; or, where it has none, the only checkpoint within it."""
    if location.path is None or location.read(_METADATA) is not None:
        return location
    folder = local_path(location.path)
    found = [
        file.parent
        for depth in ("*", "*/*")
        for file in sorted(folder.glob(f"{depth}/{_METADATA}"))
        if _UNFINISHED not in str(file)
    ]
    if len(found) > 1:
        listing = ", ".join(str(path.relative_to(folder)) for path in found)
        raise TableFormatError(
            f"{folder}: there are several checkpoints: {listing}; name one of them."
        )
    return Location.parse(found[0]) if found else location
