# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every format: rows, keys, options, errors, and what errors leave."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_hps.errors import KeyDtypeError, TableDataError, TableExistsError
from jax_hps.ingest import streams
from jax_hps.storage import open_table, progress

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.fixture
def rows(rng):
    return rng.standard_normal((200, 5), np.float32)


@pytest.fixture
def keys(rng):
    keys = rng.integers(-(2**63), 2**63, 200)
    keys[:4] = -1, 0, 2**63 - 1, -(2**63)
    return keys


def test_sparse(form, check, tmp_path, path, rows, keys):
    check(form.write(tmp_path, rows, keys)(path), rows, keys)


def test_dense(form, check, tmp_path, path, rows):
    if form.has_dense:
        check(form.write(tmp_path, rows, None)(path), rows)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_round_trip(form, check, tmp_path_factory, data):
    """Any shape, dtypes in and out, keys of any value, in blocks of any size."""
    folder = tmp_path_factory.mktemp("round-trip")
    num_rows, dim = data.draw(st.integers(1, 100)), data.draw(st.integers(1, 9))
    given_dtype = data.draw(st.sampled_from(form.dtypes))
    stored = data.draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    dense = form.has_dense and data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = rng.integers(-100, 100, (num_rows, dim)).astype(given_dtype)
    keys = None if dense else np.unique(rng.integers(-(2**63), 2**63, num_rows))
    source = form.write(folder, rows, keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK_BYTES", data.draw(st.integers(1, 2000)))
        patch.setattr(streams, "MAX_READERS", data.draw(st.integers(1, 5)))
        check(source(folder / "table", dtype=stored), rows, keys)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_dtype_is_kept(form, tmp_path, path, rows, keys, dtype):
    if np.dtype(dtype).name in form.dtypes:
        with form.write(tmp_path, rows.astype(dtype), keys)(path) as table:
            assert table.dtype == dtype


def test_other_dtypes_are_asked_for(form, check, tmp_path, path, rows, keys):
    if "float64" in form.dtypes:
        source = form.write(tmp_path, rows.astype(np.float64), keys)
        with pytest.raises(TableDataError, match="'float64': choose one with dtype="):
            source(path)
        assert not path.exists()
        check(source(path, dtype="float32"), rows, keys)


def test_options_reach_the_table(form, tmp_path, path, rows):
    keys = np.arange(200) * 3
    source = form.write(tmp_path, rows, keys)
    with source(path, default=[1, 2, 3, 4, 5], key_dtype="uint32") as table:
        assert table.key_dtype == "uint32"
        assert table.read(1)[0].tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(TableExistsError, match="overwrite=True"):
        source(path)
    with source(path, overwrite=True) as table:
        assert table.version == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        source(path, overwrite=True, colour="red")


def test_progress_knows_the_end(form, tmp_path, path, rows, keys, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "jax_hps.storage"):
        form.write(tmp_path, rows, keys)(path, progress=True).close()
    assert "200 rows, " in caplog.text
    assert "100%, 0 s left" in caplog.text


def test_duplicate_key_is_named(form, tmp_path, path, rows, keys):
    keys[150] = keys[3]
    source = form.write(tmp_path, rows, keys)
    with pytest.raises(TableDataError, match=f"key {keys[3]} "):
        source(path)
    assert not path.exists()


def test_key_that_does_not_fit(form, tmp_path, path, rows):
    keys = np.arange(200) + 2**31 - 100
    source = form.write(tmp_path, rows, keys)
    with pytest.raises(TableDataError, match=r"does not fit key_dtype='int32'"):
        source(path, key_dtype="int32")
    assert not path.exists()


def test_keys_are_integers(form, tmp_path, path, rows, keys):
    if form.has_dense:  # where keys have a dtype at all
        source = form.write(tmp_path, rows, keys.astype(np.float64))
        with pytest.raises(KeyDtypeError, match="integers"):
            source(path)
        assert not path.exists()


def test_one_key_for_each_row(form, tmp_path, path, rows, keys):
    if form.has_dense and "parquet" not in form.write.__name__:
        source = form.write(tmp_path, rows, keys[:-1])
        with pytest.raises(TableDataError, match=r"each of the 200 rows .*\(199,\)"):
            source(path)
        assert not path.exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_what_fails_leaves_the_old_table(
    form, check, tmp_path, path, rows, keys, monkeypatch, at_once
):
    source = form.write(tmp_path, rows, keys)
    source(path).close()
    before = sorted(file.relative_to(path) for file in path.rglob("*"))
    by_turns = streams._by_turns

    def breaking(lanes):
        if not at_once:
            yield from by_turns(lanes)
        raise OSError(5, "the disk broke")

    monkeypatch.setattr(streams, "_by_turns", breaking)
    with pytest.raises(OSError, match="the disk broke"):
        source(path, overwrite=True)
    assert sorted(file.relative_to(path) for file in path.rglob("*")) == before
    check(open_table(path), rows, keys)
    assert not [t for t in threading.enumerate() if t.name.startswith("jax_hps_ingest")]
