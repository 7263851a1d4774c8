# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Killed, or out of space, at any instant: the old table or none, never half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from crash_child import NUM_ROWS

import jax_hps
from jax_hps.errors import TableNotFoundError
from jax_hps.storage import create_table, open_table

CHILD = Path(__file__).with_name("crash_child.py")


class Writer:
    """A process that writes tables in children of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(CHILD)],
            env=os.environ | {"PYTHONPATH": str(Path(jax_hps.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self, path, value, *, sparse=True, overwrite=True, **options):
        """Write a table of one value; the exit status of the process that did."""
        request = {"path": str(path), "value": value, "sparse": sparse}
        request |= {"overwrite": overwrite} | options
        print(json.dumps(request), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        return os.waitstatus_to_exitcode(status)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def writer():
    writer = Writer()
    yield writer
    writer.close()


def value_of(path):
    """The value of all rows of a sound table; None if there is no table."""
    try:
        table = open_table(path)
    except TableNotFoundError:
        return None
    with table:
        table.verify()
        assert table.num_rows == NUM_ROWS
        keys = np.arange(NUM_ROWS) * (1 if table.is_dense else 3)
        rows, found = table.read(keys)
        assert found.all()
        assert (rows == rows[0, 0]).all()
        return float(rows[0, 0])


def names(path):
    return {item.name for item in path.iterdir()}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_every_step(writer, path, overwrite, sparse):
    step, status = 0, -signal.SIGKILL
    while status:
        step += 1
        shutil.rmtree(path, ignore_errors=True)
        if overwrite:
            assert writer.write(path, 1.0, sparse=sparse) == 0
        status = writer.write(path, 2.0, sparse=sparse, overwrite=overwrite, step=step)
        assert status in (0, -signal.SIGKILL)
        # Killed after the rename, the new table is whole.
        assert value_of(path) in ({1.0, 2.0} if overwrite else {None, 2.0})
        leave_no_rubbish(writer, path, sparse=sparse)
    assert step > 10


def leave_no_rubbish(writer, path, *, sparse):
    """The next writer removes whatever the killed one left."""
    overwrite = value_of(path) is not None
    assert writer.write(path, 3.0, sparse=sparse, overwrite=overwrite) == 0
    assert value_of(path) == 3.0
    kept = names(path) - {"LOCK", "MANIFEST"}
    assert len(kept) == 1
    assert kept.pop().startswith("v")


def test_killed_at_any_time(writer, path):
    """Also inside of the compiled writer, whose steps no hook can see."""
    started = time.monotonic()
    assert writer.write(path, 0.0) == 0
    duration_s = time.monotonic() - started
    before, statuses = 0.0, set()
    for value in range(1, 61):
        delay_s = duration_s * 1.2 * value / 60
        statuses.add(writer.write(path, float(value), kill_after_s=delay_s))
        after = value_of(path)
        assert after in (before, float(value))
        before = after
    assert -signal.SIGKILL in statuses


def test_interrupted_create_says_so(writer, path):
    step = 0
    while not (path / "v000001").exists():
        step += 1
        assert writer.write(path, 1.0, step=step) == -signal.SIGKILL
    with pytest.raises(TableNotFoundError, match="create_table was interrupted"):
        open_table(path)


@pytest.mark.parametrize("file_bytes", [0, 10, 1000, 40_000, 500_000])
@pytest.mark.parametrize("overwrite", [False, True])
def test_disk_that_takes_no_more(writer, path, overwrite, file_bytes):
    if overwrite:
        assert writer.write(path, 1.0) == 0
    assert writer.write(path, 2.0, file_bytes=file_bytes) == errno.EFBIG
    if overwrite:
        assert value_of(path) == 1.0
        assert names(path) == {"LOCK", "MANIFEST", "v000001"}
    else:
        assert not path.exists()


@pytest.fixture
def small_disk(tmp_path, skip_without):
    """A file system of 4 MiB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.getuid() != 0 or not shutil.which("mount"):
        skip_without("root", "needs root to mount a small file system")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        skip_without("root", "may not mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(small_disk):
    path = small_disk / "table"
    rows = np.ones((1000, 512), np.float32)
    create_table(path, rows).close()
    with pytest.raises(OSError, match=r"No space left.*v000002/rows/c/0/0") as raised:
        create_table(path, np.tile(rows, (2, 1)), overwrite=True)
    assert raised.value.errno == errno.ENOSPC
    assert names(path) == {"LOCK", "MANIFEST", "v000001"}
    with open_table(path) as table:
        table.verify()
    with pytest.raises(OSError, match="No space left"):
        create_table(small_disk / "other", np.tile(rows, (2, 1)))
    assert names(small_disk) == {"table"}
