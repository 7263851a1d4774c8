# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Arrays that TensorStore and zarr-python wrote."""

from __future__ import annotations

import re
import shutil
import socket

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts
import zarr

from jax_hps.errors import (
    CorruptTableError,
    TableFormatError,
    TableNotFoundError,
    TierUnavailableError,
)
from jax_hps.storage import create_table, open_table
from jax_hps.storage.opening import open_version
from jax_hps.storage.tensorstore_rows import context

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def sharding(chunk_rows, dim, *, location="end", extra=()):
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [chunk_rows, dim],
            "codecs": [LITTLE, *extra],
            "index_codecs": [LITTLE, {"name": "crc32c"}],
            "index_location": location,
        },
    }


def write(path, rows, *, driver="zarr3", codecs=None, fill=0.0, **options):
    """Write an array with TensorStore; blocks with a NaN are left out."""
    metadata = {"shape": rows.shape, "data_type": rows.dtype.name, "fill_value": fill}
    metadata["codecs"] = codecs or [sharding(8, rows.shape[1])]
    metadata["chunk_grid"] = {
        "name": "regular",
        "configuration": {"chunk_shape": [64, rows.shape[1]]},
    }
    kvstore = {"driver": "file", "path": str(path)}
    spec = {"driver": driver, "kvstore": kvstore, **options}
    schema = {}
    if driver == "zarr3":
        spec["metadata"] = metadata
    else:
        schema = {"dtype": rows.dtype.name, "shape": rows.shape}
    store = ts.open(spec, create=True, **schema).result()
    for start in range(0, len(rows), 8):
        block = slice(start, min(start + 8, len(rows)))
        if not np.isnan(rows[block].astype(np.float32)).any():
            store[block] = rows[block]


def check(path, rows, *, reader, fill=0.0):
    """Check that a table answers `rows`, and `fill` in place of NaN."""
    expected = np.where(np.isnan(rows.astype(np.float32)), fill, rows)
    with open_table(path) as table:
        assert table.reader == reader, table.reader_reason
        assert table.is_dense
        assert (table.num_rows, table.dim, table.dtype) == (*rows.shape, rows.dtype)
        keys = np.random.default_rng(1).integers(-9, len(rows) + 9, 500)
        got, found = table.read(keys)
        known = (keys >= 0) & (keys < len(rows))
        np.testing.assert_array_equal(found, known)
        np.testing.assert_array_equal(got[known], expected[keys[known]])
        assert not got[~known].any()
        table.verify()


