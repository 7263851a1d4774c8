# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups next to what comes and goes: threads, servers, tables, the interpreter."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax_checks import CALL_ERRORS, assert_same

import jax_hps as hps

START = """
import threading, time
import jax, numpy as np
import jax_hps as hps
rows = np.arange(8, dtype=np.float32)[:, None]
hps.create_table("table", rows, overwrite=True).close()
server = hps.ParameterServer([hps.TableSpec(name="t", path="table")])
table = server.table("t")
find = jax.jit(lambda k: hps.lookup(table, k))
keys = hps.keys(np.arange(4096) % 8)
assert find(keys).sum() == 4096 / 8 * 28
"""


def test_many_threads(served):
    table, model = served(dtype="bfloat16", default=1.0)
    find = jax.jit(lambda k: hps.lookup(table, k))
    ids = np.append(model.keys, model.unknown)
    start = threading.Barrier(16)

    def work(seed):
        random = np.random.default_rng(seed)
        start.wait()
        for _ in range(10):
            for look_up in (find, lambda k: hps.lookup(table, k)):
                batch = random.choice(ids, 64)
                assert_same(look_up(hps.keys(batch)), model.answer(batch))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


def test_tables_are_removed_and_added_while_lookups_run(make_table, serve):
    stays, comes_and_goes = make_table(), make_table()
    server = serve(stays, comes_and_goes)
    find = jax.jit(lambda k, t: hps.lookup(t, k), static_argnums=1)
    table = server.table(stays.name)
    stop = threading.Event()

    def look_up():
        while not stop.is_set():
            assert_same(find(hps.keys(stays.keys), table), stays.rows)

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(look_up) for _ in range(4)]
        for _ in range(20):
            server.remove_table(comes_and_goes.name)
            server.add_table(comes_and_goes.spec)
        stop.set()
        for worker in workers:
            worker.result()
    other = server.table(comes_and_goes.name)
    assert_same(find(hps.keys(comes_and_goes.keys), other), comes_and_goes.rows)


def test_several_servers_with_tables_of_one_name(make_table, serve):
    models = [make_table(4, name="user") for _ in range(3)]
    tables = [serve(model).table("user") for model in models]
    find = jax.jit(lambda k: [hps.lookup(table, k) for table in tables])
    ids = np.concatenate([model.keys[:5] for model in models])
    for rows, model in zip(find(hps.keys(ids)), models, strict=True):
        assert_same(rows, model.answer(ids))


def test_after_close(served, serve, make_table):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    find = jax.jit(lambda k: hps.lookup(table, k))
    keys = hps.keys(model.keys)
    assert_same(find(keys), model.rows)
    server.close()
    with pytest.raises(hps.ClosedError, match=model.name):
        hps.lookup(table, keys)
    with pytest.raises(hps.ClosedError, match=model.name):
        jax.jit(lambda k: hps.lookup(table, k) + 1)(keys)
    with pytest.raises(CALL_ERRORS, match=f"{model.name}.*open"):
        jax.block_until_ready(find(keys))


def test_a_compiled_program_finds_the_next_server_of_its_name(make_table, serve):
    old, new = make_table(4, name="same"), make_table(4, name="same")
    server = serve(old)
    table = server.table("same")
    find = jax.jit(lambda k: hps.lookup(table, k))
    assert_same(find(hps.keys(old.keys)), old.rows)
    server.close()
    assert serve(new, name=server.name).table("same") == table
    assert_same(find(hps.keys(new.keys)), new.rows)


def test_a_program_compiled_for_another_dim_is_refused(make_table, serve):
    old, new = make_table(4, name="same"), make_table(6, name="same")
    server = serve(old)
    table = server.table("same")
    find = jax.jit(lambda k: hps.lookup(table, k))
    keys = hps.keys(old.keys)
    find(keys)
    server.close()
    serve(new, name=server.name)
    with pytest.raises(CALL_ERRORS, match="same"):
        jax.block_until_ready(find(keys))


def test_a_removed_table(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    find = jax.jit(lambda k: hps.lookup(table, k))
    keys = hps.keys(model.keys)
    find(keys)
    server.remove_table(model.name)
    with pytest.raises(hps.TableNotFoundError, match=model.name):
        hps.lookup(table, keys)
    with pytest.raises(CALL_ERRORS, match=model.name):
        jax.block_until_ready(find(keys))
    server.add_table(model.spec)
    assert_same(find(keys), model.rows)


def test_a_closed_table_does_not_end_a_program_of_several_devices(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    keys = jax.device_put(hps.keys(model.keys[:64]), NamedSharding(mesh, P("x")))
    find = jax.jit(lambda k: hps.lookup(table, k).sum())  # all-reduce
    find(keys)
    server.remove_table(model.name)
    assert find(keys) == 0
    with pytest.raises(hps.ClosedError, match=model.name):
        server.check()


def test_exit_without_close(run_python):
    assert run_python(START).stderr == ""


def test_exit_while_lookups_run(run_python):
    done = run_python(
        START
        + """
def look_up():
    until = time.monotonic() + 1
    while time.monotonic() < until:
        rows = find(keys)
    jax.block_until_ready(rows)

for _ in range(4):
    threading.Thread(target=look_up).start()
for _ in range(50):
    find(keys)  # dispatched and forgotten
"""
    )
    # The server closes when the main thread's atexit hooks run, after all threads.
    assert done.stderr == ""


def test_lookup_in_an_atexit_hook(run_python):
    code = START.replace(
        "import jax_hps as hps",
        """import jax_hps as hps, atexit
@atexit.register
def last():  # runs before jax_hps closes its servers, which was imported earlier
    print(find(keys).sum())
""",
    )
    assert run_python(code).stdout == "14336.0\n"


def test_lookup_after_the_servers_were_closed_at_exit(run_python):
    code = """
import atexit
@atexit.register
def last():  # runs after jax_hps has closed its servers
    try:
        hps.lookup(table, keys)
    except hps.ClosedError:
        print("closed")
"""
    assert run_python(code + START).stdout == "closed\n"


COUNT_CACHE_HITS = """
import jax
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None
)
"""


def test_persistent_compilation_cache(run_python, tmp_path):
    code = f"{COUNT_CACHE_HITS}{START}print(len(hits))"
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    assert int(run_python(code, **environment).stdout) == 0
    assert int(run_python(code, **environment).stdout) > 0
