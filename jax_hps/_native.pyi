"""The compiled half: shards on disk, key index, registry of open tables, FFI handlers.

Whatever reads, writes or waits releases the GIL. Errors arrive as the classes of
`jax_hps.errors` (see each function); `OSError` carries errno and path.
"""

from collections.abc import Buffer

import numpy as np
from numpy.typing import NDArray

FFI_API_VERSION: tuple[int, int]

def isa() -> str:
    """Name the instruction set in use: "baseline", "avx2" or "avx512"."""

def crc32c(data: Buffer, initial: int = 0) -> int:
    """CRC-32C (Castagnoli) of a contiguous buffer; `initial` continues one."""

def crc32c_of_file(path: str) -> int:
    """CRC-32C of a whole file."""

class ArrayWriter:
    """Writes one zarr3 array, uncompressed and sharded, row after row.

    Rank 2 (`rows/`, files c/<i>/0) or rank 1 (`keys/`, files c/<i>). Does not write
    zarr.json. The folder must exist and hold no chunks.
    """

    def __init__(
        self,
        folder: str,
        *,
        rank: int,
        row_bytes: int,
        shard_rows: int,
        chunk_rows: int,
    ) -> None: ...
    def append(self, rows: Buffer) -> None:
        """Append C-contiguous rows; ValueError unless a multiple of row_bytes."""
    def finish(self) -> list[int]:
        """Write what is buffered, fsync files and folders; the CRC of each shard."""

    @property
    def rows_written(self) -> int: ...

class MappedArray:
    """A zarr3 array on a local disk, mapped; every shard's index is checked.

    `chunk_rows == shard_rows` and `sharded=False` is the plain layout (one
    uncompressed chunk a file, no index). Raises CorruptTableError naming the file
    (short, bad index CRC, entry out of bounds). What is missing reads as `fill`.
    """

    def __init__(
        self,
        folder: str,
        *,
        rank: int,
        num_rows: int,
        row_bytes: int,
        shard_rows: int,
        chunk_rows: int,
        sharded: bool = True,
        index_at_end: bool = True,
        fill: bytes = b"",  # one element of the array, or b"" for zeros
    ) -> None: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def row_bytes(self) -> int: ...
    @property
    def mapped_bytes(self) -> int: ...
    @property
    def is_flat(self) -> bool:
        """All chunks present and in order: a row's place is row * row_bytes."""
    @property
    def table_bytes(self) -> int:
        """Bytes of memory held: the places of chunks, if they are not in order."""
    @property
    def num_files(self) -> int: ...
    def file_bytes(self, file: int) -> int: ...
    def warm(self, file: int, begin: int, length: int) -> int:
        """Read a part of a file into the page cache, in huge pages if it can.

        `begin` is a multiple of 2 MiB. Returns how many bytes it read, 0 at the end.
        """

