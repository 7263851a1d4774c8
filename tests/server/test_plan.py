# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`plan` is exact, and memory stays within what the documentation promises."""

import numpy as np
import pytest

import jax_hps as hps


@pytest.mark.parametrize("num_rows", [1, 100, 4097, 200_000])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_plan_is_what_the_open_table_holds(
    make_table, serve, num_rows, sparse, dtype
):
    model = make_table(7, num_rows=num_rows, sparse=sparse, dtype=dtype)
    planned = hps.plan(model.spec)
    opened = serve(model)._tables[model.name]
    assert planned.memory_bytes == opened.version.make_base().resident_bytes
    assert planned.tables[model.name].index_bytes == opened.version.index_bytes
    assert planned.base_bytes == model.rows.nbytes


def test_a_sparse_key_takes_at_most_17_and_a_half_bytes():
    from jax_hps._native import KeyIndex

    for num_keys in (1_000_000, 64_000_000, 10**9):
        huge_page = 2 << 20  # the last one may be all but empty
        assert KeyIndex.planned_bytes(num_keys) <= 17.5 * num_keys + huge_page


def test_several_tables_add_up(make_table):
    one, two = make_table(3), make_table(5, model="v2")
    planned = hps.plan([one.spec, two.spec])
    assert set(planned.tables) == {one.name, f"v2/{two.name}"}
    assert planned.base_bytes == one.rows.nbytes + two.rows.nbytes
    assert planned.memory_bytes == sum(t.memory_bytes for t in planned.tables.values())


def test_a_table_twice_is_no_plan(make_table):
    spec = make_table().spec
    with pytest.raises(hps.ConfigError, match=spec.name):
        hps.plan([spec, spec])


def test_no_table_no_plan(tmp_path):
    with pytest.raises(hps.TableNotFoundError, match="none"):
        hps.plan(hps.TableSpec(name="x", path=str(tmp_path / "none")))


def test_chunks_out_of_order_are_in_the_plan(tmp_path, serve):
    import tensorstore as ts

    rows = np.ones((4096, 8), np.float32)
    array = ts.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/bare/"},
        dtype="float32",
        shape=rows.shape,
        chunk_layout=ts.ChunkLayout(chunk_shape=[1024, 8]),
        create=True,
    ).result()
    array[1024:2048] = rows[1024:2048]  # the other chunks stay absent
    spec = hps.TableSpec(name="bare", path=str(tmp_path / "bare"))
    planned = hps.plan(spec)
    server = serve()
    server.add_table(spec)
    base = server._tables["bare"].version.make_base()
    assert planned.tables["bare"].other_bytes == 8 * 4 + 4 * 8
    assert planned.memory_bytes == base.resident_bytes
