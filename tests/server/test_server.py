# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""ParameterServer: names, tables that come and go, counters, errors kept for check."""

import threading

import jax
import numpy as np
import pytest
import tensorstore as ts

import jax_hps as hps
from jax_hps import server as server_module
from jax_hps.resolver import Resolver


def test_a_live_servers_name_is_taken_until_it_closes(serve):
    first = serve(name="taken")
    with pytest.raises(hps.ConfigError, match="taken"):
        hps.ParameterServer(name="taken")
    first.close()
    first.close()
    hps.ParameterServer(name="taken").close()


def test_a_server_that_fails_to_open_frees_its_name(tmp_path, make_table):
    good = make_table()
    bad = hps.TableSpec(name="gone", path=str(tmp_path / "gone"))
    with pytest.raises(hps.TableNotFoundError, match="gone"):
        hps.ParameterServer([good.spec, bad], name="fails")
    hps.ParameterServer([good.spec], name="fails").close()


def test_tables_are_known_by_model_and_name(make_table, serve):
    one, two = make_table(3, name="user"), make_table(5, name="user", model="v2")
    server = serve(one, two)
    assert server.table("user").dim == 3
    assert server.table("user", model="v2").dim == 5
    assert set(server.stats()) == {"user", "v2/user"}
    assert server.table("user", model="v2").full_name == f"{server.name}/v2/user"
    with pytest.raises(hps.TableNotFoundError, match=r"item.*It has: user, v2/user"):
        server.table("item")
    with pytest.raises(hps.ConfigError, match="open already"):
        server.add_table(one.spec)


def test_handles_are_equal_by_value_and_hashable(served):
    table, _ = served()
    again = server_module._servers[table.server].table(table.name)
    assert table == again
    assert len({table, again}) == 1


