# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Writers and readers of one table at the same time."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from jax_hps.errors import CorruptTableError, TableLockedError
from jax_hps.storage import create_table, open_table
from jax_hps.storage.locks import acquire_writer_lock
from jax_hps.storage.manifest import read_manifest

OLD = np.full((50, 4), 1, np.float32)
NEW = np.full((70, 4), 2, np.float32)


def versions(path):
    return sorted(item.name for item in path.glob("v*"))


def test_versions_follow_each_other(path):
    create_table(path, OLD).close()
    first = read_manifest(path)
    with create_table(path, NEW, overwrite=True) as table:
        assert (table.version, table.num_rows) == (2, 70)
    second = read_manifest(path)
    assert second.uuid == first.uuid
    assert second.epoch == first.epoch + 1
    assert versions(path) == ["v000002"]


def test_overwriting_nothing_creates(path):
    with create_table(path, OLD, overwrite=True) as table:
        assert table.version == 1


def test_reader_keeps_its_version(path):
    reader = create_table(path, OLD)
    writer = create_table(path, NEW, overwrite=True)
    assert versions(path) == ["v000001", "v000002"]
    assert (reader.read(np.arange(50))[0] == 1).all()
    assert (writer.read(np.arange(70))[0] == 2).all()
    reader.verify()
    reader.close()
    create_table(path, OLD, overwrite=True).close()
    assert versions(path) == ["v000002", "v000003"]


def test_last_handle_frees_the_version(path):
    handles = [create_table(path, OLD), open_table(path)]
    handles.pop().close()
    create_table(path, NEW, overwrite=True).close()
    assert "v000001" in versions(path)
    handles.clear()
    gc.collect()
    create_table(path, NEW, overwrite=True).close()
    assert versions(path) == ["v000003"]


def test_failed_overwrite_leaves_the_old_table(path):
    create_table(path, OLD).close()
    for keys in ([1, 1], [1]):
        with pytest.raises(ValueError, match="key"):
            create_table(path, NEW[:2], keys, overwrite=True)
    assert versions(path) == ["v000001"]
    with open_table(path) as table:
        assert (table.version, table.num_rows) == (1, 50)
        table.verify()


def test_damaged_table_is_not_overwritten(path):
    """Whoever damaged it may have damaged the way back; a human decides."""
    create_table(path, OLD).close()
    (path / "MANIFEST").write_bytes(b"noise")
    with pytest.raises(CorruptTableError, match="MANIFEST"):
        create_table(path, NEW, overwrite=True)
    assert versions(path) == ["v000001"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_second_writer_is_refused(path, overwrite):
    if overwrite:
        create_table(path, OLD).close()
    at_work, done = threading.Event(), threading.Event()

    def slowly():
        yield None, NEW
        at_work.set()
        done.wait()

    def write():
        create_table(path, slowly(), overwrite=overwrite).close()

    writer = threading.Thread(target=write)
    writer.start()
    at_work.wait()
    with pytest.raises(TableLockedError, match="is writing the table"):
        create_table(path, OLD, overwrite=overwrite)
    done.set()
    writer.join()
    assert open_table(path).num_rows == 70


def test_lock_file_that_was_removed_is_no_lock(tmp_path):
    """A writer that gives up removes its lock; one that waited starts anew."""
    first = acquire_writer_lock(tmp_path / "LOCK")
    with pytest.raises(TableLockedError):
        acquire_writer_lock(tmp_path / "LOCK")
    (tmp_path / "LOCK").unlink()
    acquire_writer_lock(tmp_path / "LOCK")
    assert first >= 0


def test_readers_never_see_half_a_table(path):
    """Readers open, read and verify while the table is overwritten again and again."""
    create_table(path, np.zeros((40, 4), np.float32)).close()
    stop = threading.Event()
    seen, errors = set(), []

    def read():
        while not stop.is_set():
            try:
                with open_table(path) as table:
                    rows, found = table.read(np.arange(40))
                    assert found.all()
                    assert len(np.unique(rows)) == 1
                    assert rows[0, 0] == table.version - 1
                    table.verify()
                    seen.add(table.version)
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(1, 40):
        rows = np.full((40, 4), version, np.float32)
        create_table(path, rows, overwrite=True).close()
    stop.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert len(seen) > 3
    create_table(path, OLD, overwrite=True).close()
    assert versions(path) == [versions(path)[-1]]


OPEN_AT_EXIT = """
import sys
import numpy as np
from jax_hps.storage import create_table, open_table
rows = np.zeros((9, 2), np.float32)
tables = [create_table(sys.argv[1], rows, range(9)), open_table(sys.argv[1])]
tables[1].read([1])
"""


def test_tables_open_at_exit_are_closed_silently(path, run_python):
    assert run_python(OPEN_AT_EXIT, str(path)).stderr == ""
