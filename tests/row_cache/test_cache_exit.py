# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A process may end while rows are on their way into a cache, and lookups run."""

import numpy as np
import pytest
from cache_checks import on_base, saved_hot_keys

import jax_hps as hps

PROGRAM = """
import sys, threading
import jax, numpy as np
import jax_hps as hps
from jax_hps import warm_start

warm_start.KEYS_PER_STEP = 1  # as slow as it gets
path, hot_keys, show = sys.argv[1:]
cache = hps.CacheSpec(fraction=1.0)
spec = hps.TableSpec(name="t", path=path, row_cache=cache, hot_keys=hot_keys)
server = hps.ParameterServer(spec)
table = server.table("t")
if show == "show":
    server.warm("t").cancel()  # the one that shows nothing
warming = server.warm("t", progress=show == "show")
find = jax.jit(lambda keys: hps.lookup(table, keys))
random = np.random.default_rng(1)
asked = [hps.keys(random.integers(0, 20_000, 64)) for _ in range(8)]
begun = threading.Barrier(3)

def look_up():
    find(asked[0]).block_until_ready()
    begun.wait()
    while True:
        try:
            for keys in asked:
                find(keys).block_until_ready()
        except Exception as error:  # closed at exit
            assert "not open" in str(error) or "closed" in str(error), error
            return

for _ in range(2):
    threading.Thread(target=look_up, daemon=True).start()
begun.wait()
for keys in asked:
    find(keys)  # dispatched and forgotten
assert not warming.done
"""


@pytest.fixture
def model(make_table):
    return make_table(4, num_rows=20_000, sparse=False)


@pytest.mark.parametrize(("base", "show"), [("zstd", "hide"), ("mapped", "show")])
def test_exit_while_rows_come_in(model, serve, run_python, tmp_path, base, show):
    hot = tmp_path / "hot"
    model = on_base(model, base, row_cache=hps.CacheSpec(rows=40_000), hot_keys=hot)
    server = serve(model)
    hps.lookup(server.table(model.name), np.arange(20_000)).block_until_ready()
    server.close()
    before = saved_hot_keys(hot)

    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}
    env = terminal if show == "show" else {}
    done = run_python(PROGRAM, model.spec.path, str(hot), show, **env)
    if show == "show":
        assert "warm default/default/t" in done.stderr
        assert "Error" not in done.stderr
    else:
        assert done.stderr == ""
    after = saved_hot_keys(hot)  # whole, and of the same table
    assert after.table_uuid == before.table_uuid
    assert np.isin(after.keys, np.arange(20_000)).all()
