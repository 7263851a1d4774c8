# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Caches as specifications and files ask for them, and what they will take."""

import json
from pathlib import Path

import numpy as np
import pytest
from cache_checks import BASES, on_base
from hypothesis import given, settings
from hypothesis import strategies as st

import jax_hps as hps
from jax_hps.config import load_server_spec

TOML = """
[[tables]]
name = "user"
path = "tables/user"
hot_keys = "hot/user"
row_cache = { fraction = 0.25, policy = "lru" }

[[tables]]
name = "item"
path = "s3://bucket/item"
hot_keys = false
row_cache = { bytes = 1048576, admit = "always", halving = 2 }

[[tables]]
name = "word"
path = "/tables/word"
hot_keys = "/hot/word"
row_cache = { rows = 100 }

[[tables]]
name = "plain"
path = "plain"
"""

JSON = {
    "tables": [
        {
            "name": "user",
            "path": "tables/user",
            "hot_keys": "hot/user",
            "row_cache": {"fraction": 0.25, "policy": "lru"},
        },
        {
            "name": "item",
            "path": "s3://bucket/item",
            "hot_keys": False,
            "row_cache": {"bytes": 1048576, "admit": "always", "halving": 2},
        },
        {
            "name": "word",
            "path": "/tables/word",
            "hot_keys": "/hot/word",
            "row_cache": {"rows": 100},
        },
        {"name": "plain", "path": "plain"},
    ]
}


def written(folder, suffix, text=TOML):
    path = folder / f"hps.{suffix}"
    path.write_text(text if suffix == "toml" else json.dumps(JSON))
    return path


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_file_says_what_the_specs_say(tmp_path, suffix):
    user, item, word, plain = load_server_spec(written(tmp_path, suffix)).tables
    assert user.row_cache == hps.CacheSpec(fraction=0.25, policy="lru")
    assert user.hot_keys == str(tmp_path / "hot/user")
    assert item.row_cache == hps.CacheSpec(bytes=1 << 20, admit="always", halving=2)
    assert item.hot_keys is False
    assert word.row_cache == hps.CacheSpec(rows=100)
    assert word.hot_keys == "/hot/word"
    assert plain.row_cache is None
    assert plain.hot_keys is True


