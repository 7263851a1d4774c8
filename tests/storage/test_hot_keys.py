# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Hot keys come back as they were saved, or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import struct
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_hps import _native
from jax_hps.errors import CorruptTableError, TableDataError, TableFormatError
from jax_hps.storage.hot_keys import (
    ABANDONED_AFTER_S,
    HotKeys,
    decode,
    encode,
    load_hot_keys,
    save_hot_keys,
)

UUID = "an-id"
INT64 = np.iinfo(np.int64)


def hot_keys(keys, counts, table_uuid=UUID):
    return HotKeys(np.array(keys, np.int64), np.array(counts, np.uint8), table_uuid)


HOT = hot_keys([7, INT64.min, INT64.max, -1, 0], [15, 9, 9, 1, 0])
OLD = hot_keys([1, 2], [2, 1])
DATA = encode(HOT)


def assert_same(hot, expected):
    assert hot is not None
    assert hot.table_uuid == expected.table_uuid
    np.testing.assert_array_equal(hot.keys, expected.keys, strict=True)
    np.testing.assert_array_equal(hot.counts, expected.counts, strict=True)


def sealed(body):
    """The body of a file with the checksum that fits it."""
    return body + struct.pack("<I", _native.crc32c(body))


def file_of(header, rest=b"", *, version=1):
    """A sealed file of any header and any bytes behind it."""
    prefix = b"hps_hot\n" + struct.pack("<II", version, len(header))
    return sealed(prefix + header + rest)