def test_a_closed_server_says_so(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    server.close()
    for call in (
        lambda: server.table(model.name),
        lambda: server.add_table(model.spec),
        lambda: server.remove_table(model.name),
        lambda: server.warm(model.name),
        lambda: hps.lookup(table, model.keys),
    ):
        with pytest.raises(hps.ClosedError, match=server.name):
            call()
    assert "closed" in repr(server)


def test_a_removed_table_is_not_found_and_comes_back(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    lookup = jax.jit(lambda keys: hps.lookup(table, keys))
    keys = hps.keys(model.keys)
    np.testing.assert_array_equal(lookup(keys), model.rows)
    server.remove_table(model.name)
    with pytest.raises(hps.TableNotFoundError):
        server.table(model.name)
    with pytest.raises(Exception, match="not open in this process"):
        jax.block_until_ready(lookup(keys))
    server.add_table(model.spec)
    np.testing.assert_array_equal(lookup(keys), model.rows)


def test_tables_come_and_go_while_lookups_run(make_table, serve):
    stays, comes = make_table(16, num_rows=500), make_table(8)
    server = serve(stays)
    table = server.table(stays.name)
    lookup = jax.jit(lambda keys: hps.lookup(table, keys))
    keys = hps.keys(stays.keys)
    stop, wrong = threading.Event(), []

    def hammer():
        while not stop.is_set():
            if not np.array_equal(lookup(keys), stays.rows):
                wrong.append("rows")

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        handle = server.add_table(comes.spec)
        np.testing.assert_array_equal(hps.lookup(handle, comes.keys), comes.rows)
        server.remove_table(comes.name)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_counters_add_up(served):
    table, model = served(4)
    server = server_module._servers[table.server]
    mixed = np.concatenate([model.keys, model.keys[:7], model.unknown])
    jax.block_until_ready(hps.lookup(table, mixed))
    jax.block_until_ready(hps.lookup(table, model.keys[:3]))
    stats = server.stats()[table.name]
    assert stats.lookups == 2
    assert stats.keys == len(mixed) + 3
    assert stats.defaults == len(model.unknown)
    assert stats.base_hits == stats.keys - stats.defaults
    assert stats.bytes == stats.keys * 4 * 4
    assert (stats.unavailable, stats.degraded, stats.failures) == (0, 0, 0)


@pytest.mark.parametrize("default", [2.5, (1.0, 2.0, 3.0)])
def test_a_spec_overrides_the_tables_default(served, default):
    table, model = served(3, default=-1.0)
    server = server_module._servers[table.server]
    spec = hps.TableSpec(name="other", path=model.spec.path, default=default)
    other = server.add_table(spec)
    expected = np.broadcast_to(np.float32(default), (len(model.unknown), 3))
    np.testing.assert_array_equal(hps.lookup(other, model.unknown), expected)
    np.testing.assert_array_equal(
        hps.lookup(table, model.unknown), -np.ones_like(expected)
    )


def test_a_default_of_another_length_is_refused(make_table, serve):
    model = make_table(3)
    spec = hps.TableSpec(name="x", path=model.spec.path, default=(1.0, 2.0))
    with pytest.raises(hps.ConfigError, match=r"2 elements.*dim, 3"):
        serve().add_table(spec)


def test_handles_on_one_path_share_one_index(make_table, serve):
    model = make_table()
    server = serve(model)
    other = server.add_table(hps.TableSpec(name="twin", path=model.spec.path))
    opened = hps.open_table(model.spec.path)
    versions = {server._tables[name].version for name in (model.name, "twin")}
    assert versions == {opened._version}
    np.testing.assert_array_equal(hps.lookup(other, model.keys), model.rows)


def on_two_devices(ids):
    """Keys over two devices, on which a call cannot raise."""
    mesh = jax.sharding.Mesh(jax.devices()[:2], ("x",))
    sharding = jax.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    return jax.device_put(hps.keys(ids), sharding)


def sharded_lookup(table, ids):
    return jax.jit(lambda k: hps.lookup(table, k))(on_two_devices(ids))


def test_check_raises_the_kept_failures_once(make_table, serve):
    model = make_table(on_missing="error")
    server = serve(model)
    table = server.table(model.name)
    ids = np.array([model.keys[0], model.unknown[0]])
    np.testing.assert_array_equal(sharded_lookup(table, ids), model.answer(ids))
    with pytest.raises(hps.MissingKeyError, match=str(ids[1])):
        server.check()
    server.check()
    assert server.stats()[table.name].failures == 1


def test_check_knows_of_tables_that_were_gone(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    keys = on_two_devices(model.keys[:4])
    lookup = jax.jit(lambda k: hps.lookup(table, k))
    np.testing.assert_array_equal(lookup(keys), model.rows[:4])
    server.remove_table(model.name)
    np.testing.assert_array_equal(lookup(keys), np.zeros_like(model.rows[:4]))
    serve().check()  # another server's failures are not its own
    with pytest.raises(hps.ClosedError, match=r"not open.*\(1 more failures\)"):
        server.check()


@pytest.mark.parametrize("end", ["close", "remove_table"])
def test_check_raises_failures_of_tables_that_are_gone(make_table, serve, end):
    model = make_table(on_missing="error")
    server = serve(model)
    ids = [model.keys[0], model.unknown[0]]
    jax.block_until_ready(sharded_lookup(server.table(model.name), ids))
    server.close() if end == "close" else server.remove_table(model.name)
    with pytest.raises(hps.MissingKeyError):
        server.check()
    server.check()


def test_a_new_server_does_not_inherit_failures(make_table, serve):
    model = make_table()
    server = serve(model)
    table = server.table(model.name)
    lookup = jax.jit(lambda k: hps.lookup(table, k))
    keys = on_two_devices(model.keys[:4])
    jax.block_until_ready(lookup(keys))
    server.close()
    assert not np.asarray(lookup(keys)).any()
    serve(model, name=server.name).check()


def test_threads_that_add_and_remove_one_table_meet_only_our_errors(make_table, serve):
    model = make_table()
    server = serve()
    stop, wrong = threading.Event(), []

    def juggle():
        while not stop.is_set():
            try:
                server.add_table(model.spec)
                server.remove_table(model.name)
            except hps.HpsError:
                pass
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=juggle) for _ in range(4)]
    for thread in threads:
        thread.start()
    stop.wait(1.0)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def damaged_table(folder):
    """A compressed array of which a chunk in the middle is damaged."""
    array = ts.open(
        {
            "driver": "zarr3",
            "kvstore": f"file://{folder}/",
            "metadata": {"codecs": [{"name": "gzip"}]},
        },
        dtype="float32",
        shape=[4000, 2],
        chunk_layout=ts.ChunkLayout(chunk_shape=[1000, 2]),
        create=True,
    ).result()
    array[...] = np.ones((4000, 2), np.float32)
    (folder / "c" / "2" / "0").write_bytes(b"no gzip")
    return hps.TableSpec(name="damaged", path=str(folder))


def test_a_damaged_local_table_is_an_error_in_the_call(tmp_path, serve):
    server = serve()
    table = server.add_table(damaged_table(tmp_path / "table"))
    np.testing.assert_array_equal(hps.lookup(table, [1, 3500]), np.ones((2, 2)))
    with pytest.raises(Exception, match=r"DATA_LOSS.*damaged"):
        jax.block_until_ready(hps.lookup(table, [1, 2500]))
    server.check()


def test_a_damaged_local_table_is_kept_for_check_on_several_devices(tmp_path, serve):
    server = serve()
    table = server.add_table(damaged_table(tmp_path / "table"))
    rows = sharded_lookup(table, [1, 2500])
    assert not np.asarray(rows)[1].any()
    with pytest.raises(hps.CorruptTableError, match="default vector"):
        server.check()


def test_daemon_threads_in_native_calls_do_not_abort_the_exit(make_table, run_python):
    model = make_table(64, num_rows=20_000)
    done = run_python(
        """
import sys, threading, time
import numpy as np
import jax_hps as hps

table = hps.open_table(sys.argv[1])
keys = np.arange(2_000_000)

def read():
    while True:
        table.read(keys)

for _ in range(3):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.5)
""",
        model.spec.path,
    )
    assert done.stderr == ""


def test_a_resolver_answers_in_its_own_threads_and_closes():
    class Reader:
        def read_rows(self, numbers, *, timeout_s=None):
            assert server_module.in_resolver_thread()
            return np.repeat(numbers.astype(np.float32)[:, None], 2, axis=1)

    resolver = Resolver("test", Reader())
    assert not server_module.in_resolver_thread()
    resolver.close()
    assert resolver.queue.take() is None
