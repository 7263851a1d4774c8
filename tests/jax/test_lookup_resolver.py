# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups that Python threads answer: tables that only TensorStore can read.

XLA's threads wait here for threads that need the GIL, which is where deadlocks live.
"""

from concurrent.futures import ThreadPoolExecutor

import jax
import msgspec
import numpy as np
import pytest
import tensorstore as ts
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax_checks import CALL_ERRORS, assert_same

import jax_hps as hps
from jax_hps.storage.tensorstore_rows import context


def write_through_tensorstore(model):
    """Write a model's arrays where only TensorStore can read them: in its memory."""
    url = f"memory://{model.name}"
    for name, data in {"rows": model.rows, "keys": model.keys}.items():
        array = ts.open(
            {"driver": "zarr3", "kvstore": f"{url}/{name}/"},
            dtype=data.dtype,
            shape=data.shape,
            create=True,
            context=context(),
        )
        array.result()[...] = data
    return url


@pytest.fixture
def model(make_table):
    return make_table(4)


@pytest.fixture
def spec(model):
    return hps.TableSpec(
        name=model.name,
        path=write_through_tensorstore(model),
        deadline_s=50.0,  # exact answers, also on a machine with much else to do
    )


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def table(server, spec):
    return server.add_table(spec)


@pytest.fixture
def eight_devices():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, P("x"))


def test_one_device(table, model):
    ids = np.append(model.keys, model.unknown)
    find = jax.jit(lambda k: hps.lookup(table, k, dtype="float16", return_found=True))
    rows, found = find(hps.keys(ids))
    assert_same(rows, model.answer(ids, "float16"))
    assert_same(found, model.known(ids))
    assert_same(hps.lookup(table, []), model.answer([]))


def test_several_devices_and_a_collective(server, table, model, eight_devices):
    ids = np.resize(np.append(model.keys, model.unknown), 64)
    keys = jax.device_put(hps.keys(ids), eight_devices)

    @jax.jit
    def find(keys):
        rows = hps.lookup(table, keys)
        return rows, rows.sum()

    for _ in range(10):
        assert_same(find(keys)[0], model.answer(ids))
    server.check()


def test_many_threads(table, model):
    find = jax.jit(lambda k: hps.lookup(table, k))

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(5):
            ids = random.choice(model.keys, 32)
            assert_same(find(hps.keys(ids)), model.answer(ids))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@pytest.fixture
def hasty_spec(spec):
    return msgspec.structs.replace(spec, deadline_s=1e-9, default=1.0)


def test_several_devices_answer_defaults_after_a_deadline(
    server, hasty_spec, model, eight_devices
):
    table = server.add_table(hasty_spec)
    keys = jax.device_put(hps.keys(model.keys[:64]), eight_devices)
    rows = jax.jit(lambda k: hps.lookup(table, k))(keys)
    assert_same(rows, np.ones((64, 4), np.float32))
    stats = server.stats()[model.name]
    assert stats.degraded + stats.unavailable == 64
    with pytest.raises(hps.HpsError, match=model.name):
        server.check()


def test_one_device_answers_defaults_after_a_deadline(server, hasty_spec, model):
    table = server.add_table(hasty_spec)
    rows, found = hps.lookup(table, model.keys, return_found=True)
    assert_same(rows, np.full_like(model.rows, hasty_spec.default))
    assert not found.any()
    stats = server.stats()[table.name]
    assert (stats.degraded, stats.unavailable) == (len(model.keys), 0)
    with pytest.raises(hps.DeadlineError, match="deadline_s"):
        server.check()


@pytest.mark.parametrize("num_devices", [1, 8])
def test_a_strict_table_raises_in_the_call(
    server, hasty_spec, model, eight_devices, num_devices
):
    table = server.add_table(msgspec.structs.replace(hasty_spec, strict=True))
    keys = hps.keys(model.keys[:64])
    if num_devices > 1:
        keys = jax.device_put(keys, eight_devices)
    with pytest.raises(CALL_ERRORS, match=model.name):
        jax.block_until_ready(jax.jit(lambda k: hps.lookup(table, k))(keys))


def test_exit_while_lookups_run(run_python):
    done = run_python("""
import threading, time
import jax, numpy as np
import jax_hps as hps
import tensorstore as ts
rows = np.arange(8, dtype=np.float32)[:, None]
codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}]
array = {"driver": "zarr3", "kvstore": {"driver": "file", "path": "rows/"}}
array["metadata"] = {"codecs": codecs}
array = ts.open(array, dtype=rows.dtype, shape=rows.shape, create=True)
array.result()[...] = rows
spec = hps.TableSpec(name="t", path="rows")
table = hps.ParameterServer([spec]).table("t")
find = jax.jit(lambda k: hps.lookup(table, k))
keys = hps.keys(np.arange(8))
assert find(keys).sum() == 28

def look_up():
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        assert find(keys).sum() == 28

for _ in range(4):
    threading.Thread(target=look_up).start()
for _ in range(20):
    find(keys)  # dispatched and forgotten
""")
    assert done.stderr == ""
