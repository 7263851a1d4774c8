# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What `create_table` takes, and what it refuses with which words."""

from __future__ import annotations

import contextlib
import logging
import tracemalloc
import types

import ml_dtypes
import numpy as np
import pytest

from jax_hps.errors import (
    ClosedError,
    KeyDtypeError,
    TableDataError,
    TableExistsError,
    TableFormatError,
    TableNotFoundError,
)
from jax_hps.storage import blocks, create_table, layout, open_table, progress

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_blocks_of_a_sparse_table(path):
    def pairs():
        for start in range(0, 100, 7):
            keys = np.arange(start, min(start + 7, 100)) * 10
            yield keys, np.repeat(keys[:, None], 5, 1).astype(np.float32)

    with create_table(path, pairs()) as table:
        assert table.num_rows == 100
        got, found = table.read([990, 5, 0])
        assert found.tolist() == [True, False, True]
        assert got[:, 0].tolist() == [990, 0, 0]


def test_blocks_of_a_dense_table(path):
    with create_table(path, [(None, ROWS), (None, ROWS[:1] + 1)]) as table:
        assert table.is_dense
        assert table.read(4)[0].tolist() == [1, 2, 3]


def test_blocks_are_converted_one_by_one(path):
    pieces = [(None, ROWS.astype(np.float64)), (None, ROWS.astype(np.int8))]
    with create_table(path, pieces, dtype="bfloat16") as table:
        assert table.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(
            table.read(np.arange(8))[0], np.tile(ROWS, (2, 1))
        )


def test_large_array_is_written_piece_by_piece(path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 30)
    rows = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    keys = np.arange(1000)[::-1]
    with create_table(path, rows, keys) as table:
        np.testing.assert_array_equal(table.read(keys)[0], rows)


def test_memory_is_bounded_by_the_block(path, tmp_path):
    """Converted rows are many times a block, and are never held together."""
    shape = (1_500_000, 32)
    source = np.memmap(tmp_path / "rows", np.float32, "w+", shape=shape)
    tracemalloc.start()
    create_table(path, source, dtype="float16").close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * blocks.BLOCK_ELEMENTS * 2


def test_anything_that_slices_is_an_array(path):
    class Lazy:
        shape, dtype = ROWS.shape, "unknown to NumPy"

        def __getitem__(self, rows):
            return ROWS[rows]

    with create_table(path, Lazy()) as table:
        np.testing.assert_array_equal(table.read(np.arange(4))[0], ROWS)


def test_big_endian_rows_are_stored_little(path):
    with create_table(path, ROWS.astype(">f4")) as table:
        np.testing.assert_array_equal(table.read([1])[0], ROWS[1:2])


def test_empty_folder_is_taken(path):
    path.mkdir()
    create_table(path, ROWS).close()


def test_parents_are_made(path):
    create_table(path / "model" / "user", ROWS).close()


def test_file_url(path):
    with create_table(f"file://{path}", ROWS) as table:
        assert table.reader == "native"
    open_table(f"file://{path}").close()


@pytest.mark.parametrize("key_dtype", ["int32", np.uint32, np.dtype(np.int64), None])
def test_narrow_key_dtypes(path, key_dtype):
    keys = np.arange(4, dtype=np.int64)
    with create_table(path, ROWS, keys, key_dtype=key_dtype) as table:
        assert table.key_dtype == np.dtype(key_dtype or "int64").name


