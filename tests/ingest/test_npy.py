# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files of NumPy's."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from jax_hps import ingest
from jax_hps.errors import (
    CorruptTableError,
    TableDataError,
    TableFormatError,
    TableNotFoundError,
)

pytestmark = pytest.mark.usefixtures("small_blocks")

ROWS = np.arange(600, dtype=np.float32).reshape(200, 3)
KEYS = np.arange(200)[::-1].copy() * 7


@pytest.fixture
def save(tmp_path):
    def save(name, array):
        np.save(tmp_path / name, array, allow_pickle=True)
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    "rows",
    [
        np.asfortranarray(ROWS),
        np.asfortranarray(ROWS[:, :1]),
        ROWS.astype(">f4"),
        ROWS.astype(">f2"),
        ROWS[:0],
    ],
    ids=["by columns", "one column", "big-endian", "big-endian half", "empty"],
)
def test_layouts(save, path, check, rows):
    check(ingest.npy(path, save("rows.npy", rows)), rows)


@pytest.mark.parametrize("dtype", ["int32", "uint16", ">i8", "uint64", "int8"])
def test_key_dtypes(save, path, check, dtype):
    keys = np.arange(100).astype(dtype)
    files = save("rows.npy", ROWS[:100]), save("keys.npy", keys)
    check(ingest.npy(path, *files), ROWS[:100], keys)


def test_large_unsigned_keys_keep_their_bits(save, path):
    keys = np.array([2**64 - 1, 2**63], np.uint64)
    files = save("rows.npy", ROWS[:2]), save("keys.npy", keys)
    with ingest.npy(path, *files) as table:
        assert table.read([-1, -(2**63)])[0].tolist() == ROWS[:2].tolist()


def test_integers_and_doubles_are_converted(save, path, check):
    rows = np.arange(12).reshape(4, 3)
    check(ingest.npy(path, save("rows.npy", rows), dtype="bfloat16"), rows)


def test_bfloat16_is_taken_where_it_is_asked_for(save, path, check):
    rows = ROWS.astype(ml_dtypes.bfloat16)
    file = save("rows.npy", rows)
    with pytest.raises(TableDataError, match="choose one with dtype="):
        ingest.npy(path, file)
    with pytest.raises(TableDataError, match="expected real numbers"):
        ingest.npy(path, file, dtype="float32")
    check(ingest.npy(path, file, dtype="bfloat16"), rows)


def test_several_files(save, path, check):
    rows = [save(f"rows{i}.npy", ROWS[i::3]) for i in range(3)]
    keys = [save(f"keys{i}.npy", KEYS[i::3]) for i in range(3)]
    check(ingest.npy(path, rows, keys), ROWS, KEYS)
    in_order = np.concatenate([ROWS[i::3] for i in range(3)])
    check(ingest.npy(path, rows, overwrite=True), in_order)


def test_names_of_all_kinds(save, path, tmp_path, monkeypatch, check):
    save("rows.npy", ROWS)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("~/rows.npy", f"file://{tmp_path}/rows.npy", tmp_path / "rows.npy"):
        check(ingest.npy(path, name, overwrite=True), ROWS)


def test_version_2_headers(tmp_path, path, check):
    with open(tmp_path / "rows.npy", "wb") as file:
        np.lib.format.write_array(file, ROWS, version=(2, 0))
    check(ingest.npy(path, tmp_path / "rows.npy"), ROWS)


def refused(error, message, path, *arguments, **options):
    with pytest.raises(error, match=message):
        ingest.npy(path, *arguments, **options)
    assert not path.exists()


def test_missing_files(save, path, tmp_path):
    rows = save("rows.npy", ROWS)
    refused(
        TableNotFoundError, "no.npy: there is no such file", path, tmp_path / "no.npy"
    )
    refused(TableNotFoundError, "no.npy", path, rows, tmp_path / "no.npy")
    refused(TableFormatError, "expected a file, found a folder", path, tmp_path)
    refused(TableFormatError, "expected a local path", path, "s3://bucket/rows.npy")
    refused(TableDataError, "got an empty list", path, [])


def test_shapes(save, path):
    rows = save("rows.npy", ROWS)
    flat = save("flat.npy", ROWS.reshape(-1))
    refused(TableDataError, r"flat.npy: expected rows .*\(600,\)", path, flat)
    refused(TableDataError, r"got \(200, 0\)", path, save("thin.npy", ROWS[:, :0]))
    refused(TableDataError, r"got keys of shape \(600,\)", path, rows, flat_keys(save))
    refused(
        TableDataError,
        "a file of keys for each of the 2 files of rows, got 1",
        path,
        [rows, rows],
        flat_keys(save),
    )


def flat_keys(save):
    return save("keys.npy", np.arange(600))


def test_files_of_different_shapes(save, path):
    files = [save("a.npy", ROWS), save("b.npy", ROWS[:, :2])]
    refused(TableDataError, "rows have 2 elements, the first 3", path, files)


@pytest.mark.parametrize("rows", [ROWS, np.asfortranarray(ROWS)])
def test_a_file_that_was_cut_short(save, path, rows):
    file = save("rows.npy", rows)
    file.write_bytes(file.read_bytes()[:-1])
    refused(CorruptTableError, r"rows.npy: expected 2528 bytes .* got 2527", path, file)


@pytest.mark.parametrize("content", [b"", b"\x93NUMP", b"no array", b"\x93NUMPY\x09\0"])
def test_files_of_something_else(path, tmp_path, content):
    (tmp_path / "rows.npy").write_bytes(content)
    refused(
        TableFormatError, "expected a file of np.save's", path, tmp_path / "rows.npy"
    )


def test_python_objects_are_never_unpickled(save, path):
    file = save("rows.npy", np.array([[{}, {}]], dtype=object))
    refused(TableFormatError, "Python objects", path, file)


def test_an_archive_is_no_array(path, tmp_path):
    np.savez(tmp_path / "rows.npz", ROWS)
    refused(TableFormatError, "np.save's", path, tmp_path / "rows.npz")
