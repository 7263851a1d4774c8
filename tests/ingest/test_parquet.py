# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files of pyarrow's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jax_hps import ingest
from jax_hps.errors import (
    CorruptTableError,
    KeyDtypeError,
    TableDataError,
    TableNotFoundError,
)

pytestmark = pytest.mark.usefixtures("small_blocks")

ROWS = np.arange(900, dtype=np.float32).reshape(300, 3)
KEYS = np.arange(300)[::-1].copy() * 7


@pytest.fixture
def write(tmp_path):
    """Write columns, by default ROWS as lists in "e" and KEYS in "id"."""

    def write(name="rows.parquet", *, rows=slice(None), **columns):
        columns = {"e": list(ROWS), "id": KEYS, **columns}
        table = pa.table(columns)
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        chosen = pa.array(range(len(table))[rows], pa.int64())
        pq.write_table(table.take(chosen), file, row_group_size=64)
        return file

    return write


def lists(kind, rows=ROWS):
    flat = pa.array(rows.reshape(-1))
    offsets = np.arange(0, rows.size + 1, rows.shape[1])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    fixed = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    if kind == "fixed":
        return fixed
    tensor = pa.fixed_shape_tensor(flat.type, [rows.shape[1]])
    return pa.ExtensionArray.from_storage(tensor, fixed)


@pytest.mark.parametrize("kind", ["large", "fixed", "tensor"])
@pytest.mark.parametrize("keys", ["id", None])
def test_lists_of_all_kinds(write, path, check, kind, keys):
    file = write(e=lists(kind))
    expected = None if keys is None else KEYS
    check(ingest.parquet(path, file, rows="e", keys=keys), ROWS, expected)


def test_half_floats(write, path, check):
    file = write(e=lists("fixed", ROWS.astype(np.float16)))
    with ingest.parquet(path, file, rows="e", keys="id") as table:
        assert table.dtype == np.float16
    check(ingest.parquet(path, file, rows="e", overwrite=True), ROWS.astype(np.float16))


@pytest.mark.parametrize("dtype", ["int8", "uint32", "uint64", "int64"])
def test_key_dtypes(write, path, check, dtype):
    keys = np.arange(100).astype(dtype)
    file = write(e=list(ROWS[:100]), id=keys)
    check(ingest.parquet(path, file, rows="e", keys="id"), ROWS[:100], keys)


def test_columns_in_the_order_they_are_named(write, path, check):
    file = write(**{"x.0": ROWS[:, 0], "x.1": ROWS[:, 1], "x": ROWS[:, 2]})
    table = ingest.parquet(path, file, rows=["x.1", "x", "x.0"], keys="id")
    check(table, ROWS[:, [1, 2, 0]], KEYS)


def test_columns_of_different_types(write, path, check):
    file = write(a=ROWS[:, 0].astype(np.int16), b=ROWS[:, 1].astype(np.float64))
    table = ingest.parquet(path, file, rows=("a", "b"), dtype="float32")
    check(table, ROWS[:, :2])


@pytest.mark.parametrize("keys", ["id", None])
def test_folders_are_read_in_order(write, tmp_path, path, check, keys):
    for part in range(3):
        first, second = 50 * part, 150 + 50 * part
        write(f"data/part-{part}.parquet", rows=slice(first, first + 50))
        write(f"data/day=2/part-{part}.parquet", rows=slice(second, second + 50))
    for other in (
        "_delta_log/x.parquet",
        ".hidden.parquet",
        "day=2/_temporary/y.parquet",
    ):
        write(f"data/{other}")
    (tmp_path / "data" / "_SUCCESS").touch()
    by_name = np.r_[150:300, 0:150]  # "day=2/..." comes before "part-..."
    table = ingest.parquet(path, tmp_path / "data", rows="e", keys=keys)
    check(table, ROWS[by_name], None if keys is None else KEYS[by_name])


def test_several_files_and_empty_ones(write, path, check):
    files = [
        write("b.parquet", rows=slice(100)),
        write("none.parquet", rows=slice(0)),
        write("a.parquet", rows=slice(100, None)),
    ]
    check(ingest.parquet(path, files, rows="e"), ROWS)


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_ways_to_write_pages(tmp_path, path, check, compression, version):
    pq.write_table(
        pa.table({"e": list(ROWS), "id": KEYS}),
        tmp_path / "x",
        compression=compression,
        data_page_version=version,
        use_dictionary=False,
        data_page_size=512,
        write_page_checksum=True,
    )
    check(ingest.parquet(path, tmp_path / "x", rows="e", keys="id"), ROWS, KEYS)


