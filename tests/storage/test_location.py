# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Which folder a path or a URL means, and for how long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from jax_hps.errors import TableFormatError
from jax_hps.storage import create_table, open_table
from jax_hps.storage.location import Location

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_a_relative_path_outlives_chdir(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with create_table("t/user", ROWS, [1, 2, 3, 4]) as table:
        monkeypatch.chdir(tmp_path / "elsewhere")
        table.verify()
        assert table.path == "t/user"


def test_a_relative_array_of_others_outlives_chdir(tmp_path, monkeypatch):
    kvstore = {"driver": "file", "path": str(tmp_path / "t")}
    ts.open({"driver": "zarr", "kvstore": kvstore}, create=True, dtype=ts.float32,
            shape=ROWS.shape).result().write(ROWS).result()  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with open_table("t") as table:
        monkeypatch.chdir("/")
        table.verify()


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with create_table("~/user", ROWS) as table:
        assert table.path == "~/user"
    open_table(tmp_path / "user").close()
    assert Location.parse("file:///~/user").path == Path("/~/user")


@pytest.mark.parametrize("url", ["file:///t/a%20b", "file://localhost/t/a%20b"])
def test_file_urls(url):
    assert Location.parse(url).path == Path("/t/a b")


@pytest.mark.parametrize(
    "url",
    ["file://t/u", "file://t", "file://", "file:///t?u", "file:///t#u", "file://./t"],
)
def test_what_is_no_file_url(url):
    for call in (open_table, lambda url: create_table(url, ROWS)):
        with pytest.raises(TableFormatError, match="the form file:///absolute/path"):
            call(url)


def test_an_empty_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (open_table, lambda path: create_table(path, ROWS)):
        with pytest.raises(TableFormatError, match="path is empty"):
            call("")


def test_home_of_an_unknown_user():
    with pytest.raises(TableFormatError, match="~nobody-at-all"):
        open_table("~nobody-at-all/user")
