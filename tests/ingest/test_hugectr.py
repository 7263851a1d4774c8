# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""HugeCTR's sparse models, in the layout that its documentation gives.

No HugeCTR is here to write them: `key` holds long longs, `emb_vector` floats.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest

from jax_hps import ingest
from jax_hps.errors import TableDataError, TableNotFoundError

pytestmark = pytest.mark.usefixtures("small_blocks")

ROWS = np.arange(400, dtype=np.float32).reshape(100, 4)
KEYS = (np.arange(100) - 50) * 2**40


@pytest.fixture
def model(tmp_path):
    """Write a model, byte by byte."""

    def write(name, keys=KEYS, rows=ROWS):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "key").write_bytes(b"".join(struct.pack("<q", key) for key in keys))
        elements = rows.reshape(-1).tolist()
        (folder / "emb_vector").write_bytes(
            struct.pack(f"<{len(elements)}f", *elements)
        )
        return folder

    return write


def test_model(model, path, check):
    check(ingest.hugectr(path, model("dcn0_sparse_2000.model"), dim=4), ROWS, KEYS)


def test_other_files_are_left_alone(model, path, check):
    """Of a localized embedding there are slots, of HPS' static tables a meta file."""
    folder = model("m")
    (folder / "slot_id").write_bytes(b"\0" * 800)
    (folder / "meta").write_bytes(b"\0" * 800)
    check(ingest.hugectr(path, folder, dim=4), ROWS, KEYS)


def test_several_models_make_one_table(model, path, check):
    parts = [model(f"m{i}", KEYS[i::3], ROWS[i::3]) for i in range(3)]
    check(ingest.hugectr(path, parts, dim=4), ROWS, KEYS)


def test_narrow_keys(model, path, check):
    keys = np.arange(100) + 2**31
    folder = model("m", keys)
    check(ingest.hugectr(path, folder, dim=4, key_dtype="uint32"), ROWS, keys)


def refused(error, message, path, folder, dim=4):
    with pytest.raises(error, match=message):
        ingest.hugectr(path, folder, dim=dim)
    assert not path.exists()


def test_wrong_dim(model, path):
    folder = model("m")
    message = "expected 3200 bytes for 100 keys and dim=8, got 1600, which is dim=4"
    refused(TableDataError, message, path, folder, dim=8)
    refused(TableDataError, "expected dim >= 1, got 0", path, folder, dim=0)


@pytest.mark.parametrize("lost", [1, 4, 15])
def test_vectors_that_were_cut_short(model, path, lost):
    folder = model("m")
    file = folder / "emb_vector"
    file.write_bytes(file.read_bytes()[:-lost])
    message = f"expected 1600 bytes .* got {1600 - lost}; one of the files was cut"
    refused(TableDataError, message, path, folder)


def test_keys_that_were_cut_short(model, path):
    folder = model("m")
    (folder / "key").write_bytes((folder / "key").read_bytes()[:-3])
    refused(TableDataError, "keys of 8 bytes, got 797 bytes: 5 too many", path, folder)
    (folder / "key").write_bytes((folder / "key").read_bytes()[:-5])
    refused(TableDataError, "1584 bytes for 99 keys and dim=4, got 1600", path, folder)


def test_no_keys(model, path):
    folder = model("m", KEYS[:0])
    refused(TableDataError, "0 bytes for 0 keys .* got 1600; one", path, folder)


def test_duplicates_across_models(model, path):
    parts = [model("m0"), model("m1", KEYS[:1], ROWS[:1])]
    refused(TableDataError, f"key {KEYS[0]} .*row 0 .*row 100", path, parts)


def test_folders_that_are_no_models(model, path, tmp_path):
    refused(TableNotFoundError, "nowhere: there is no such", path, tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(TableNotFoundError, "no file 'key'; a sparse model is", path, empty)
    (model("a0_sparse_1.model"), model("a1_sparse_1.model"))
    names = "its folders a0_sparse_1.model, a1_sparse_1.model are models"
    refused(TableNotFoundError, names, path, tmp_path)
    (tmp_path / "a0_sparse_1.model" / "emb_vector").unlink()
    missing = "there is no file 'emb_vector'"
    refused(TableNotFoundError, missing, path, tmp_path / "a0_sparse_1.model")
