# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Specifications: what is refused, and how a file's mistakes are named."""

import json
from pathlib import Path

import numpy as np
import pytest

import jax_hps as hps

TOML = """
name = "ranking"

[[tables]]
name = "user"
path = "tables/user"
default = [0.0, 1.0]
on_missing = "error"
device_cache = { fraction = 0.2 }

[[tables]]
name = "item"
model = "v2"
path = "s3://bucket/item"
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_a_toml_file_says_what_the_specs_say(tmp_path):
    from jax_hps.config import load_server_spec

    spec = load_server_spec(write(tmp_path, "hps.toml", TOML))
    assert spec.name == "ranking"
    user, item = spec.tables
    assert user == hps.TableSpec(
        name="user",
        path=str(tmp_path / "tables/user"),
        default=(0.0, 1.0),
        on_missing="error",
        device_cache=hps.CacheSpec(fraction=0.2),
    )
    assert (item.model, item.path) == ("v2", "s3://bucket/item")


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_from_file_opens_the_tables_beside_it(tmp_path, suffix, make_table):
    model = make_table(3)
    table = {"name": "user", "path": model.spec.path}
    text = {
        "json": json.dumps({"name": f"file-{suffix}", "tables": [table]}),
        "toml": f'name = "file-{suffix}"\n[[tables]]\nname = "user"\n'
        f'path = "{model.spec.path}"\n',
    }[suffix]
    path = write(tmp_path, f"hps.{suffix}", text)
    with hps.ParameterServer.from_file(path) as server:
        assert server.name == f"file-{suffix}"
        assert server.table("user").dim == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('model = "v2"', "modle = 1", r"unknown field .modle. - at .\$.tables\[1\]"),
        (
            "fraction = 0.2",
            'fraction = "big"',
            r"at .\$.tables\[0\].device_cache.fraction",
        ),
        ("fraction = 0.2", "fraction = 1.5", r"fraction in \(0, 1\].*device_cache"),
        ('on_missing = "error"', 'on_missing = "zero"', r"\$.tables\[0\].on_missing"),
        ('name = "ranking"', 'name = ""', r"ServerSpec.name"),
        ('name = "user"', "", r"required field .name."),
        ("[[tables]]", "[[tables", r"hps.toml"),
    ],
)
def test_mistakes_in_a_file_name_the_place(tmp_path, old, new, message):
    assert old in TOML
    path = write(tmp_path, "hps.toml", TOML.replace(old, new, 1))
    with pytest.raises(hps.ConfigError, match=message):
        hps.ParameterServer.from_file(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(hps.ConfigError, match=r"\.toml or \.json"):
        hps.ParameterServer.from_file(write(tmp_path, "hps.yaml", ""))
    with pytest.raises(FileNotFoundError):
        hps.ParameterServer.from_file(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a/b"},
        {"model": "x" * 121},
        {"path": ""},
        {"on_missing": "raise"},
        {"key_dtype": "int16"},
        {"key_dtype": np.int32},
        {"strict": "false"},
        {"device_cache": 0.2},
        {"default": "x"},
        {"deadline_s": "1"},
        {"name": 3},
        {"deadline_s": 0.0},
        {"deadline_s": 61.0},
    ],
    ids=str,
)
def test_impossible_table_specs_are_refused(fields):
    with pytest.raises(hps.ConfigError, match=next(iter(fields))):
        hps.TableSpec(**{"name": "user", "path": "user"} | fields)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"rows": 1, "bytes": 1},
        {"rows": 0},
        {"rows": 1.5},
        {"fraction": 1.1},
        {"fraction": float("nan")},
    ],
    ids=str,
)
def test_impossible_cache_specs_are_refused(sizes):
    with pytest.raises(hps.ConfigError, match="CacheSpec"):
        hps.CacheSpec(**sizes)


def test_specs_made_in_python_are_those_of_a_file():
    spec = hps.TableSpec(name="user", path=Path("tables/user"), default=[1, 2])
    assert spec.path == str(Path("tables/user"))
    assert spec.default == (1.0, 2.0)
    assert {spec: 1}[hps.TableSpec(name="user", path="tables/user", default=(1, 2))]


@pytest.mark.parametrize("specs", ["hps.toml", {"name": "user", "path": "x"}, [3]])
@pytest.mark.parametrize("taker", [hps.ParameterServer, hps.plan])
def test_what_is_no_spec_is_refused(taker, specs):
    with pytest.raises(hps.ConfigError, match=r"expected TableSpec.*from_file"):
        taker(specs)


def test_specs_take_no_unknown_fields():
    with pytest.raises(TypeError, match="redsi"):
        hps.TableSpec(name="user", path="user", redsi="redis://")
