# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Files of the safetensors library."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import jax_hps as hps
from jax_hps import ingest
from jax_hps.errors import (
    CorruptTableError,
    KeyDtypeError,
    TableDataError,
    TableFormatError,
    TableNotFoundError,
)

pytestmark = pytest.mark.usefixtures("small_blocks")

ROWS = np.arange(600, dtype=np.float32).reshape(200, 3)
IDS = np.arange(200) * 2**33
INDEX = "model.safetensors.index.json"


@pytest.fixture
def file(tmp_path):
    tensors = {
        "bias": np.ones(7, np.float32),
        "embedding.weight": ROWS,
        "half": ROWS.astype(np.float16),
        "brain": ROWS.astype(ml_dtypes.bfloat16),
        "eight": (ROWS % 16).astype(ml_dtypes.float8_e4m3fn),
        "ids": IDS,
        "small_ids": np.arange(200, dtype=np.int32),
        "cube": ROWS.reshape(200, 3, 1),
        "empty": ROWS[:0],
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "np"})
    return tmp_path / "model.safetensors"


@pytest.fixture
def sharded(tmp_path):
    """A set of files with an index, as model hubs have them."""
    folder = tmp_path / "set"
    folder.mkdir()
    first, second = (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    )
    save_file({"embedding.weight": ROWS}, folder / first)
    save_file({"ids": IDS, "bias": ROWS}, folder / second)
    weight_map = {"embedding.weight": first, "ids": second, "lost": "gone.safetensors"}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", ["embedding.weight", "half", "brain", "empty"])
def test_dtypes_of_tables(file, path, check, name):
    with ingest.safetensors(path, file, rows=name) as table:
        expected = {"half": np.float16, "brain": ml_dtypes.bfloat16}
        assert table.dtype == expected.get(name, np.float32)
    rows = ROWS[:0] if name == "empty" else ROWS.astype(table.dtype)
    check(hps.open_table(path), rows)


def test_eight_bits_are_converted(file, path, check):
    with pytest.raises(TableDataError, match="choose one with dtype="):
        ingest.safetensors(path, file, rows="eight")
    check(ingest.safetensors(path, file, rows="eight", dtype="float16"), ROWS % 16)


@pytest.mark.parametrize(
    "given",
    ["ids", IDS, IDS.tolist(), hps.keys],
    ids=["name", "array", "list", "packed"],
)
def test_keys(file, path, check, given):
    keys = given(IDS) if callable(given) else given
    table = ingest.safetensors(path, file, rows="embedding.weight", keys=keys)
    check(table, ROWS, IDS)


def test_keys_of_all_sizes(file, path):
    keys = [2**63, *range(199)]
    with ingest.safetensors(path, file, rows="brain", keys=keys) as table:
        assert table.read(2**63)[1]


def test_narrow_keys(file, path, check):
    table = ingest.safetensors(
        path, file, rows="half", keys="small_ids", key_dtype="int32"
    )
    check(table, ROWS, np.arange(200))


def test_sets(sharded, path, check):
    names = {"rows": "embedding.weight", "keys": "ids", "overwrite": True}
    for files in (sharded, sharded / INDEX, sorted(sharded.glob("*.safetensors"))):
        check(ingest.safetensors(path, files, **names), ROWS, IDS)
    (sharded / INDEX).unlink()
    check(ingest.safetensors(path, sharded, **names), ROWS, IDS)


def refused(error, message, path, files, **options):
    with pytest.raises(error, match=message):
        ingest.safetensors(path, files, **options)
    assert not path.exists()


def test_missing_tensors_name_those_there_are(file, path, sharded):
    message = "no tensor 'embeding.weight', but 'embedding.weight', "
    refused(TableNotFoundError, message, path, file, rows="embeding.weight")
    refused(TableNotFoundError, message, path, sharded, rows="embeding.weight")
    files = sorted(sharded.glob("*.safetensors"))
    refused(TableNotFoundError, message, path, files, rows="embeding.weight")
    refused(TableNotFoundError, "no tensor 'idz'", path, file, rows="half", keys="idz")


def test_many_tensors_are_not_all_listed(tmp_path, path):
    one = np.ones((1, 1), np.float32)
    save_file({f"layer.{i}": one for i in range(50)}, tmp_path / "many.safetensors")
    message = "'layer.7'.* and 30 more"
    refused(
        TableNotFoundError, message, path, tmp_path / "many.safetensors", rows="l.7"
    )


def test_missing_files(path, sharded, tmp_path):
    refused(TableNotFoundError, "no such file", path, tmp_path / "no", rows="x")
    refused(TableNotFoundError, "gone.safetensors.*names", path, sharded, rows="lost")
    (tmp_path / "none").mkdir()
    refused(TableNotFoundError, r"no file \*.safe", path, tmp_path / "none", rows="x")


def test_shapes(file, path):
    refused(TableDataError, r"'bias': expected rows .*\(7,\)", path, file, rows="bias")
    refused(TableDataError, r"got \(200, 3, 1\)", path, file, rows="cube")
    keys = {"rows": "half", "keys": IDS[:-1]}
    refused(TableDataError, r"keys: expected one key .*\(199,\)", path, file, **keys)
    keys = {"rows": "half", "keys": "bias"}
    refused(KeyDtypeError, "'bias': expected integers", path, file, **keys)


def test_keys_that_jax_has_cut(file, path):
    keys = hps.keys(IDS).data[:, 0]
    refused(KeyDtypeError, "may have lost", path, file, rows="half", keys=keys)


def test_cut_short(file, path):
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    last = max(tensors_of(whole).items(), key=lambda item: item[1]["data_offsets"])[0]
    refused(CorruptTableError, "cut short", path, file, rows=last)
    for length in (0, 7, 8, 100):
        file.write_bytes(whole[:length])
        refused(TableFormatError, "no safetensors file", path, file, rows="half")


def tensors_of(encoded):
    length = int.from_bytes(encoded[:8], "little")
    tensors = json.loads(encoded[8 : 8 + length])
    tensors.pop("__metadata__", None)
    return tensors


def write_header(file, header):
    encoded = json.dumps(header).encode()
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"\0" * 64)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"data_offsets": [0, 15]}, CorruptTableError, "takes 16 bytes.*0 to 15"),
        ({"data_offsets": [-8, 8]}, CorruptTableError, "bytes -8 to 8"),
        ({"data_offsets": [60, 76]}, CorruptTableError, "cut short"),
        ({"shape": [-2, -2]}, CorruptTableError, r"shape \(-2, -2\)"),
        ({"dtype": "F4"}, TableFormatError, "one of F64.*got F4"),
        ({"dtype": 4}, TableFormatError, "no such JSON"),
        ({"shape": "2x2"}, TableFormatError, "no such JSON"),
    ],
)
def test_headers_that_lie(tmp_path, path, entry, error, message):
    good = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    write_header(tmp_path / "x.safetensors", {"x": good | entry})
    refused(error, message, path, tmp_path / "x.safetensors", rows="x")


def test_a_header_of_terabytes_is_not_read(tmp_path, path):
    (tmp_path / "x").write_bytes((2**40).to_bytes(8, "little") + b"{}")
    refused(TableFormatError, f"{2**40} bytes long", path, tmp_path / "x", rows="x")


def test_an_index_that_is_none(sharded, path):
    (sharded / INDEX).write_text("[]")
    refused(TableFormatError, "no index", path, sharded, rows="embedding.weight")
