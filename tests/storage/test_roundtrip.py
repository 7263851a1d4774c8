# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What is written is read: by us, by TensorStore, by zarr-python."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_hps.storage import create_table, open_table

DIMS = [1, 2, 3, 7, 16, 31, 64, 100, 128, 513, 1024, 2047, 2048]
DTYPES = ["float32", "float16", "bfloat16"]
NUMPY = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
INT64 = np.iinfo(np.int64)


def random_rows(rng, num_rows, dim, dtype):
    return rng.standard_normal((num_rows, dim), np.float32).astype(NUMPY[dtype])


def with_tensorstore(folder):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
    return ts.open(spec, open=True, read=True).result()


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_rows_come_back_bit_by_bit(path, rng, dim, dtype):
    rows = random_rows(rng, 300, dim, dtype)
    keys = rng.integers(-20, 320, 500)
    with create_table(path, rows, default=0.5) as table:
        assert (table.dim, table.dtype, table.num_rows) == (dim, rows.dtype, 300)
        assert table.is_dense
        assert table.reader == "native"
        assert table.reader_reason == ""
        got, found = table.read(keys)
        table.verify()
    known = (keys >= 0) & (keys < 300)
    np.testing.assert_array_equal(found, known)
    np.testing.assert_array_equal(got[known], rows[keys[known]])
    assert (got[~known] == 0.5).all()
    stored = with_tensorstore(path / "v000001/rows").read().result()
    assert stored.tobytes() == rows.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_zarr_python_reads_rows_and_keys(path, rng, dtype):
    rows = random_rows(rng, 1000, 17, dtype)
    keys = rng.permutation(1000) - 500
    create_table(path, rows, keys).close()
    stored = zarr.open_array(path / "v000001/rows", mode="r")
    assert stored.shape == rows.shape
    assert stored.dtype == rows.dtype
    np.testing.assert_array_equal(stored[...], rows)
    np.testing.assert_array_equal(zarr.open_array(path / "v000001/keys")[:], keys)


def test_tensorstore_reads_keys(path, rng):
    keys = rng.integers(INT64.min, INT64.max, 3000)
    create_table(path, np.ones((3000, 2), np.float32), keys).close()
    stored = with_tensorstore(path / "v000001/keys").read().result()
    np.testing.assert_array_equal(stored, keys)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("dim", [1, 3, 16, 100])
def test_several_shards(path, rng, dim):
    rows = rng.standard_normal((40_000, dim), np.float32)
    keys = rng.permutation(100_000)[:40_000]
    with create_table(path, iter([(keys, rows)])) as table:
        assert len(list((path / "v000001/rows/c").iterdir())) > 1
        assert len(list((path / "v000001/keys/c").iterdir())) > 1
        table.verify()
        np.testing.assert_array_equal(table.read(keys[::-1])[0], rows[::-1])
    stored = with_tensorstore(path / "v000001/rows").read().result()
    np.testing.assert_array_equal(stored, rows)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_sparse_table_is_a_dict(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("model") / "table"
    keys = data.draw(
        st.lists(st.integers(INT64.min, INT64.max), max_size=60, unique=True)
    )
    dim = data.draw(st.integers(1, 9))
    dtype = NUMPY[data.draw(st.sampled_from(DTYPES))]
    default = data.draw(hnp.arrays(np.float16, dim, elements=st.integers(-9, 9)))
    rows = np.arange(len(keys) * dim).reshape(-1, dim).astype(dtype)
    model = dict(zip(keys, rows, strict=True))
    asked = data.draw(
        st.lists(
            st.sampled_from(keys or [0]) | st.integers(INT64.min, INT64.max),
            max_size=40,
        )
    )
    with create_table(path, rows, keys, default=default) as table:
        got, found = table.read(asked)
        table.verify()
    assert got.dtype == dtype
    assert found.tolist() == [key in model for key in asked]
    expected = [model.get(key, default.astype(dtype)) for key in asked]
    np.testing.assert_array_equal(got, np.array(expected, dtype).reshape(-1, dim))


def test_keys_of_any_shape_and_width(path):
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    with create_table(path, rows, default=-1.0) as table:
        for keys in (
            3,
            np.int8([[1, 2], [9, -1]]),
            np.uint64([2, 2**64 - 1]),
            np.zeros((2, 0, 3), np.int32),
            [],
            np.arange(10)[::-3],
            np.asfortranarray(np.arange(6).reshape(2, 3)),
        ):
            got, found = table.read(keys)
            asked = np.asarray(keys)
            assert got.shape == (*asked.shape, 2)
            assert found.shape == asked.shape
            known = asked.astype(np.int64) < 10
            known &= asked.astype(np.int64) >= 0
            np.testing.assert_array_equal(found, known)
            np.testing.assert_array_equal(got[known][:, 0], 2 * asked[known])
            assert (got[~known] == -1).all()


def test_uint64_keys_keep_their_bits(path):
    keys = np.array([2**64 - 1, 2**63, 5], np.uint64)
    rows = np.arange(3, dtype=np.float32)[:, None]
    with create_table(path, rows, keys) as table:
        np.testing.assert_array_equal(table.read(keys)[0], rows)
        assert table.read([-1, INT64.min])[0].ravel().tolist() == [0, 1]


@pytest.mark.parametrize("keys", [None, []])
def test_empty_table(path, keys):
    with create_table(path, np.zeros((0, 5), np.float16), keys, default=2) as table:
        assert (table.num_rows, table.dim) == (0, 5)
        got, found = table.read([0, 1])
        assert (got == 2).all()
        assert not found.any()
        table.verify()


def test_describes_itself(path):
    rows = np.zeros((4, 3), np.float32)
    table = create_table(path, rows, [1, 2, 3, 4], default=[1, 2, 3], key_dtype="int32")
    assert table.key_dtype == "int32"
    assert table.version == 1
    assert table.nbytes == 48
    assert table.index_bytes > 0
    assert table.default.tolist() == [1, 2, 3]
    assert not table.default.flags.writeable
    assert repr(table) == (
        f"StoredTable({str(path)!r}, sparse, 4 rows of float32[3], version 1)"
    )
    table.close()
    assert "closed" in repr(table)


def test_handles_on_one_version_share_it(path):
    create_table(path, np.zeros((4, 3), np.float32), [1, 2, 3, 4]).close()
    first, second = open_table(path), open_table(str(path))
    assert first._open_version() is second._open_version()
