# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""64-bit keys in 32-bit JAX.

JAX truncates 64-bit integers to 32 bits, silently, unless `jax_enable_x64` is set:
`jax.jit(f)(np.int64(2**40 + 3))` calls `f` with 3. `PackedKeys` carries such keys as
pairs of uint32 words, which pass through every transformation unharmed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike, NDArray

from .errors import KeyDtypeError
from .storage.key_arrays import as_int64_keys

Word: TypeAlias = jax.Array | NDArray[np.int32] | NDArray[np.uint32] | int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PackedKeys:
    """64-bit keys as pairs of 32-bit words: a pytree of one array.

    Behaves like an integer array of shape `shape` where that makes sense: it can be
    indexed, iterated and reshaped, passed to jitted functions, mapped over by `vmap`
    and `scan`, and put on devices with `jax.device_put(keys, sharding)`. Made by `keys`
    outside of jit and by `pack_keys` inside. Concatenated, as other pytrees are, by
    `jax.tree.map(lambda *words: jnp.concatenate(words), keys1, keys2)`.

    Attributes:
        data: uint32 [..., 2], each key's low word first: little-endian int64.

    Example:
        >>> import jax_hps as hps
        >>> ids = hps.keys([[3, 2**40 + 3], [-1, 7]])
        >>> ids.shape, ids[0].to_numpy().tolist()
        ((2, 2), [3, 1099511627779])
    """

    data: jax.Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the keys, the words left out."""
        return self.data.shape[:-1]

    @property
    def ndim(self) -> int:
        """Number of dimensions of the keys."""
        return self.data.ndim - 1

    @property
    def size(self) -> int:
        """Number of keys."""
        return self.data.size // 2

    def reshape(self, *shape: Any) -> PackedKeys:
        """Return the keys in another shape, given as integers or as one sequence."""
        dims = shape[0] if len(shape) == 1 and np.ndim(shape[0]) else shape
        return PackedKeys(self.data.reshape(*dims, 2))

    def to_numpy(self) -> NDArray[np.int64]:
        """Return the keys as NumPy integers: int64 [...]."""
        words = np.ascontiguousarray(self.data, "<u4")
        return words.view("<i8").reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        # Else np.asarray would iterate, and make an array of Python objects.
        raise KeyDtypeError(
            "PackedKeys are no array of numbers: keys.to_numpy() returns int64, and "
            "keys.data the words that they are packed in."
        )

    def __getitem__(self, index: Any) -> PackedKeys:
        # The words are no dimension of the keys: no index may reach them.
        parts = index if isinstance(index, tuple) else (index,)
        if not any(part is Ellipsis for part in parts):
            parts = (*parts, Ellipsis)
        return PackedKeys(self.data[(*parts, slice(None))])

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a single key (PackedKeys of shape ()).")
        return self.shape[0]

    def __iter__(self) -> Iterator[PackedKeys]:
        return (self[i] for i in range(len(self)))


def keys(ids: ArrayLike | PackedKeys) -> PackedKeys:
    """Pack integers of up to 64 bits for `lookup`, so that none loses bits.

    uint64 keys keep their bits: 2**64 - 1 and -1 are the same key.

    Args:
        ids: integers of any shape: a NumPy array of an integer dtype, a Python int, a
            (nested) list of ints, or a 64-bit jax array (`jax_enable_x64`). Read at
            once: later changes to an array do not show.

    Returns:
        The keys: `PackedKeys` of the shape of `ids`, on the default device.

    Raises:
        KeyDtypeError: not integers (floats, bools), a Python int outside of
            [-2**63, 2**64), or a 32-bit jax array, which may have lost bits already.

    Example:
        >>> import numpy as np
        >>> import jax_hps as hps
        >>> hps.keys(np.array([5, 2**40 + 5])).to_numpy().tolist()
        [5, 1099511627781]
    """
    if isinstance(ids, PackedKeys):
        return ids
    if isinstance(ids, jax.Array):
        return PackedKeys(_words_of_jax_array(ids))
    words = as_int64_keys(ids, "hps.keys")[..., np.newaxis].view("<u4")
    return PackedKeys(jnp.array(words))  # a copy: `ids` is the caller's to change


def pack_keys(lo: Word, hi: Word) -> PackedKeys:
    """Pack keys from their low and high 32-bit words; works inside jit.

    For keys that a program computes, such as hashes of n-grams. Bits are taken as they
    are: for int32 ids the sign goes into the high word as `pack_keys(ids, ids >> 31)`.

    Args:
        lo: int32 or uint32 [...], the low words; or a Python int of 32 bits.
        hi: int32 or uint32 [...], the high words; broadcast against `lo`.

    Returns:
        The keys `hi * 2**32 + lo`: `PackedKeys` of the common shape.

    Raises:
        KeyDtypeError: words that are neither int32 nor uint32.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jax_hps as hps
        >>> ids = jax.jit(hps.pack_keys)(jnp.array([7, 8]), jnp.array([0, 1]))
        >>> ids.to_numpy().tolist()
        [7, 4294967304]
    """
    words = jnp.broadcast_arrays(_as_word("lo", lo), _as_word("hi", hi))
    return PackedKeys(jnp.stack(words, axis=-1))


def _words_of_jax_array(ids: jax.Array) -> jax.Array:
    if ids.dtype.name not in ("int64", "uint64"):
        raise KeyDtypeError(
            f"hps.keys: got a jax array of {ids.dtype}, which may have lost the upper "
            "bits of its keys already. Pass the NumPy array or the ints it was made "
            "from; pass genuine 32-bit keys to hps.lookup as they are; build keys "
            "inside jit with hps.pack_keys(lo, hi)."
        )
    return lax.bitcast_convert_type(ids, jnp.uint32)


def _as_word(name: str, word: Any) -> jax.Array:
    # Checked before JAX sees it, which would cut NumPy's int64 to int32.
    if type(word) is int and -(2**31) <= word < 2**32:
        word = np.uint32(word % 2**32)
    dtype = getattr(word, "dtype", type(word).__name__)
    if str(dtype) not in ("int32", "uint32"):
        raise KeyDtypeError(
            f"hps.pack_keys: expected int32 or uint32 words, got {name} of {dtype}. "
            "Outside of jit, hps.keys packs 64-bit integers."
        )
    return lax.convert_element_type(word, jnp.uint32)  # keeps the bits of int32
