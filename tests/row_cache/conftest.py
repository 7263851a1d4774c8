# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import jax
import pytest
from cache_checks import Served, on_base
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_hps.resolver import Resolver
from jax_hps.storage.tensorstore_rows import TensorStoreArray


@pytest.fixture(scope="module", autouse=True)
def no_silent_promotion():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def over_devices() -> Callable[[Any], Any]:
    """Put keys on eight devices, an equal part on each."""
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    return lambda keys: jax.device_put(keys, NamedSharding(mesh, P("x")))


@pytest.fixture
def start(serve) -> Callable[..., Served]:
    """Serve a model's table on a base, with fields of its specification changed.

    Caches start cold and leave nothing behind unless told otherwise.
    """

    def begin(model: Any, base: str = "mapped", **fields: Any) -> Served:
        model = on_base(model, base, **{"hot_keys": False} | fields)
        return Served(serve(model), model)

    return begin


class Reads:
    """What TensorStore has been asked for, and hooks to hold it up or change it.

    Attributes:
        requests: row numbers of each request, [[n], ...].
        timeouts: seconds that each had.
        before: called with the row numbers of a request before they are read.
        change: from the rows that were read to those that the caller gets.
        answered: released once for each request that a resolver is done with.
    """

    def __init__(self) -> None:
        self.requests: list[list[int]] = []
        self.timeouts: list[float | None] = []
        self.before: Callable[[list[int]], object] = lambda numbers: None
        self.change: Callable[[Any], Any] = lambda rows: rows
        self.answered = threading.Semaphore(0)

    @property
    def numbers(self) -> list[int]:
        """Row numbers of all requests, ascending."""
        return sorted(itertools.chain.from_iterable(self.requests))


@pytest.fixture
def reads(monkeypatch) -> Reads:
    """Watch what is read through TensorStore."""
    seen = Reads()
    read_rows, resolve = TensorStoreArray.read_rows, Resolver._resolve

    def watched_read(array, numbers, *, timeout_s=None):
        seen.requests.append(numbers.tolist())
        seen.timeouts.append(timeout_s)
        seen.before(numbers.tolist())
        # Without a time limit: what the hooks do may take as long as it takes.
        return seen.change(read_rows(array, numbers))

    def watched_resolve(resolver, request):
        resolve(resolver, request)
        seen.answered.release()

    monkeypatch.setattr(TensorStoreArray, "read_rows", watched_read)
    monkeypatch.setattr(Resolver, "_resolve", watched_resolve)
    return seen
