# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Damaged files are named, by `open_table` or by `verify`, and never read as rows."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from jax_hps.errors import CorruptTableError
from jax_hps.storage import create_table, open_table

KEYS = np.arange(3000) * 7 - 500


@pytest.fixture
def table(path, rng, monkeypatch, small_shards):
    """The folder of a sparse table with several shards of rows and of keys."""
    rows = rng.standard_normal((3000, 32), np.float32)
    create_table(path, [(KEYS, rows)]).close()
    return path


def flip(file, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 4
    file.write_bytes(data)


def refused(table, message):
    """Check that the damage is found by opening the table, or by verifying it."""
    expected = pytest.raises(CorruptTableError, match=re.escape(message))
    with expected, open_table(table) as opened:
        opened.verify()


@pytest.mark.parametrize("place", [0, 5000, 65535])
@pytest.mark.parametrize("file", ["rows/c/0/0", "rows/c/3/0"])
def test_flipped_bit_in_data(table, file, place):
    flip(table / "v000001" / file, place)
    open_table(table).close()
    refused(table, f"{file}: its CRC-32C is")


@pytest.mark.parametrize("place", [-1, -4, -5, -100, -16 * 16])
def test_flipped_bit_in_an_index(table, place):
    flip(table / "v000001/rows/c/2/0", place)
    with pytest.raises(CorruptTableError, match="rows/c/2/0"):
        open_table(table)


def test_flipped_bit_in_keys(table):
    flip(table / "v000001/keys/c/0", 800)
    refused(table, "keys/c/0")


def test_keys_that_became_equal(table):
    file = table / "v000001/keys/c/0"
    data = bytearray(file.read_bytes())
    data[80:88] = data[8:16]
    file.write_bytes(data)
    with pytest.raises(CorruptTableError, match=r"keys: key -493 .*row 1 .*row 10"):
        open_table(table)


@pytest.mark.parametrize("file", ["rows/c/1/0", "keys/c/0"])
@pytest.mark.parametrize("size", [0, 3, 4096, -1])
def test_truncated_shard(table, file, size):
    file = table / "v000001" / file
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CorruptTableError, match=re.escape(str(file))):
        open_table(table)


def test_longer_shard(table):
    file = table / "v000001/rows/c/1/0"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CorruptTableError, match=re.escape(str(file))):
        open_table(table)


def test_shards_swapped(table):
    """Each is sound in itself."""
    folder = table / "v000001/rows/c"
    for old, new in ((0, "x"), (1, 0), ("x", 1)):
        (folder / str(old)).rename(folder / str(new))
    refused(table, "rows/c/0/0: its CRC-32C is")


@pytest.mark.parametrize("file", ["rows/c/1/0", "keys/c/0", "rows/zarr.json"])
def test_missing_file(table, file):
    (table / "v000001" / file).unlink()
    with pytest.raises(CorruptTableError, match=f"{file}: the file is missing"):
        open_table(table)


def test_missing_version(table):
    shutil.rmtree(table / "v000001")
    with pytest.raises(CorruptTableError, match="v000001: the folder is missing"):
        open_table(table)


@pytest.mark.parametrize("array", ["rows", "keys"])
def test_every_flipped_bit_in_zarr_json_is_seen_or_harmless(table, array):
    file = table / "v000001" / array / "zarr.json"
    sound = file.read_bytes()
    with open_table(table) as unharmed:
        for place in range(0, len(sound), 7):
            flip(file, place)
            try:
                unharmed.verify()
                with open_table(table) as t:
                    t.read(KEYS[:1])
            except CorruptTableError as error:
                assert f"{array}/zarr.json" in str(error)  # noqa: PT017
            file.write_bytes(sound)


def test_zarr_json_of_another_array(table):
    folder = table / "v000001"
    shutil.copy(folder / "keys/zarr.json", folder / "rows/zarr.json")
    with pytest.raises(CorruptTableError, match=r"rows/zarr\.json: describes another"):
        open_table(table)


def test_damaged_manifest(table):
    t = open_table(table)
    flip(table / "MANIFEST", 300)
    for call in (t.verify, lambda: open_table(table)):
        with pytest.raises(CorruptTableError, match="MANIFEST: damaged"):
            call()


def test_damage_after_opening(table):
    with open_table(table) as t:
        flip(table / "v000001/keys/c/0", 8)
        with pytest.raises(CorruptTableError, match="keys/c/0: its CRC-32C is"):
            t.verify()
        (table / "v000001/keys/c/0").unlink()
        with pytest.raises(CorruptTableError, match="keys/c/0: the file is missing"):
            t.verify()
