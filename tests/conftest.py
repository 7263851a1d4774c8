# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that all tests share: tables, servers, and what they must answer."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import itertools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import ml_dtypes  # noqa: F401  NumPy learns of bfloat16 by name
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import jax_hps as hps

jax.config.update("jax_num_cpu_devices", 8)  # before any backend starts

_unique = itertools.count()


@dataclasses.dataclass(frozen=True)
class TableModel:
    """A table on disk, and what it must answer, by a Python dict."""

    spec: hps.TableSpec
    keys: NDArray[np.int64]
    rows: NDArray[Any]  # [n, dim], stored dtype
    default: NDArray[Any]  # [dim], stored dtype

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def unknown(self) -> NDArray[np.int64]:
        """Keys that the table lacks: around zero, and at the ends of the range."""
        ends = [-1, -(2**63), 2**63 - 1, 2**31, 2**32 + 1, 2**62]
        return np.setdiff1d(np.array(ends, np.int64), self.keys)

    def known(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which keys the table holds: bool [...]."""
        return np.isin(np.asarray(ids, np.int64), self.keys)

    def answer(self, ids: ArrayLike, dtype: Any = None) -> NDArray[Any]:
        """Rows of keys [...]: [..., dim], of `dtype` or the stored one."""
        ids = np.asarray(ids, np.int64)
        table = dict(zip(self.keys.tolist(), self.rows, strict=True))
        rows = [table.get(key, self.default) for key in ids.ravel().tolist()]
        answer = np.array(rows, self.rows.dtype).reshape(*ids.shape, self.rows.shape[1])
        with np.errstate(over="ignore", under="ignore"):
            return answer.astype(dtype or self.rows.dtype)


MakeTable = Callable[..., TableModel]
Serve = Callable[..., hps.ParameterServer]


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="session")
def make_table(session_folder: Path) -> MakeTable:
    """Create a table of random rows; options that it has not go into its TableSpec."""

    def make(
        dim: int = 8,
        *,
        num_rows: int = 100,
        keys: ArrayLike | None = None,
        sparse: bool = True,
        rows: ArrayLike | None = None,
        dtype: Any = np.float32,
        default: ArrayLike = 0.0,
        stored_key_dtype: str | None = None,
        name: str | None = None,
        **spec: Any,
    ) -> TableModel:
        number = next(_unique)
        random = np.random.default_rng(number)
        if rows is None:
            rows = random.standard_normal((num_rows, dim), np.float32)
        rows = np.asarray(rows).astype(dtype)
        if keys is None and sparse:
            keys = random.integers(2**63, size=len(rows), dtype=np.int64)
        name = name or f"table{number}"
        path = str(session_folder / f"{number}-{name}")
        options = {"default": default, "key_dtype": stored_key_dtype}
        hps.create_table(path, rows, keys, **options).close()
        return TableModel(
            spec=hps.TableSpec(name=name, path=path, **spec),
            keys=np.arange(len(rows)) if keys is None else np.asarray(keys, np.int64),
            rows=rows,
            default=np.broadcast_to(np.asarray(default).astype(dtype), rows.shape[1:]),
        )

    return make


def _serving() -> Iterator[Serve]:
    servers: list[hps.ParameterServer] = []

    def start(*models: TableModel, name: str | None = None) -> hps.ParameterServer:
        name = name or f"server{next(_unique)}"
        server = hps.ParameterServer([model.spec for model in models], name=name)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server of tables, under a name of its own; closed after the test."""
    yield from _serving()


@pytest.fixture(scope="module")
def serve_module() -> Iterator[Serve]:
    """Like `serve`; closed after the last test of the module."""
    yield from _serving()


@pytest.fixture
def served(make_table: MakeTable, serve: Serve) -> Callable[..., Any]:
    """Create and serve a table: its handle and its model."""

    def create(*args: Any, **options: Any) -> tuple[hps.Table, TableModel]:
        model = make_table(*args, **options)
        return serve(model).table(model.name), model

    return create


@pytest.fixture
def skip_without() -> Callable[[str, str], None]:
    """Skip what needs something that is not here, unless JAX_HPS_REQUIRE names it."""

    def skip(name: str, reason: str) -> None:
        if name in os.environ.get("JAX_HPS_REQUIRE", "").split(","):
            pytest.fail(f"JAX_HPS_REQUIRE names {name!r}: {reason}")
        pytest.skip(f"{name}: {reason}")

    return skip


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in an interpreter of its own, where jax_hps can be imported."""

    def run(
        code: str, *args: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(hps.__file__).parents[1])} | env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and done.returncode:
            pytest.fail(f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files, parts of them too, as object stores do."""

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            return self.send_error(404)
        data = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        self.send_response(206 if wanted else 200)
        if wanted:
            first, last = wanted.groups()
            start = int(first) if first else len(data) - int(last)
            stop = int(last) + 1 if first and last else len(data)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            data = data[start:stop]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Where `tmp_path` is served over HTTP."""
    handler = functools.partial(RangeHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