def refused(error, message, path, files, rows="e", keys="id"):
    with pytest.raises(error, match=message):
        ingest.parquet(path, files, rows=rows, keys=keys)
    assert not path.exists()


def test_missing_columns_name_those_there_are(write, path):
    file = write(embedding=KEYS)
    message = "no column 'embeding', but 'embedding', "
    refused(TableNotFoundError, message, path, file, rows="embeding")
    refused(TableNotFoundError, message, path, file, rows=["id", "embeding"])
    refused(TableNotFoundError, "no column 'idd', but 'id'", path, file, keys="idd")
    refused(TableDataError, "expected the name of a column", path, file, rows=[])


def test_missing_files(write, path, tmp_path):
    refused(TableNotFoundError, "no such file", path, tmp_path / "no.parquet")
    (tmp_path / "empty").mkdir()
    refused(TableNotFoundError, r"no file \*.parquet", path, tmp_path / "empty")
    refused(TableDataError, "no rows", path, write(rows=slice(0)))


def test_types(write, path):
    file = write(text=["a"] * 300, words=[["a"]] * 300, deep=[[[1.0]]] * 300)
    refused(
        TableDataError, "expected lists of numbers, got int64", path, file, rows="id"
    )
    refused(TableDataError, "got list<.*string>", path, file, rows="words")
    refused(TableDataError, "got list<.*list<", path, file, rows="deep")
    refused(TableDataError, "'e': expected numbers, got list", path, file, rows=["e"])
    refused(KeyDtypeError, "'text': expected integers.*string", path, file, keys="text")


def test_a_later_file_of_another_type(write, path):
    files = [write("a.parquet"), write("b.parquet", e=KEYS)]
    refused(TableDataError, "b.parquet: column 'e': expected lists", path, files)


VECTORS = pa.list_(pa.float32())


@pytest.mark.parametrize("at", [0, 65, 299])
def test_nulls(write, path, at):
    def with_null(values, kind=None):
        values = [None if i == at else value for i, value in enumerate(values)]
        return pa.array(values, kind)

    message = f"row {at} has a null"
    file = write(e=with_null(ROWS.tolist(), VECTORS))
    refused(TableDataError, message, path, file)
    rows = ROWS.tolist()
    rows[at][1] = None
    refused(TableDataError, message, path, write(e=pa.array(rows, VECTORS)))
    refused(TableDataError, message, path, write(id=with_null(KEYS.tolist())))
    file = write(x=ROWS[:, 1], y=with_null(ROWS[:, 0].tolist(), pa.float32()))
    refused(TableDataError, message, path, file, rows=["x", "y"], keys=None)


@pytest.mark.parametrize("at", [1, 70, 299])
def test_lists_of_different_lengths(write, path, at):
    rows = ROWS.tolist()
    rows[at].append(1.0)
    file = write(e=pa.array(rows, VECTORS))
    message = f"row {at} has 4 numbers, row .* has 3; all rows"
    refused(TableDataError, message, path, file)


def test_row_groups_of_different_lengths(write, path):
    rows = [row[: 2 if number < 64 else 3] for number, row in enumerate(ROWS.tolist())]
    message = "rows have . elements, the first"
    refused(TableDataError, message, path, write(e=pa.array(rows, VECTORS)))


def test_a_file_of_something_else(path, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then nothing")
    refused(
        CorruptTableError, "x.parquet: pyarrow says: ", path, tmp_path / "x.parquet"
    )


def test_cut_short(write, path):
    file = write()
    whole = file.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        refused(CorruptTableError, "pyarrow says: ", path, file)


def test_damaged_pages(tmp_path, path):
    file = tmp_path / "x.parquet"
    table = pa.table({"e": list(ROWS), "id": KEYS})
    pq.write_table(table, file, write_page_checksum=True, compression="none")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    refused(CorruptTableError, "pyarrow says: .*CRC", path, file)


def test_a_folder_in_the_place_of_a_file(write, path, tmp_path):
    (tmp_path / "d" / "x.parquet").mkdir(parents=True)
    with pytest.raises(OSError, match=r"x\.parquet"):
        ingest.parquet(path, tmp_path / "d", rows="e")


def test_without_pyarrow(run_python):
    run_python("""
import sys
sys.modules["pyarrow"] = None
import jax_hps
try:
    jax_hps.ingest.parquet("table", "rows.parquet", rows="e")
except ImportError as error:
    assert "pip install 'jax_hps[ingest]'" in str(error)
else:
    raise AssertionError
""")
