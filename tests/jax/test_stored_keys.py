# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`create_table` and `StoredTable.read` with keys of JAX's, which may have been cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_hps as hps

IDS = np.array([2**40 + 1, 2, 3])
ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
CUT = r"may have lost the upper bits.*hps\.keys\(ids\)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table"


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint32])
def test_32_bit_keys_make_no_table_of_64_bit_keys(path, dtype):
    ids = jnp.asarray(IDS.astype(dtype))
    for arguments in ((ROWS, ids), ([(ids, ROWS)],)):
        with pytest.raises(hps.KeyDtypeError, match=CUT):
            hps.create_table(path, *arguments)
        assert not path.exists()
    with hps.create_table(path, ROWS, ids, key_dtype=dtype) as table:
        assert table.read(ids)[1].all()


def test_32_bit_keys_read_no_table_of_64_bit_keys(path):
    with hps.create_table(path, ROWS, IDS) as table:
        with pytest.raises(hps.KeyDtypeError, match=CUT):
            table.read(jnp.arange(3))
        assert table.read(np.arange(4, dtype=np.int32))[1].tolist() == [0, 0, 1, 1]


def test_32_bit_keys_read_dense_tables(path):
    with hps.create_table(path, ROWS) as table:
        np.testing.assert_array_equal(table.read(jnp.arange(3))[0], ROWS)


def test_packed_keys_are_taken(path):
    packed = hps.keys(IDS)
    with hps.create_table(path, ROWS, packed) as table:
        np.testing.assert_array_equal(table.read(IDS)[0], ROWS)
        rows, found = table.read(packed.reshape(3, 1))
        np.testing.assert_array_equal(rows, ROWS[:, None])
        assert found.all()
    hps.create_table(path, [(packed, ROWS)], overwrite=True).verify()


def test_64_bit_arrays_are_taken(path):
    with jax.enable_x64(True):
        ids = jnp.asarray(IDS)
    with hps.create_table(path, ROWS, ids) as table:
        np.testing.assert_array_equal(table.read(ids)[0], ROWS)
