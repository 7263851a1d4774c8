# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays that the native reader does not take, read through TensorStore."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from ..errors import (
    CorruptTableError,
    DeadlineError,
    HpsError,
    TableNotFoundError,
    TierUnavailableError,
)

# Opening is not under a lookup's deadline, but must not hang on a dead host either.
OPEN_TIMEOUT_S = 30.0

_RETRIES = {"max_retries": 2, "initial_delay": "100ms", "max_delay": "1s"}

_DAMAGED = {"DATA_LOSS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "OUT_OF_RANGE"}


@functools.cache
def context() -> ts.Context:
    """The context of every array that we open: one pool of threads and of cache."""
    return ts.Context(
        {
            # A cold disk answers many reads at once, or few of them slowly.
            "file_io_concurrency": {"limit": 64},
            # Room for the shards' indexes, which are read again with every batch.
            "cache_pool": {"total_bytes_limit": 64 << 20},
            # A lookup's deadline is far shorter than TensorStore's own patience.
            "http_request_retries": _RETRIES,
            "s3_request_retries": _RETRIES,
            "gcs_request_retries": _RETRIES,
        }
    )


def read_remote_file(folder_url: str, name: str) -> bytes | None:
    """Read a small file at a URL; None where there is no such file.

    Raises:
        TierUnavailableError: the store did not answer.
    """
    try:
        store = ts.KvStore.open(folder_url, context=context()).result(OPEN_TIMEOUT_S)
        answer = store.read(name).result(OPEN_TIMEOUT_S)
    except (ValueError, NotImplementedError, TimeoutError) as error:
        raise _translated(error, folder_url + name) from error
    return bytes(answer.value) if answer.state == "value" else None


class TensorStoreArray:
    """An array of any driver, codec and store of TensorStore's, opened for reading.

    Attributes:
        name: path or URL, for errors.
        shape: sizes of its dimensions.
        dtype: NumPy's dtype of its elements.
        chunk_rows: rows of a chunk, which is decoded as a whole.
    """

    def __init__(
        self, driver: str, kvstore: dict[str, Any] | str, name: str, **options: Any
    ) -> None:
        """Open an array.

        Args:
            driver: TensorStore's name of it: "zarr3", "zarr", "n5".
            kvstore: TensorStore's specification of the array's folder.
            name: path or URL, for errors.
            **options: more of the driver's specification.

        Raises:
            TableNotFoundError: there is no such array.
            CorruptTableError: its metadata is damaged.
            TierUnavailableError: the store did not answer.
        """
        self.name = name
        spec: dict[str, Any] = {
            "driver": driver,
            "kvstore": kvstore,
            # A version never changes, so nothing cached has to be asked for again.
            "recheck_cached_data": "open",
            "recheck_cached_metadata": "open",
            **options,
        }
        try:
            opening = ts.open(spec, open=True, read=True, context=context())
            self._array = opening.result(OPEN_TIMEOUT_S)
        except (ValueError, NotImplementedError, TimeoutError) as error:
            raise _translated(error, name) from error
        self.shape: tuple[int, ...] = tuple(self._array.shape)
        self.dtype: np.dtype[Any] = self._array.dtype.numpy_dtype
        chunk = self._array.chunk_layout.read_chunk.shape or (1,)
        self.chunk_rows: int = chunk[0] or 1

    def read_rows(
        self, numbers: NDArray[np.int64], *, timeout_s: float | None = None
    ) -> NDArray[Any]:
        """Read rows by number, in one batch in the order that the store likes best.

        Args:
            numbers: [n], each in [0, shape[0]); may repeat.
            timeout_s: seconds to wait; None: as long as the store takes.

        Returns:
            The rows, [n, *shape[1:]], C-contiguous.

        Raises:
            CorruptTableError: a chunk is damaged.
            DeadlineError: the time passed.
            TierUnavailableError: the store did not answer.
        """
        unique, places = np.unique(numbers, return_inverse=True)
        if not unique.size:
            return np.empty((0, *self.shape[1:]), self.dtype)
        with ts.Batch() as batch:
            reading = self._array[unique].read(batch=batch)
        rows: NDArray[Any] = self._wait(reading, timeout_s)
        return rows.take(places, axis=0)

    def read_range(self, start: int, stop: int) -> NDArray[Any]:
        """Read the rows from `start` up to, and without, `stop`; see `read_rows`."""
        with ts.Batch() as batch:
            reading = self._array[start:stop].read(batch=batch)
        return np.ascontiguousarray(self._wait(reading, None))

    def _wait(self, future: Any, timeout_s: float | None) -> Any:
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            future.cancel()
            raise DeadlineError(
                f"{self.name}: no answer within {timeout_s:.3g} s."
            ) from error
        except (ValueError, NotImplementedError) as error:
            raise _translated(error, self.name, missing=CorruptTableError) from error


def _translated(
    error: Exception, name: str, *, missing: type[HpsError] = TableNotFoundError
) -> HpsError:
    """Our error for one of TensorStore's, whose messages begin with a status code."""
    # What follows is the whole specification, and helps nobody.
    text = str(error).partition(" [tensorstore_spec=")[0]
    message = f"{name}: TensorStore says: {text or 'no answer in time'}"
    code = text.partition(":")[0]
    if code == "NOT_FOUND":
        return missing(message)
    if code in _DAMAGED:
        return CorruptTableError(message)
    return TierUnavailableError(message)
