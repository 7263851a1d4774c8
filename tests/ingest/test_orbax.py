# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of Orbax's, of Flax models and of sharded arrays."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

import jax_hps as hps
from jax_hps import ingest
from jax_hps.errors import (
    CorruptTableError,
    KeyDtypeError,
    TableDataError,
    TableFormatError,
    TableNotFoundError,
)

pytestmark = pytest.mark.usefixtures("small_blocks")

ROWS = np.arange(64 * 6, dtype=np.float32).reshape(64, 6)
IDS = np.arange(64) * 2**33
WHERE = ("params", "embed", "embedding")
TREE = {
    "params": {"embed": {"embedding": ROWS}, "dense": {"kernel": ROWS[:3]}},
    "ids": IDS,
    "layers": [{"table": ROWS + 1}, ROWS + 2],
    "step": 7,
    "none": None,
    "empty": {},
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoint"


def save(folder, tree, handler=None, **save_args):
    with ocp.Checkpointer(handler or ocp.PyTreeCheckpointHandler()) as checkpointer:
        each = jax.tree.map(lambda _: ocp.SaveArgs(**save_args), tree)
        checkpointer.save(folder, args=ocp.args.PyTreeSave(tree, save_args=each))
    return folder


def save_standard(folder, tree):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, tree)
    return folder


HANDLERS = {
    "ocdbt": {},
    "files": {"use_ocdbt": False},
    "zarr3": {"use_zarr3": True},
    "zarr3 in files": {"use_ocdbt": False, "use_zarr3": True},
}


@pytest.mark.parametrize("kind", [*HANDLERS, "standard"])
def test_ways_to_write_a_checkpoint(folder, path, check, kind):
    if kind == "standard":
        save_standard(folder, TREE)
    else:
        save(folder, TREE, ocp.PyTreeCheckpointHandler(**HANDLERS[kind]))
    check(ingest.orbax(path, folder, rows=WHERE), ROWS)
    places = {
        "params.embed.embedding": ROWS,
        ("layers", 0, "table"): ROWS + 1,
        ("layers", "1"): ROWS + 2,
    }
    for place, rows in places.items():
        table = ingest.orbax(path, folder, rows=place, keys="ids", overwrite=True)
        check(table, rows, IDS)


SHARDINGS = {
    "rows": PartitionSpec("x"),
    "rows over all": PartitionSpec(("x", "y")),
    "columns": PartitionSpec(None, "y"),
    "both": PartitionSpec("x", "y"),
    "copies": PartitionSpec(),
}


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("kind", ["ocdbt", "zarr3"])
def test_arrays_of_many_devices(folder, path, check, sharding, kind):
    mesh = jax.make_mesh((4, 2), ("x", "y"))
    array = jax.device_put(ROWS, NamedSharding(mesh, SHARDINGS[sharding]))
    save(folder, {"e": array}, ocp.PyTreeCheckpointHandler(**HANDLERS[kind]))
    check(ingest.orbax(path, folder, rows="e", keys=IDS), ROWS, IDS)


@pytest.mark.parametrize("chunk_byte_size", [24, 100, 1000])
def test_chunks(folder, path, check, chunk_byte_size):
    save(folder, {"e": ROWS, "ids": IDS}, chunk_byte_size=chunk_byte_size)
    check(ingest.orbax(path, folder, rows="e", keys=("ids",)), ROWS, IDS)


def test_dtypes(folder, path, check):
    rows = jnp.asarray(ROWS, jnp.bfloat16)
    save(folder, {"brain": rows, "int": ROWS.astype(np.int32)})
    with ingest.orbax(path, folder, rows="brain") as table:
        assert table.dtype == rows.dtype
    check(hps.open_table(path), np.asarray(rows))
    with pytest.raises(TableDataError, match="'int32': choose one with dtype="):
        ingest.orbax(path, folder, rows="int", overwrite=True)
    table = ingest.orbax(path, folder, rows="int", dtype="float32", overwrite=True)
    check(table, ROWS)


def test_linen_model(folder, path, check):
    model = nn.Embed(num_embeddings=20, features=4)
    params = model.init(jax.random.key(0), jnp.zeros(1, jnp.int32))
    save_standard(folder, params)
    table = ingest.orbax(path, folder, rows=("params", "embedding"))
    check(table, np.asarray(params["params"]["embedding"]))


def test_nnx_model(folder, path, check):
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.user = nnx.Embed(20, 4, rngs=rngs)

    model = Model(nnx.Rngs(0))
    save_standard(folder, nnx.to_pure_dict(nnx.state(model)))
    table = ingest.orbax(path, folder, rows=("user", "embedding"))
    check(table, np.asarray(model.user.embedding[...]))


