# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`ParameterServer.warm`: the rows come into the page cache, lookups run meanwhile."""

from pathlib import Path

import numpy as np
import pytest

import jax_hps as hps
from jax_hps.testing import pagecache


def shard_files(model):
    return sorted(Path(model.spec.path).glob("v*/rows/c/*/0"))


def test_warm_reads_all_rows_into_the_page_cache(make_table, serve):
    model = make_table(64, num_rows=30_000)
    files = shard_files(model)
    pagecache.drop(*files)
    server = serve(model)
    size = sum(file.stat().st_size for file in files)
    assert pagecache.cached_bytes(*files) < size / 2
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


def test_closing_ends_the_warming(make_table, serve):
    model = make_table(64, num_rows=30_000)
    server = serve(model)
    handle = server.warm(model.name)
    server.close()
    assert handle.done