class KeyIndex:
    """int64 key -> row number, in lines of 64 bytes; every 64-bit value is a key."""

    def __init__(self, expected_keys: int = 0) -> None: ...
    def insert(self, keys: NDArray[np.int64]) -> None:
        """Add keys; rows are numbered on from `num_keys`.

        Raises TableDataError naming a key that is there already, with both rows.
        Nothing of the call's keys is then to be relied on.
        """
    def insert_array(self, keys: MappedArray) -> None:
        """`insert` of a mapped `keys/` array, block by block."""
    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each key, -1 where there is none."""
    def shrink_to_fit(self) -> None: ...
    @property
    def num_keys(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @staticmethod
    def planned_bytes(num_keys: int) -> int:
        """`nbytes` of an index made with expected_keys=num_keys, exactly."""

class Base:
    """What one version of a table answers from: rows, key index, default row.

    `rows` is a MappedArray (native) or a ResolverQueue (rows come from elsewhere).
    `index` is None for a dense table (key = row number).
    `dtype` is "float32", "float16" or "bfloat16"; `default` is one row of it.
    """

    def __init__(
        self,
        rows: MappedArray | ResolverQueue,
        index: KeyIndex | None,
        *,
        num_rows: int,
        dim: int,
        dtype: str,
        default: bytes,
    ) -> None: ...
    def read(
        self, keys: NDArray[np.int64], rows: NDArray[np.uint8], found: NDArray[np.bool_]
    ) -> None:
        """Fill `rows` (uint8 [n, dim * itemsize], C-contiguous) and `found` [n].

        Only with native rows. Unknown keys get the default row.
        """
    @property
    def resident_bytes(self) -> int:
        """Bytes this version holds in memory besides mapped files."""

class ResolverQueue:
    """Misses on their way to resolver threads; lookups wait for the answers."""

    def __init__(self) -> None: ...
    def take(self) -> ResolverRequest | None:
        """Wait for the next request; None once closed."""
    def close(self) -> None:
        """Refuse new requests, fail those waiting, wake every `take`."""

class ResolverRequest:
    @property
    def rows(self) -> NDArray[np.int64]:
        """Row numbers wanted, in the order of the answer; may repeat."""
    @property
    def timeout_s(self) -> float:
        """Seconds left until the lookup gives up."""
    def answer(self, rows: NDArray[np.uint8]) -> None:
        """Rows as uint8 [n, row_bytes], in the stored dtype.

        They are offered to the table's row cache before any lookup hears of them.
        """
    def fail(self, message: str, is_damage: bool = False) -> None:
        """Tell why there is no answer; `is_damage`: what was read is damaged."""

class CacheBatch:
    """A moment that insertions refer to; see `RowCache.insert`."""

class RowCache:
    """A bounded cache of rows by int64 key, in DRAM; safe to use from any thread.

    One of `num_rows` and `max_bytes` (metadata included) gives its size. Keys beyond
    `key_bits` bits are never cached. `exact`: do without a key per row (None: where
    bucket and tag alone tell all keys apart); ValueError where that cannot be.
    `policy` is "frequency", "lru" or "s3fifo"; `admit`, of the first, "frequency" or
    "always"; `halving`: its counters age every 16 * halving insertions of a bucket,
    0: as the traffic asks for.
    """

    def __init__(
        self,
        *,
        row_bytes: int,
        num_rows: int = 0,
        max_bytes: int = 0,
        key_bits: int = 64,
        exact: bool | None = None,
        policy: str = "frequency",
        admit: str = "frequency",
        halving: int = 0,
    ) -> None: ...
    def lookup(
        self, keys: NDArray[np.int64], rows: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Copy rows [n, row_bytes]; state of each key: 0 missed, 1 found, 2 absent.

        Every access counts. Rows of keys that were not found are zeroed.
        """
    def insert(
        self,
        keys: NDArray[np.int64],
        rows: NDArray[np.uint8] | None,
        counts: NDArray[np.uint32] | None = None,
        batch: CacheBatch | None = None,
    ) -> None:
        """Offer keys with their rows, or (None) as known to be absent.

        `counts`: how often each was asked for. `batch`: begun before the rows were
        resolved; a key that was overwritten or erased since is left out.
        """
    def overwrite(self, keys: NDArray[np.int64], rows: NDArray[np.uint8]) -> int:
        """Give keys that the cache holds other rows; how many it held."""
    def erase(self, keys: NDArray[np.int64]) -> int:
        """Forget keys; how many the cache held."""
    def contents(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
        """Keys, how hot each is (0 to 15), and whether it is known to be absent."""
    def stats(self) -> dict[str, int]:
        """The fields of `CacheStats`."""
    def begin_batch(self) -> CacheBatch: ...
    @property
    def ageing_period(self) -> int:
        """Insertions into a bucket between two halvings of its counters, now."""
    @property
    def num_rows(self) -> int:
        """Capacity, a multiple of 16."""
    @property
    def is_exact(self) -> bool: ...
    @property
    def nbytes(self) -> int:
        """Bytes of memory, metadata included."""

def row_cache_bytes(
    *, row_bytes: int, num_rows: int = 0, max_bytes: int = 0, key_bits: int = 64
) -> tuple[int, int]:
    """Rows and bytes of a `RowCache` that would be made so."""

class Table:
    """A table that lookups find by name ("server/model/table")."""

    def __init__(
        self,
        name: str,
        base: Base,
        *,
        row_cache: RowCache | None = None,
        missing_is_error: bool = False,
        strict: bool = False,
        may_default: bool = False,
        deadline_s: float = 1.0,
        hit_rate_threshold: float = 1.0,
    ) -> None: ...
    def open(self) -> None:
        """Enter the registry. ValueError if the name is taken."""
    def close(self) -> None:
        """Leave the registry; lookups that run go on to their end."""
    def stats(self) -> dict[str, int]:
        """The fields of `TableStats`, without those of its caches."""
    def take_failures(self) -> list[tuple[str, str]]:
        """(code, message) of failures that no call could raise, and forget them.

        Codes: "missing_key", "unavailable", "deadline", "corrupt", "closed",
        "invalid_argument".
        """

def take_orphan_failures(prefix: str) -> list[tuple[str, str]]:
    """(code, message) of calls that named a table which was not open.

    Takes those of tables whose full names begin with `prefix`.
    """

def handlers() -> dict[str, object]:
    """FFI handlers of platform cpu by target name, as capsules.

    hps_lookup: operands are keys, one per table, [*ks, w]: w = 1 with int32, uint32 or
    int64, w = 2 with uint32 pairs (low word first). Results are rows [*ks, dim] of
    float32, float16 or bfloat16 of each table, then, with `return_found`, found
    [*ks, 1] of bool of each table. Attributes: tables = {"0": name, ...},
    return_found: bool, raise_errors: bool (False: a call that fails answers default
    vectors and the failure is kept for `take_failures`). A tier that is late or down
    makes no call fail where the table says `may_default`.
    hps_noop: any operands and results, does nothing (a benchmark's baseline).
    """