@pytest.fixture
def managed(tmp_path):
    """Two steps of a manager, each with one item."""
    with ocp.CheckpointManager(tmp_path / "steps") as manager:
        for step in (10, 20):
            manager.save(step, args=ocp.args.StandardSave({"e": ROWS + step}))
        manager.wait_until_finished()
    return tmp_path / "steps"


def test_manager(managed, path, check, tmp_path):
    for name in ("20", "20/default"):
        table = ingest.orbax(path, managed / name, rows="e", overwrite=True)
        check(table, ROWS + 20)
    with pytest.raises(
        TableFormatError, match=r"several .*: 10/default, 20/default; name"
    ):
        ingest.orbax(path, managed, rows="e", overwrite=True)
    (managed / "20").rename(managed / "20.orbax-checkpoint-tmp-3")
    check(ingest.orbax(path, managed, rows="e", overwrite=True), ROWS + 10)


def test_over_http(folder, url, path, check):
    save(folder, TREE)
    table = ingest.orbax(path, f"{url}/checkpoint", rows=WHERE, keys="ids")
    check(table, ROWS, IDS)
    with pytest.raises(TableNotFoundError, match="no checkpoint of Orbax's"):
        ingest.orbax(path, f"{url}/nothing", rows=WHERE, overwrite=True)


def refused(error, message, path, checkpoint, **options):
    with pytest.raises(error, match=message):
        ingest.orbax(path, checkpoint, **options)
    assert not path.exists()


def test_missing_arrays_name_those_there_are(folder, path):
    save(folder, TREE)
    message = "no array 'params.embed.kernel', but .*'params.embed.embedding'"
    refused(
        TableNotFoundError, message, path, folder, rows=("params", "embed", "kernel")
    )
    refused(TableNotFoundError, "no array 'step'", path, folder, rows=("step",))
    refused(TableNotFoundError, "no array 'idz'", path, folder, rows=WHERE, keys="idz")


def test_what_is_no_checkpoint(tmp_path, folder, path):
    refused(TableNotFoundError, "no such file or folder", path, folder, rows="e")
    message = "no checkpoint of Orbax's: expected the file _METADATA"
    refused(TableNotFoundError, message, path, tmp_path, rows="e")
    folder.mkdir()
    for content in ("", "{}", '{"tree_metadata": {"a": 1}}'):
        (folder / "_METADATA").write_text(content)
        refused(TableFormatError, "no metadata of Orbax's", path, folder, rows="e")


def test_shapes(folder, path):
    save(folder, TREE | {"flat": ROWS[0], "cube": ROWS[None], "float_ids": ROWS[:, 0]})
    refused(
        TableDataError, r"'flat': expected rows .*\(6,\)", path, folder, rows="flat"
    )
    refused(TableDataError, r"got \(1, 64, 6\)", path, folder, rows="cube")
    keys = {"rows": WHERE, "keys": "layers.1"}
    refused(TableDataError, r"keys of shape \[rows\]", path, folder, **keys)
    keys = {"rows": WHERE, "keys": "float_ids"}
    refused(KeyDtypeError, "'float_ids': expected integers", path, folder, **keys)
    keys = {"rows": WHERE, "keys": IDS[1:]}
    refused(TableDataError, r"each of the 64 rows.*\(63,\)", path, folder, **keys)


def test_a_missing_chunk_is_no_row_of_zeros(folder, path):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
    save(folder, {"e": ROWS}, handler, chunk_byte_size=400)
    chunks = sorted((folder / "e").glob("*.0"))
    assert len(chunks) > 1
    chunks[-1].unlink()
    refused(CorruptTableError, "array 'e'", path, folder, rows="e")


def test_zeros_that_older_versions_did_not_write(folder, path, check):
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
    save(folder, {"e": ROWS * 0}, handler)
    metadata = (folder / "_METADATA").read_text()
    name = '"store_array_data_equal_to_fill_value": '
    (folder / "_METADATA").write_text(metadata.replace(f"{name}true", f"{name}false"))
    (folder / "e" / "0.0").unlink()
    check(ingest.orbax(path, folder, rows="e"), ROWS * 0)


def test_a_damaged_chunk(folder, path):
    save(folder, {"e": ROWS}, ocp.PyTreeCheckpointHandler(use_ocdbt=False))
    chunk = folder / "e" / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:-5])
    refused(CorruptTableError, "array 'e': TensorStore says", path, folder, rows="e")


def test_a_missing_array(folder, path):
    save(folder, {"e": ROWS})
    kvstore = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}}
    ts.KvStore.open(kvstore).result().delete_range(
        ts.KvStore.KeyRange("e/", "e0")
    ).result()
    refused(TableNotFoundError, "array 'e': TensorStore says", path, folder, rows="e")
