# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_hps.errors import CorruptTableError, TableFormatError
from jax_hps.storage import create_table, open_table
from jax_hps.storage.manifest import (
    ArrayFiles,
    BaseFiles,
    Manifest,
    decode_manifest,
    encode_manifest,
    read_manifest,
    seal,
    write_manifest,
)

ROWS = ArrayFiles(shard_rows=8, chunk_rows=2, crc32c=[1, 2])
MANIFEST = Manifest(
    uuid="an-id",
    epoch=1,
    version=3,
    dim=2,
    dtype="float16",
    kind="dense",
    key_dtype="int64",
    num_rows=10,
    default=np.float16(0.5).tobytes(),
    base=BaseFiles(folder="v000003", rows=ROWS, keys=None),
)
DATA = encode_manifest(MANIFEST)


def with_fields(**changes):
    """The manifest with other fields, and the checksum that fits them."""
    fields = json.loads(DATA) | changes
    del fields["manifest_crc32c"]
    return seal(msgspec.json.encode(fields).removesuffix(b"}") + b",\n  ")


def test_is_json_that_comes_back():
    assert json.loads(DATA)["version"] == 3
    assert decode_manifest(DATA, "MANIFEST") == MANIFEST
    assert decode_manifest(with_fields(), "MANIFEST") == MANIFEST
    assert MANIFEST.default_row().tolist() == [0.5, 0.5]


def test_is_replaced_in_one_step(tmp_path):
    assert read_manifest(tmp_path) is None
    write_manifest(tmp_path, MANIFEST)
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert [item.name for item in tmp_path.iterdir()] == ["MANIFEST"]


@given(bit=st.integers(0, 8 * len(DATA) - 1))
def test_every_flipped_bit_is_seen(bit):
    damaged = bytearray(DATA)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptTableError, match="table/MANIFEST: damaged"):
        decode_manifest(bytes(damaged), "table/MANIFEST")


@given(size=st.integers(0, len(DATA) - 1))
def test_every_truncation_is_seen(size):
    with pytest.raises(CorruptTableError, match="damaged"):
        decode_manifest(DATA[:size], "MANIFEST")


def test_future_format_is_told_apart_from_damage(path):
    create_table(path, np.zeros((1, 2), np.float32)).close()
    fields = with_fields(format_version=2, wings=True)
    (path / "MANIFEST").write_bytes(fields)
    message = "MANIFEST: format_version is 2, .* up to 1; install a newer jax_hps"
    with pytest.raises(TableFormatError, match=message):
        open_table(path)
    with pytest.raises(TableFormatError, match=message):
        create_table(path, np.zeros((1, 2), np.float32), overwrite=True)
    assert (path / "MANIFEST").read_bytes() == fields


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "format is 'another'"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"dim": 0}, "dim"),
        ({"dtype": "int8"}, "dtype"),
        ({"kind": "sparse"}, "base.keys says otherwise"),
        ({"default": "AAAA"}, "default has 3 bytes"),
        ({"num_rows": 17}, "2 shards for 17 rows"),
        ({"base": {"folder": "../v1", "rows": {}, "keys": None}}, "rows"),
    ],
)
def test_sealed_nonsense_is_refused(changes, message):
    with pytest.raises((CorruptTableError, TableFormatError), match=message):
        decode_manifest(with_fields(**changes), "MANIFEST")


def test_base_stays_in_the_table_s_folder():
    base = json.loads(DATA)["base"] | {"folder": "../../etc"}
    with pytest.raises(CorruptTableError, match=r"folder is '../../etc'"):
        decode_manifest(with_fields(base=base), "MANIFEST")