BAD_DATA = {
    "float64": (lambda: (ROWS.astype(np.float64),), {}, "'float64': choose"),
    "bool": (lambda: (ROWS > 0,), {"dtype": "float32"}, "real numbers, got dtype bool"),
    "complex": (lambda: (ROWS * 1j,), {"dtype": "float32"}, "got dtype complex"),
    "text": (lambda: (ROWS.astype(str),), {"dtype": "float32"}, "got dtype str"),
    "int8 stored": (lambda: (ROWS,), {"dtype": "int8"}, "not 'int8'"),
    "overflow": (lambda: (ROWS * 1e30,), {"dtype": "float16"}, "too large for float16"),
    "one dimension": (lambda: (ROWS[0],), {}, r"\[rows, dim\].*got \(3,\)"),
    "three dimensions": (lambda: (ROWS[None],), {}, r"got \(1, 4, 3\)"),
    "scalar": (lambda: (np.float32(1),), {}, r"got \(\)"),
    "dim 0": (lambda: (ROWS[:, :0],), {}, "dim >= 1"),
    "fewer keys": (lambda: (ROWS, [1, 2]), {}, r"each of the 4 rows.*\(2,\)"),
    "2-d keys": (lambda: (ROWS, [[1], [2], [3], [4]]), {}, r"\(4, 1\)"),
    "duplicate": (lambda: (ROWS, [7, 8, 9, 8]), {}, "key 8 .*row 1 .*row 3"),
    "int32 overflow": (
        lambda: (ROWS, [1, 2, 3, 2**31]),
        {"key_dtype": "int32"},
        "key 2147483648 does not fit key_dtype='int32'",
    ),
    "uint32 negative": (
        lambda: (ROWS, [1, 2, 3, -1]),
        {"key_dtype": "uint32"},
        "key -1 does not fit",
    ),
    "uint64 into int32": (
        lambda: (ROWS, np.array([1, 2, 3, 2**64 - 1], np.uint64)),
        {"key_dtype": "int32"},
        "key 18446744073709551615 does not fit",
    ),
    "list into int32": (
        lambda: (ROWS, [-1, 2, 3, 2**64 - 1]),
        {"key_dtype": "int32"},
        "key 18446744073709551615 does not fit",
    ),
    "default shape": (lambda: (ROWS,), {"default": [1.0, 2.0]}, "vector of 3 numbers"),
    "default text": (lambda: (ROWS,), {"default": "zero"}, "default: expected real"),
    "default overflow": (
        lambda: (ROWS,),
        {"default": 1e9, "dtype": "float16"},
        "default: a number is too large",
    ),
    "no block": (lambda: (iter([]),), {}, "gave no block.*shape \\[0, dim\\]"),
    "no pair": (lambda: (iter([ROWS]),), {}, "block 0: expected a tuple .*ndarray"),
    "nested list": (lambda: (ROWS.tolist(),), {}, "give a NumPy array"),
    "keys beside blocks": (
        lambda: (iter([(None, ROWS)]), [1, 2, 3, 4]),
        {},
        "keys belong into its",
    ),
    "not iterable": (lambda: (7,), {}, "got int"),
    "mixed": (
        lambda: ([(None, ROWS), ([1, 2, 3, 4], ROWS)],),
        {},
        "block 1: some blocks have keys",
    ),
    "other dim": (
        lambda: ([(None, ROWS), (None, ROWS[:, :2])],),
        {},
        "block 1: rows have 2 elements, the first 3",
    ),
    "other dtype": (
        lambda: ([(None, ROWS), (None, ROWS.astype(np.float16))],),
        {},
        "block 1: rows are float16, the first are float32",
    ),
    "duplicate across blocks": (
        lambda: ([([1, 2, 3, 4], ROWS), ([5, 6, 1, 7], ROWS)],),
        {},
        "key 1 .*row 0 .*row 6",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_named_and_leaves_nothing(path, case):
    arguments, options, message = BAD_DATA[case]
    with pytest.raises(TableDataError, match=message):
        create_table(path, *arguments(), **options)
    assert not path.exists()


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        ([1, 2, 3, 4.0], {}, r"keys: expected integers, got 4.0 \(float\)"),
        (np.ones(4), {}, "keys: expected integers, got an array of float64"),
        ([True, False, True, False], {}, r"got True \(bool\)"),
        (["a", "b", "c", "d"], {}, r"got 'a' \(str\)"),
        ([1, 2, 3, 2**80], {}, f"{2**80} does not fit into 64 bits"),
        ([1, 2, 3, 4], {"key_dtype": "int16"}, "key_dtype='int16': expected"),
        ([1, 2, 3, 4], {"key_dtype": np.uint64}, "takes uint64 keys"),
        ([1, 2, 3, 4], {"key_dtype": "nonsense"}, "key_dtype='nonsense'"),
    ],
)
def test_bad_keys(path, keys, options, message):
    with pytest.raises(KeyDtypeError, match=message):
        create_table(path, ROWS, keys, **options)
    assert not path.exists()