def names(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "item.hot"


def abandoned(path, digit="0"):
    """The temporary file of a saver that was killed."""
    temporary = path.with_name(f"{path.name}.{digit * 32}.tmp")
    temporary.write_bytes(DATA[:20])
    return temporary


@pytest.mark.parametrize("n", [0, 1, 100_000])
def test_come_back(n, path, rng):
    keys = rng.integers(INT64.min, INT64.max, n, endpoint=True)
    counts = np.sort(rng.integers(0, 16, n, np.uint8))[::-1]
    save_hot_keys(path, hot_keys(keys, counts))
    assert_same(load_hot_keys(path, table_uuid=UUID), hot_keys(keys, counts))
    assert names(path.parent) == [path.name]


@given(
    items=st.lists(st.tuples(st.integers(INT64.min, INT64.max), st.integers(0, 15))),
    table_uuid=st.text(),
)
def test_any_keys_and_counts_come_back(items, table_uuid):
    keys, counts = [k for k, _ in items], [c for _, c in items]
    hot = hot_keys(keys, counts, table_uuid)
    assert_same(decode(encode(hot)), hot)


def test_strided_arrays_come_back():
    keys, counts = np.arange(9)[::-2], np.arange(9, dtype=np.uint8)[::-2]
    assert_same(decode(encode(HotKeys(keys, counts, UUID))), hot_keys(keys, counts))


def test_arrays_are_aligned_and_the_caller_s_own():
    hot = decode(DATA)
    for array in (hot.keys, hot.counts):
        assert array.flags.aligned
        assert array.flags.writeable
        assert array.flags.owndata


def test_format_is_the_one_that_is_documented():
    header = json.dumps({"table_uuid": UUID, "count": 5}, separators=(",", ":"))
    rest = struct.pack("<5q5B", 7, INT64.min, INT64.max, -1, 0, 15, 9, 9, 1, 0)
    assert file_of(header.encode(), rest) == DATA


def test_missing_file_is_none(path):
    assert load_hot_keys(path, table_uuid=UUID) is None
    assert load_hot_keys(path / "below", table_uuid=UUID) is None
    path.write_bytes(DATA)
    assert load_hot_keys(path / "below", table_uuid=UUID) is None


def test_another_table_s_keys_are_none(path):
    save_hot_keys(path, HOT)
    assert load_hot_keys(path, table_uuid="another-id") is None
    assert_same(load_hot_keys(path, table_uuid=UUID), HOT)


@pytest.mark.parametrize(
    ("keys", "counts", "message"),
    [
        (np.zeros(2, np.int32), np.zeros(2, np.uint8), r"keys are int32 \[2\]"),
        (np.zeros((2, 1), np.int64), np.zeros(2, np.uint8), r"keys are int64 \[2, 1\]"),
        (np.zeros(2, np.int64), np.zeros(2, np.int8), r"counts are int8 \[2\]"),
        (np.zeros(2, np.int64), np.zeros(3, np.uint8), "2 keys with 3 counts"),
        (np.zeros(2, np.int64), np.array([0, 16], np.uint8), "count is 16, .* 0 to 15"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(keys, counts, message):
    with pytest.raises(TableDataError, match=message):
        HotKeys(keys, counts, UUID)


@given(data=st.binary() | st.binary().map(lambda rest: b"hps_hot\n" + rest))
def test_any_bytes_are_refused(data):
    with pytest.raises(CorruptTableError, match="damaged"):
        decode(data)


@given(place=st.integers(0, len(DATA) - 1), flip=st.integers(1, 255))
def test_every_changed_byte_is_seen(place, flip):
    damaged = bytearray(DATA)
    damaged[place] ^= flip
    with pytest.raises(CorruptTableError, match=r"item\.hot: damaged"):
        decode(bytes(damaged), "item.hot")


@given(size=st.integers(0, len(DATA) - 1))
def test_every_truncation_is_seen(size):
    with pytest.raises(CorruptTableError, match="damaged"):
        decode(DATA[:size])


@given(more=st.binary(min_size=1))
def test_every_addition_is_seen(more):
    with pytest.raises(CorruptTableError, match="damaged"):
        decode(DATA + more)


@given(
    version=st.sampled_from([1, 1, 1, 2]),
    header=st.binary()
    | st.fixed_dictionaries(
        {"table_uuid": st.text() | st.none(), "count": st.integers() | st.floats()}
    ).map(lambda fields: json.dumps(fields).encode()),
    header_bytes=st.none() | st.integers(0, 2**32 - 1),
    rest=st.binary(),
)
def test_sealed_nonsense_is_refused_or_means_what_it_says(
    version, header, header_bytes, rest
):
    length = len(header) if header_bytes is None else header_bytes
    body = b"hps_hot\n" + struct.pack("<II", version, length) + header + rest
    try:
        hot = decode(sealed(body))
    except (CorruptTableError, TableFormatError):
        return
    assert 9 * len(hot.keys) == len(rest)
    assert version == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (file_of(b"{"), "header: Input data was truncated"),
        (file_of(b'{"count":0,"table_uuid":"\xff"}'), "header: 'utf-8' codec"),
        (file_of(b'{"count":0}'), "missing required field `table_uuid`"),
        (file_of(b'{"table_uuid":"","count":0,"x":1}'), "unknown field `x`"),
        (file_of(b'{"table_uuid":"","count":-1}'), "count"),
        (file_of(b'{"table_uuid":"","count":1}', bytes(8)), "1 hot keys take 56 "),
        (file_of(b'{"table_uuid":"","count":0}', bytes(9)), "0 hot keys take 47 "),
        (file_of(b'{"table_uuid":"","count":4000000000000000000}'), "hot keys take 36"),
        (file_of(b'{"table_uuid":"","count":1}', b"\x10" * 9), "a count is 16"),
        (sealed(b"hps_hot\n" + struct.pack("<II", 1, 2**32 - 1)), "header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sealed_nonsense_is_named(data, message, path):
    path.write_bytes(data)
    with pytest.raises(CorruptTableError, match=rf"item\.hot: .*{message}"):
        load_hot_keys(path, table_uuid=UUID)


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_format_is_told_apart_from_damage(version, path):
    path.write_bytes(file_of(b"anything", b"at all", version=version))
    message = rf"item\.hot: format version is {version}, .* reads 1; install a newer"
    with pytest.raises(TableFormatError, match=message):
        load_hot_keys(path, table_uuid=UUID)


def test_damaged_file_is_replaced(path):
    path.write_bytes(DATA[:-1])
    save_hot_keys(path, HOT)
    assert_same(load_hot_keys(path, table_uuid=UUID), HOT)


def test_what_killed_savers_left_is_no_hot_keys(path):
    abandoned(path)
    assert load_hot_keys(path, table_uuid=UUID) is None
    save_hot_keys(path, HOT)
    assert_same(load_hot_keys(path, table_uuid=UUID), HOT)


def test_what_killed_savers_left_goes_in_time(path):
    others = [
        abandoned(path.with_name("another.hot")),
        abandoned(path.with_name("item-hot")),  # "." in a name is but a "."
        path.with_name("item.hot.tmp"),
        path.with_name(f"item.hot.{'z' * 32}.tmp"),
    ]
    long_ago = time.time() - ABANDONED_AFTER_S - 60
    for file in [abandoned(path), *others]:
        file.touch()
        os.utime(file, (long_ago, long_ago))
    recent = abandoned(path, "1")
    save_hot_keys(path, HOT)
    assert names(path.parent) == sorted(f.name for f in [path, recent, *others])


KILLED_SAVER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from jax_hps.storage.hot_keys import HotKeys, save_hot_keys

def hook(event, arguments):
    if event == "os.rename":
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
hot = HotKeys(np.arange(9), np.ones(9, np.uint8), "an-id")
save_hot_keys(Path(sys.argv[1]), hot)
"""


def test_killed_saver_leaves_the_file_as_it_was(path, run_python):
    save_hot_keys(path, OLD)
    done = run_python(KILLED_SAVER, str(path), check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(names(path.parent)) == 2
    assert_same(load_hot_keys(path, table_uuid=UUID), OLD)
    save_hot_keys(path, HOT)
    assert_same(load_hot_keys(path, table_uuid=UUID), HOT)


@contextlib.contextmanager
def files_limited_to(size):
    """A limit on the size of files that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_failed_write_leaves_the_file_as_it_was(path):
    save_hot_keys(path, OLD)
    big = hot_keys(np.arange(10_000), np.ones(10_000))
    with files_limited_to(4096), pytest.raises(OSError, match=r"item\.hot'") as raised:
        save_hot_keys(path, big)
    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(path)
    assert names(path.parent) == [path.name]
    assert_same(load_hot_keys(path, table_uuid=UUID), OLD)


@contextlib.contextmanager
def without_root_s_rights():
    """Meet the permissions of files, in this thread, even as root."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsuid(65534)
    try:
        yield
    finally:
        libc.setfsuid(0)


def test_read_only_folder_names_the_file():
    # Not tmp_path: nobody but its owner gets into that one.
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "item.hot")
        path.write_bytes(DATA)
        Path(name).chmod(0o555)
        with without_root_s_rights(), pytest.raises(PermissionError) as raised:
            save_hot_keys(path, OLD)
        assert raised.value.filename == str(path)
        assert path.read_bytes() == DATA
        Path(name).chmod(0o755)


def test_missing_folder_names_the_file(path):
    with pytest.raises(FileNotFoundError) as raised:
        save_hot_keys(path / "item.hot", HOT)
    assert raised.value.filename == str(path / "item.hot")


def of_one_value(value, n):
    """Hot keys that cannot be a mixture of those of two savers unnoticed."""
    return hot_keys(np.full(n, value), np.full(n, value % 16))


def assert_of_one_value(hot):
    value = hot.keys[0]
    assert_same(hot, of_one_value(value, 1000 * (value + 1)))


def test_threads_save_the_same_file(path):
    together = threading.Barrier(8)

    def save(value):
        together.wait(timeout=60)
        for _ in range(10):
            save_hot_keys(path, of_one_value(value, 1000 * (value + 1)))
            assert_of_one_value(load_hot_keys(path, table_uuid=UUID))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))
    assert_of_one_value(load_hot_keys(path, table_uuid=UUID))
    assert names(path.parent) == [path.name]


SAVER = """
import sys
from pathlib import Path
import numpy as np
from jax_hps.storage.hot_keys import HotKeys, load_hot_keys, save_hot_keys

path, value = Path(sys.argv[1]), int(sys.argv[2])
n = 1000 * (value + 1)
hot = HotKeys(np.full(n, value), np.full(n, value, np.uint8), "an-id")
for _ in range(100):
    save_hot_keys(path, hot)
    there = load_hot_keys(path, table_uuid="an-id")
    assert len(there.keys) == 1000 * (there.keys[0] + 1)
"""


def test_processes_save_the_same_file(path, run_python):
    with ThreadPoolExecutor(3) as pool:
        savers = [pool.submit(run_python, SAVER, str(path), str(v)) for v in range(3)]
        while not all(saver.done() for saver in savers):
            hot = load_hot_keys(path, table_uuid=UUID)
            if hot is not None:
                assert_of_one_value(hot)
            time.sleep(0.001)
        for saver in savers:
            saver.result()
    assert_of_one_value(load_hot_keys(path, table_uuid=UUID))
    assert names(path.parent) == [path.name]
