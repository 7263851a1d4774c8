# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Reading ahead, and arrays that change while they are read."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from jax_hps.errors import CorruptTableError
from jax_hps.ingest import streams
from jax_hps.ingest.arrays import FileArray, HeldArray
from jax_hps.ingest.streams import Part, write_blocks, write_parts

ROWS = np.arange(4000, dtype=np.float32).reshape(1000, 4)


def ingest_threads():
    return [t for t in threading.enumerate() if t.name.startswith("jax_hps_ingest")]


@pytest.mark.parametrize("readers", [1, 2, 3, 7])
@pytest.mark.parametrize("multiple", [1, 10, 300, 5000])
def test_blocks_keep_their_order(path, check, monkeypatch, readers, multiple):
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(streams, "MAX_READERS", readers)
    cuts = [0, 1, 1, 400, 1000]
    parts = [
        Part(HeldArray("rows", ROWS[start:stop]), None)
        for start, stop in itertools.pairwise(cuts)
    ]
    check(write_parts(path, parts, {}, multiple=multiple), ROWS)


def test_no_more_than_so_much_is_read_ahead(path, monkeypatch):
    """However slow the writer: what is read and not yet written is bounded."""
    monkeypatch.setattr(streams, "AHEAD_BYTES", 40)
    read, written = [], []

    def reader():
        for number in range(50):
            read.append(number)
            assert len(read) - len(written) <= 4 + 2  # ahead, being read, being written
            yield None, ROWS[:1]

    by_turns = streams._by_turns

    def slow(lanes):
        for block in by_turns(lanes):
            threading.Event().wait(0.002)
            yield block
            written.append(block)

    monkeypatch.setattr(streams, "_by_turns", slow)
    write_blocks(path, [reader()], {}, expected_rows=50, block_bytes=10).close()
    assert len(written) == 50


def test_a_reader_that_fails_is_heard_and_all_threads_end(path):
    def reader(number):
        for block in range(10):
            if (number, block) == (1, 3):
                raise ZeroDivisionError
            yield None, ROWS[:1]

    with pytest.raises(ZeroDivisionError):
        write_blocks(path, [reader(i) for i in range(3)], {}, expected_rows=30)
    assert not path.exists()
    assert not ingest_threads()


def test_wrong_hopes_of_how_many_rows_come(path, check):
    for expected in (0, 5, 10**6):
        blocks = iter([(None, ROWS[:600]), (None, ROWS[600:])])
        options = {"overwrite": True}
        check(write_blocks(path, [blocks], options, expected_rows=expected), ROWS)


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path):
    ROWS.tofile(tmp_path / "rows")
    with open(tmp_path / "rows", "rb+", buffering=0) as file:
        array = FileArray("rows", file, offset=0, shape=ROWS.shape, dtype=ROWS.dtype)
        np.testing.assert_array_equal(array.read_range(3, 999), ROWS[3:999])
        assert array.read_range(7, 7).shape == (0, 4)
        file.truncate(8000)
        with pytest.raises(
            CorruptTableError, match="ends at byte 8000, while it is read"
        ):
            array.read_range(0, 1000)
