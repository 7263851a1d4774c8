# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`ParameterServer`: opens tables, keeps them in the registry, counts what they do."""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import types
from collections.abc import Iterable
from pathlib import Path

from .config import ServerSpec, TableSpec, as_specs, load_server_spec
from .errors import ClosedError, ConfigError, HpsError, TableNotFoundError
from .failures import Failure, as_error, take_orphans
from .open_table import OpenTable, TableStats
from .resolver import in_resolver_thread as in_resolver_thread
from .table import Table
from .warming import Warming

_log = logging.getLogger("jax_hps.server")

_servers: dict[str, ParameterServer] = {}
_servers_guard = threading.Lock()


class ParameterServer:
    """Serves tables to lookups in this process, until it is closed.

    A context manager. Lookups find a table by server, model and table name, so a jitted
    program outlives the server, and works again with the next one of that name.

    Args:
        tables: what to open, one or several; more can be added, and removed, while
            lookups run.
        name: the server's name, unique among the live servers of the process.

    Raises:
        ConfigError: a live server has the name, or two tables have the same one.
        TableNotFoundError, CorruptTableError, TableFormatError: see `open_table`.

    Example:
        >>> import jax_hps as hps, numpy as np, tempfile
        >>> path = tempfile.mkdtemp() + "/user"
        >>> rows = np.arange(8, dtype=np.float32).reshape(4, 2)
        >>> table = hps.create_table(path, rows, keys=np.array([7, 9, 2**40, -1]))
        >>> with hps.ParameterServer([hps.TableSpec(name="user", path=path)]) as server:
        ...     user = server.table("user")
        ...     print(hps.lookup(user, hps.keys([2**40, 5])))
        ...     print(server.stats()["user"].base_hits)
        [[4. 5.]
         [0. 0.]]
        1
    """

    def __init__(
        self, tables: Iterable[TableSpec] | TableSpec = (), *, name: str = "default"
    ) -> None:
        self.name = ServerSpec(tables=[], name=name).name  # checks the name
        self._guard = threading.Lock()
        self._tables: dict[str, OpenTable] = {}
        self._failures: list[Failure] = []  # of tables that are gone
        self._closed = False
        with _servers_guard:
            if name in _servers:
                raise ConfigError(
                    f"ParameterServer(name={name!r}): a server of that name is open. "
                    "Close it first, or choose another name."
                )
            _servers[name] = self
        try:
            take_orphans(name)  # of an earlier server of the name
            for spec in as_specs(tables):
                self.add_table(spec)
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_file(cls, path: str | Path) -> ParameterServer:
        """Open the server that a `.toml` or `.json` file describes.

        Relative table paths are taken from the file's folder.

        Args:
            path: a file with the fields of `TableSpec` under `tables`, and `name`.

        Raises:
            ConfigError: an unknown or mistyped field; the message ends with its path.
            FileNotFoundError: there is no such file.
        """
        spec = load_server_spec(path)
        return cls(spec.tables, name=spec.name)

    def table(self, name: str, *, model: str = "default") -> Table:
        """Get the handle by which models name a table.

        Raises:
            TableNotFoundError: the server has no such table.
            ClosedError: the server is closed.
        """
        return self._find(name, model).handle

    def add_table(self, spec: TableSpec) -> Table:
        """Open one more table, while lookups run.

        Raises:
            ConfigError: the server has a table of that model and name.
            TableNotFoundError, CorruptTableError, TableFormatError: see `open_table`.
        """
        (spec,) = as_specs(spec)
        self._require_open()
        opened = OpenTable(self.name, spec)  # may take long: not under the guard
        try:
            with self._guard:
                self._require_open()
                if opened.key in self._tables:
                    raise ConfigError(
                        f"server {self.name!r}: table {opened.key!r} is open already. "
                        "Remove it first, or choose another name or model."
                    )
                opened.publish()
                self._tables[opened.key] = opened
        except BaseException:
            opened.close()
            raise
        _log.info("opened %s", opened)
        return opened.handle

    def remove_table(self, name: str, *, model: str = "default") -> None:
        """Take a table out, while lookups run; those that have begun go on.

        Raises:
            TableNotFoundError: the server has no such table.
            ClosedError: the server is closed.
        """
        with self._guard:
            opened = self._find(name, model)
            del self._tables[opened.key]
            # Under the guard, so that the name is free for whoever finds it gone.
            opened.withdraw()
        self._retire([opened])

    def warm(
        self, name: str, *, model: str = "default", progress: bool = False
    ) -> Warming:
        """Read a table's rows into memory behind the caller's back.

        Lookups run meanwhile. Where the table has a row cache, that gets the hot keys
        of the last run, or, where none are known, the first rows of the table. Of other
        tables the page cache gets all rows, and keeps them for as long as memory
        allows; one of which most rows are never asked for is better left to warm up by
        its lookups.

        Args:
            name: the table.
            model: its model.
            progress: show a bar, or log lines where there is no terminal.

        Returns:
            A handle, at once: how far it is, `wait` and `cancel`.

        Raises:
            TableNotFoundError: the server has no such table.
            ClosedError: the server is closed.
        """
        return self._find(name, model).warm(progress=progress)

    def stats(self) -> dict[str, TableStats]:
        """Count what each table has answered since it was opened.

        Returns:
            By "table", or "model/table" where the model is not "default".

        Raises:
            ClosedError: the server is closed.
        """
        self._require_open()
        return {key: opened.stats() for key, opened in self._snapshot().items()}

    def check(self) -> None:
        """Raise what went wrong in calls that could not raise it, and forget it.

        A program that runs on several devices cannot raise from one of them; such
        failures answer default vectors, are counted and wait here.

        Raises:
            HpsError: the first failure since the last check, of the fitting class; its
                message tells how many more there were.
        """
        failures = take_orphans(self.name)
        for opened in self._snapshot().values():
            failures += opened.take_failures()
        with self._guard:
            failures += self._failures
            self._failures = []
        if failures:
            raise as_error(failures)

    def close(self) -> None:
        """Close every table and free the name; lookups that have begun go on.

        A second call does nothing. `check` still raises what was not raised by then.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            tables = list(self._tables.values())
            self._tables.clear()
        try:
            self._retire(tables)
        finally:
            with _servers_guard:
                _servers.pop(self.name, None)

    def _retire(self, tables: list[OpenTable]) -> None:
        """Close tables, all of them whatever happens, and keep their failures."""
        with contextlib.ExitStack() as stack:
            for opened in tables:
                stack.callback(self._keep_failures, opened)
                stack.callback(opened.close)

    def _keep_failures(self, opened: OpenTable) -> None:
        failures = opened.take_failures()
        if failures:
            _log.warning("%s: %d failures wait for check()", opened, len(failures))
        with self._guard:
            self._failures += failures
        _log.info("closed %s", opened)

    def __enter__(self) -> ParameterServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else ", ".join(self._snapshot()) or "no tables"
        return f"<ParameterServer {self.name!r}: {state}>"

    def _snapshot(self) -> dict[str, OpenTable]:
        with self._guard:
            return dict(self._tables)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"server {self.name!r} is closed.")

    def _find(self, name: str, model: str) -> OpenTable:
        self._require_open()
        key = OpenTable.key_of(name, model)
        opened = self._tables.get(key)
        if opened is None:
            known = ", ".join(list(self._tables)) or "no tables"
            raise TableNotFoundError(
                f"server {self.name!r} has no table {key!r}. It has: {known}."
            )
        return opened


def require_open(table: Table) -> None:
    """Check that a lookup would find the table.

    Raises:
        ClosedError: its server is not open.
        TableNotFoundError: its server does not have it any more.
        HpsError: the calling thread answers misses, and would wait for itself.
    """
    if in_resolver_thread():
        raise HpsError(
            f"hps.lookup(table={table.full_name!r}) from a thread that answers misses: "
            "it would wait for itself. Read from storage there, not through JAX."
        )
    server = _servers.get(table.server)
    if server is None:
        raise ClosedError(
            f"table {table.full_name!r}: server {table.server!r} is not open in this "
            "process. Open it, or keep it open for as long as models use its tables."
        )
    server.table(table.name, model=table.model)


# Resolver threads must be gone before the interpreter is: one that asked for the GIL
# later would hang, and a lookup that waited for it with it.
@atexit.register
def _close_all() -> None:
    for server in list(_servers.values()):
        server.close()