@pytest.fixture
def rows(rng):
    return rng.standard_normal((300, 5), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("location", ["start", "end"])
def test_shards_with_a_partial_last_one(path, rows, dtype, location):
    rows = rows.astype(dtype)
    write(path, rows, codecs=[sharding(8, 5, location=location)])
    check(path, rows, reader="native")


@pytest.mark.parametrize("store_fill", [False, True])
@pytest.mark.parametrize("fill", [0.0, 2.5])
def test_chunks_equal_to_the_fill_value(path, rows, store_fill, fill):
    """TensorStore drops them unless told not to."""
    rows[16:40] = fill
    rows[64:128] = fill
    write(path, rows, fill=fill, store_data_equal_to_fill_value=store_fill)
    assert (path / "c/1/0").exists() == store_fill
    check(path, rows, reader="native")


@pytest.mark.parametrize("fill", [0.0, -1.5])
@pytest.mark.parametrize("location", ["start", "end"])
def test_missing_chunks_and_shards(path, rows, fill, location):
    rows[8:32] = rows[64:128] = rows[296:] = np.nan
    write(path, rows, fill=fill, codecs=[sharding(8, 5, location=location)])
    assert not (path / "c/1").exists()
    check(path, rows, reader="native", fill=fill)


def test_plain_chunks(path, rows):
    rows[64:128] = np.nan
    write(path, rows, codecs=[LITTLE], fill=3.0)
    check(path, rows, reader="native", fill=3.0)


@pytest.mark.parametrize(
    ("codecs", "reason"),
    [
        ([sharding(8, 5, extra=[{"name": "gzip"}])], "coded by 'gzip'"),
        ([LITTLE, {"name": "blosc", "configuration": {"cname": "lz4"}}], "by 'blosc'"),
        ([LITTLE, {"name": "crc32c"}], "coded by 'crc32c'"),
        ([{"name": "bytes", "configuration": {"endian": "big"}}], "big-endian"),
        (
            [{"name": "transpose", "configuration": {"order": [1, 0]}}, LITTLE],
            "coded by 'transpose'",
        ),
    ],
)
def test_coded_chunks_are_left_to_tensorstore(path, rows, codecs, reason):
    write(path, rows, codecs=codecs)
    check(path, rows, reader="tensorstore")
    assert reason in open_table(path).reader_reason


@pytest.mark.parametrize("driver", ["zarr", "n5"])
def test_other_drivers_are_left_to_tensorstore(path, rows, driver):
    write(path, rows, driver=driver)
    check(path, rows, reader="tensorstore")
    assert f"its driver is {driver!r}" in open_table(path).reader_reason


@pytest.mark.parametrize("shards", [None, (64, 5)])
def test_zarr_python_uncompressed(path, rows, shards):
    array = zarr.create_array(
        path,
        shape=rows.shape,
        dtype="f4",
        chunks=(8, 5),
        shards=shards,
        compressors=None,
        filters=None,
    )
    array[...] = rows
    check(path, rows, reader="native")


def test_zarr_python_as_it_comes(path, rows):
    zarr.create_array(path, data=rows)
    check(path, rows, reader="tensorstore")


@pytest.mark.parametrize("compressed", [False, True])
def test_rows_and_keys_without_a_manifest(path, rows, rng, compressed):
    keys = rng.permutation(1000)[:300] - 500
    group = zarr.create_group(path)
    for name, data in (("rows", rows), ("keys", keys)):
        compressors = "auto" if compressed else None
        group.create_array(name, data=data, chunks="auto", compressors=compressors)
    with open_table(path) as table:
        assert not table.is_dense
        assert table.version == 0
        assert table.reader == ("tensorstore" if compressed else "native")
        got, found = table.read([*keys[::-1], 5000])
        np.testing.assert_array_equal(got[:300], rows[::-1])
        assert found.tolist() == [True] * 300 + [False]
        table.verify()


def test_foreign_keys_that_repeat(path, rows):
    write(path / "rows", rows)
    zarr.create_array(path / "keys", data=np.arange(300) // 2)
    with pytest.raises(CorruptTableError, match=r"keys: key 0 .*row 0 .*row 1"):
        open_table(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (np.arange(299), r"int64 keys for 300 rows, got int64 \[299\]"),
        (np.arange(300.0), "got float64"),
        (np.zeros((300, 1), np.int64), r"got int64 \[300, 1\]"),
    ],
)
def test_foreign_keys_that_do_not_fit(path, rows, keys, message):
    write(path / "rows", rows)
    zarr.create_array(path / "keys", data=keys)
    with pytest.raises(TableFormatError, match=message):
        open_table(path)


@pytest.mark.parametrize(
    "data", [np.zeros((4, 3)), np.zeros((4, 3), np.int8), np.zeros(4, np.float32)]
)
def test_arrays_that_make_no_table(path, data):
    zarr.create_array(path, data=data)
    with pytest.raises(TableFormatError, match=r"expected an array \[rows, dim\]"):
        open_table(path)


def test_damaged_chunk_of_a_coded_array(path, rows):
    write(path, rows, codecs=[LITTLE, {"name": "crc32c"}])
    file = path / "c/2/0"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with open_table(path) as table:
        table.read([0, 100])
        for call in (lambda: table.read([130]), table.verify):
            with pytest.raises(CorruptTableError, match="c/2/0"):
                call()


@pytest.mark.parametrize("text", ["{", "[]", '{"zarr_format": 3}'])
def test_damaged_metadata(path, rows, text):
    write(path, rows)
    (path / "zarr.json").write_text(text)
    with pytest.raises(CorruptTableError, match=re.escape(str(path))):
        open_table(path)


def test_changed_since_opened(path, rows):
    write(path, rows, codecs=[LITTLE, {"name": "crc32c"}])
    with open_table(path) as table:
        shutil.rmtree(path)
        write(path, rows[:10])
        with pytest.raises(CorruptTableError, match="changed since"):
            table.verify()


@pytest.mark.parametrize("sparse", [False, True])
def test_table_over_http(path, url, rows, sparse):
    keys = np.arange(300) * 3 if sparse else None
    create_table(path, rows, keys, default=1.0).close()
    with open_table(f"{url}/table") as table:
        assert table.version == 1
        assert table.is_dense != sparse
        assert table.reader_reason == "it is at a URL"
        got, found = table.read([[0, 3], [299, 10**12]])
        local, local_found = open_table(path).read([[0, 3], [299, 10**12]])
        np.testing.assert_array_equal(got, local)
        np.testing.assert_array_equal(found, local_found)
        table.verify()


def test_array_over_http(path, url, rows):
    write(path, rows)
    check(f"{url}/table/", rows, reader="tensorstore")
    version = open_version(f"{url}/table")
    assert version.is_remote
    assert version.mapped_bytes == 0
    numbers = np.array([7, 7, 299, 0])
    np.testing.assert_array_equal(version.tensorstore.read_rows(numbers), rows[numbers])
    assert version.tensorstore.read_rows(numbers[:0]).shape == (0, 5)


def test_damage_over_http(path, url, rows):
    create_table(path, rows).close()
    with open_table(f"{url}/table") as table:
        file = path / "v000001/rows/c/0/0"
        data = bytearray(file.read_bytes())
        data[5] ^= 1
        file.write_bytes(data)
        with pytest.raises(CorruptTableError, match="rows/c/0/0: its CRC-32C"):
            table.verify()


def test_no_table_over_http(url):
    with pytest.raises(TableNotFoundError, match="no table"):
        open_table(f"{url}/nothing")


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TierUnavailableError, match="TensorStore says"):
        open_table(f"http://127.0.0.1:{port}/table")


def test_store_that_stops_answering(path, rows):
    write(path, rows, codecs=[LITTLE, {"name": "crc32c"}])
    table = open_table(path)
    table.read([0])
    (path / "c/3/0").unlink()
    (path / "c/3/0").symlink_to("0")  # to itself
    with pytest.raises(TierUnavailableError, match="TensorStore says"):
        table.read([200])


def test_memory_url(rows):
    spec = {"driver": "zarr3", "kvstore": "memory://test/"}
    store = ts.open(
        spec, create=True, dtype="float32", shape=rows.shape, context=context()
    ).result()
    store[...] = rows
    check("memory://test", rows, reader="tensorstore")