def test_relative_hot_keys_are_taken_from_the_folder_of_the_file(
    tmp_path, monkeypatch, make_table
):
    model = make_table(4)
    text = f"""
name = "beside"
[[tables]]
name = "user"
path = "{model.spec.path}"
hot_keys = "hot"
row_cache = {{ rows = 4096 }}
"""
    (tmp_path / "hps.toml").write_text(text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with hps.ParameterServer.from_file("../hps.toml") as server:
        rows = hps.lookup(server.table("user"), model.keys)
        np.testing.assert_array_equal(rows, model.rows)
    assert (tmp_path / "hot").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 100", "row = 100", r"unknown field .row. - at .*\[2\]\.row_cache"),
        ("rows = 100", 'rows = "100"', r"at .\$\.tables\[2\]\.row_cache\.rows"),
        ("rows = 100", "rows = 0", r"above 0.* - at .\$\.tables\[2\]\.row_cache"),
        ("rows = 100", "rows = 9, bytes = 9", r"exactly one .*got 2.*\[2\]\.row_cache"),
        ("{ rows = 100 }", "100", r"at .\$\.tables\[2\]\.row_cache"),
        ('"lru"', '"lfu"', r"at .\$\.tables\[0\]\.row_cache\.policy"),
        ('"always"', '"never"', r"at .\$\.tables\[1\]\.row_cache\.admit"),
        ("halving = 2", "halving = 0", r"halving=0: .*\[1\]\.row_cache"),
        ("hot_keys = false", "hot_keys = 0", r"at .\$\.tables\[1\]\.hot_keys"),
        ("hot_keys = false", 'hot_keys = ""', r"hot_keys is empty.*\[1\]"),
    ],
)
def test_mistakes_in_a_file_name_the_place(tmp_path, old, new, message):
    assert old in TOML
    path = written(tmp_path, "toml", TOML.replace(old, new, 1))
    with pytest.raises(hps.ConfigError, match=message):
        load_server_spec(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "exactly one of rows, fraction and bytes, got 0"),
        ({"rows": 9, "fraction": 0.5}, "exactly one .* got 2"),
        ({"rows": 9, "fraction": 0.5, "bytes": 9}, "exactly one .* got 3"),
        ({"rows": -1}, r"rows=-1.* above 0"),
        ({"bytes": 0}, r"bytes=0.* above 0"),
        ({"fraction": 0.0}, r"fraction=0\.0.*in \(0, 1\]"),
        ({"fraction": 1.0000001}, r"in \(0, 1\]"),
        ({"fraction": float("inf")}, r"in \(0, 1\]"),
        ({"rows": True}, r"CacheSpec\.rows: .*got .bool"),
        ({"rows": 16.0}, r"CacheSpec\.rows: .*got .float"),
        ({"bytes": "1 GiB"}, r"CacheSpec\.bytes: .*got .str"),
        ({"rows": 9, "policy": "lfu"}, r"CacheSpec\.policy: .*lfu"),
        ({"rows": 9, "policy": None}, r"CacheSpec\.policy"),
        ({"rows": 9, "admit": "never"}, r"CacheSpec\.admit: .*never"),
        ({"rows": 9, "halving": 0}, r"halving=0: expected .* 1 to 15"),
        ({"rows": 9, "halving": 16}, r"halving=16: expected .* 1 to 15"),
        ({"rows": 9, "halving": 2.5}, r"CacheSpec\.halving"),
    ],
    ids=str,
)
def test_impossible_caches_are_refused(fields, message):
    with pytest.raises(hps.ConfigError, match=message):
        hps.CacheSpec(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"row_cache": 100}, r"row_cache: .*got .int"),
        ({"row_cache": {"rows": 0}}, r"row_cache: .*above 0"),
        ({"hot_keys": ""}, "'user': hot_keys is empty; expected True, False or"),
        ({"hot_keys": 1}, r"hot_keys: .*got .int"),
        ({"hot_keys": None}, r"hot_keys: .*got .null"),
    ],
    ids=str,
)
def test_impossible_tables_are_refused(fields, message):
    with pytest.raises(hps.ConfigError, match=message):
        hps.TableSpec(name="user", path="user", **fields)


def test_specs_made_in_python_are_those_of_a_file():
    made = {"name": "user", "path": "user"}
    spec = hps.TableSpec(**made, row_cache={"rows": 9}, hot_keys=Path("hot/user"))
    assert spec.row_cache == hps.CacheSpec(rows=9)
    assert spec.hot_keys == str(Path("hot/user"))
    assert hash(spec) == hash(
        hps.TableSpec(**made, row_cache=spec.row_cache, hot_keys="hot/user")
    )


def opened(spec):
    with hps.ParameterServer(spec, name="impossible"):
        raise AssertionError("it was opened")


@pytest.mark.parametrize("taker", [opened, hps.plan])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"bytes": 1}, "1 bytes hold no bucket of 16 rows of 4000 bytes. Give it"),
        ({"bytes": 40_000}, "40000 bytes hold no bucket of 16 rows of 4000 bytes"),
        ({"rows": 2**36}, "expected at most 68719476720 rows, got 68719476736"),
        ({"rows": 2**62}, "expected at most 68719476720 rows, got 4611686018427387904"),
        ({"rows": 2**34}, "17179869184 rows take .* more than this machine's .* bytes"),
        ({"bytes": 2**46}, "rows take 7036.* more than this machine's .* bytes"),
    ],
    ids=str,
)
def test_a_cache_that_cannot_be_had_is_a_mistake_of_its_table(
    make_table, taker, size, message
):
    model = make_table(1000, num_rows=10, row_cache=hps.CacheSpec(**size))
    message = f"^TableSpec '{model.name}': row cache: .*{message}"
    with pytest.raises(hps.ConfigError, match=message):
        taker(model.spec)


@pytest.mark.parametrize("taker", [opened, hps.plan])
@pytest.mark.parametrize("size", [{"rows": 2**63}, {"bytes": 2**64}], ids=str)
def test_numbers_beyond_64_bits_are_too_large(make_table, taker, size):
    model = make_table()
    with pytest.raises(hps.ConfigError, match=str(max(size.values()))):
        taker(on_base(model, "mapped", row_cache=hps.CacheSpec(**size)).spec)