def test_failing_iterator_leaves_nothing(path):
    def pairs():
        yield None, ROWS
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        create_table(path, pairs())
    assert not path.exists()


def test_existing_table_needs_overwrite(path):
    create_table(path, ROWS).close()
    with pytest.raises(TableExistsError, match="overwrite=True"):
        create_table(path, ROWS + 1)
    np.testing.assert_array_equal(open_table(path).read([0])[0], ROWS[:1])


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_table_is_never_touched(path, overwrite):
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    (path / "v000001").mkdir()
    with pytest.raises(TableExistsError, match="never overwritten"):
        create_table(path, ROWS, overwrite=overwrite)
    assert sorted(item.name for item in path.iterdir()) == ["thesis.txt", "v000001"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_touched(path, overwrite):
    path.write_text("years of work")
    with pytest.raises(TableExistsError, match="there is a file"):
        create_table(path, ROWS, overwrite=overwrite)
    assert path.read_text() == "years of work"


PACKED = types.SimpleNamespace(to_numpy=lambda: np.array([5, 2**40 + 1, -1, 0]))
LISTS = [[1, 2**63, 3, -1], [1, 2**63, 3, 4], [2**64 - 1, 2, 3, -(2**63)]]


@pytest.mark.parametrize("keys", [PACKED, *LISTS])
def test_keys_that_are_no_arrays(path, keys):
    with create_table(path, ROWS, keys) as table:
        np.testing.assert_array_equal(table.read(keys)[0], ROWS)
        assert table.read(keys)[1].all()
        table.verify()


def test_python_ints_keep_their_bits(path):
    with create_table(path, ROWS, [1, 2**63, 2**64 - 1, 4]) as table:
        assert table.read([-(2**63), -1])[0].tolist() == ROWS[1:3].tolist()


def test_urls_are_not_written():
    with pytest.raises(TableFormatError, match="local disks only"):
        create_table("s3://bucket/table", ROWS)
    with pytest.raises(TableFormatError, match="expected a local path or a URL of"):
        open_table("ftp://host/table")


def test_reading_bad_keys(path):
    with create_table(path, ROWS) as table:
        for keys in (0.5, [True], ["a"], None):
            with pytest.raises(KeyDtypeError, match="expected integers"):
                table.read(keys)


def test_closed_table_refuses(path):
    table = create_table(path, ROWS)
    table.close()
    table.close()
    for call in (lambda: table.read([0]), table.verify):
        with pytest.raises(ClosedError, match="open it again"):
            call()


def test_a_file_is_no_table(path):
    create_table(path, ROWS).close()
    with pytest.raises(TableNotFoundError, match="MANIFEST: no table: it is a file"):
        open_table(path / "MANIFEST")
    with pytest.raises(TableNotFoundError, match="there is no such folder"):
        open_table(path / "MANIFEST" / "deeper")


def test_an_iterator_that_gives_too_many_rows(path, monkeypatch):
    monkeypatch.setattr(layout, "SHARD_BYTES", 4096)
    monkeypatch.setattr(layout, "MAX_FILES", 2)
    rows = np.zeros((512, 4), np.float32)  # two shards
    create_table(path, iter([(None, rows)])).close()
    pieces = [(None, rows), (None, rows[:1])]
    with pytest.raises(TableDataError, match=r"may have 512 rows.*as one array"):
        create_table(path, pieces, overwrite=True)
    open_table(path).verify()


def test_missing_table(path):
    with pytest.raises(TableNotFoundError, match="there is no such folder"):
        open_table(path)
    path.mkdir()
    with pytest.raises(TableNotFoundError, match="expected MANIFEST"):
        open_table(path)


def test_progress_is_logged_off_a_terminal(path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO, "jax_hps.storage"):
        create_table(path, ROWS, progress=True).close()
    assert "4 rows, " in caplog.text
    assert "100%, 0 s left" in caplog.text


def test_progress_is_a_bar_on_a_terminal(path, monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    pieces = iter([(None, ROWS)] * 3)
    create_table(path, pieces, progress=True).close()
    with contextlib.closing(create_table(path, ROWS, progress=True, overwrite=True)):
        pass
    assert "12 rows" in capfd.readouterr().err
