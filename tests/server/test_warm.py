# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`ParameterServer.warm`: the rows come into the page cache, lookups run meanwhile."""

import threading
from pathlib import Path

import numpy as np
import pytest

import jax_hps as hps
from jax_hps.testing import pagecache
from jax_hps.warming import PageCacheWork, Warming


def shard_files(model):
    return sorted(Path(model.spec.path).glob("v*/rows/c/*/0"))


def test_warm_reads_all_rows_into_the_page_cache(make_table, serve, skip_without):
    model = make_table(64, num_rows=30_000)
    files = shard_files(model)
    pagecache.drop(*files)
    server = serve(model)
    size = sum(file.stat().st_size for file in files)
    if pagecache.cached_bytes(*files) > size / 2:
        skip_without("disk", "this file system keeps its files in memory")
    handle = server.warm(model.name)
    rows = hps.lookup(server.table(model.name), model.keys[:100])
    handle.wait(timeout_s=60)
    assert handle.done
    assert handle.bytes_done == handle.bytes_total
    assert pagecache.cached_bytes(*files) >= handle.bytes_total
    np.testing.assert_array_equal(rows, model.rows[:100])
    np.testing.assert_array_equal(
        hps.lookup(server.table(model.name), model.keys), model.rows
    )


def test_warm_of_an_unknown_table_is_refused(serve):
    with pytest.raises(hps.TableNotFoundError, match="nobody"):
        serve().warm("nobody")


class SlowRows:
    """Rows of ten files, each of which takes until `proceed` is set."""

    num_files = 10
    mapped_bytes = 10
    row_bytes = 1

    def __init__(self):
        self.proceed = threading.Event()
        self.began = threading.Event()

    def file_bytes(self, file):
        return 1

    def warm(self, file, begin, length):
        self.began.set()
        self.proceed.wait(10)
        return 1


def test_a_cancelled_warming_stops_and_says_so():
    rows = SlowRows()
    handle = Warming("test", PageCacheWork(rows))
    rows.began.wait(10)
    with pytest.raises(hps.DeadlineError, match="0 of 10 bytes"):
        handle.wait(timeout_s=0.01)
    threading.Timer(0.1, rows.proceed.set).start()
    handle.cancel()
    assert handle.done
    assert handle.bytes_done < handle.bytes_total
    with pytest.raises(hps.ClosedError, match="stopped after"):
        handle.wait()


def test_closing_ends_the_warming(make_table, serve):
    model = make_table(64, num_rows=30_000)
    server = serve(model)
    opened = server._tables[model.name]
    handle = server.warm(model.name)
    server.close()
    assert handle.done
    with pytest.raises(hps.ClosedError):
        opened.warm()