@pytest.mark.parametrize("taker", [opened, hps.plan])
def test_a_message_says_what_would_do(make_table, taker):
    model = make_table(1000, num_rows=10)
    for too_few in (1, 60_000):
        spec = on_base(model, "mapped", row_cache=hps.CacheSpec(bytes=too_few)).spec
        with pytest.raises(hps.ConfigError, match=r"Give it at least \d+ bytes") as no:
            taker(spec)
        enough = int(str(no.value).split("at least ")[1].split()[0])
        assert too_few < enough < 100_000
        cache = hps.CacheSpec(bytes=enough)
        table = hps.plan(on_base(model, "mapped", row_cache=cache).spec).tables
        assert table[model.name].row_cache_rows == 16
        assert table[model.name].row_cache_bytes == enough


def test_a_table_that_fails_for_its_cache_can_be_opened_with_another(make_table, serve):
    model = make_table(4, row_cache=hps.CacheSpec(bytes=1))
    server = serve()
    with pytest.raises(hps.ConfigError, match="row cache"):
        server.add_table(model.spec)
    better = on_base(model, "mapped", row_cache=hps.CacheSpec(bytes=4096))
    server.add_table(better.spec)
    assert server.stats()[model.name].row_cache.bytes == 4096


@pytest.fixture(scope="module")
def models(make_table):
    """Tables of every kind of key: how many bits they have decides what is stored."""
    return {
        "dense": make_table(7, num_rows=3000, sparse=False),
        "sparse": make_table(7, num_rows=3000),
        "uint32": make_table(
            7, num_rows=3000, keys=np.arange(3000) * 5, stored_key_dtype="uint32"
        ),
        "short rows": make_table(1, num_rows=700, dtype="float16"),
        "one row": make_table(16, num_rows=1, sparse=False),
        "no rows": make_table(rows=np.empty((0, 3)), sparse=False),
    }


SIZES = st.one_of(
    st.fixed_dictionaries({"rows": st.integers(1, 200_000)}),
    st.fixed_dictionaries({"fraction": st.floats(0, 1, exclude_min=True)}),
    st.fixed_dictionaries({"bytes": st.integers(4096, 8 << 20)}),
)
KINDS = ["dense", "sparse", "uint32", "short rows", "one row", "no rows"]


@settings(max_examples=120, deadline=None)
@given(kind=st.sampled_from(KINDS), base=st.sampled_from(BASES), size=SIZES)
def test_the_plan_is_what_the_open_cache_takes(models, kind, base, size):
    model = on_base(models[kind], base, row_cache=hps.CacheSpec(**size))
    planned = hps.plan(model.spec)
    table = planned.tables[model.name]
    with hps.ParameterServer(model.spec, name="planned") as server:
        opened = server._tables[model.name]
        cache, stats = opened._cache, server.stats()[model.name].row_cache
    assert table.row_cache_bytes == cache.nbytes == stats.bytes
    assert table.row_cache_rows == cache.num_rows == stats.capacity
    assert table.row_cache_rows % 16 == 0
    if "bytes" in size:
        assert table.row_cache_bytes <= size["bytes"]
    else:
        rows = size.get("rows") or size["fraction"] * len(model.keys)
        assert 0 <= table.row_cache_rows - rows <= 16
    if base == "mapped":
        held = opened.version.make_base().resident_bytes
        assert planned.memory_bytes == held + cache.nbytes


def test_a_budget_of_bytes_is_used_up(make_table):
    model = make_table(16, num_rows=100)
    row_bytes = 16 * 4 + 15  # with its share of the books
    for budget in (64 << 10, 1 << 20, 64 << 20):
        cache = hps.CacheSpec(bytes=budget)
        planned = hps.plan(on_base(model, "mapped", row_cache=cache).spec)
        table = planned.tables[model.name]
        assert table.row_cache_bytes <= budget
        assert table.row_cache_rows * row_bytes > 0.95 * budget


def test_tables_without_a_cache_plan_none(make_table):
    model = make_table(device_cache=hps.CacheSpec(rows=100))
    table = hps.plan(model.spec).tables[model.name]
    assert (table.row_cache_rows, table.row_cache_bytes) == (0, 0)
