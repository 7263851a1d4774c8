# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Imports point one way (ARCHITECTURE.md), and storage and server stay free of JAX."""

import ast
from pathlib import Path

import pytest

import jax_hps

ROOT = Path(jax_hps.__file__).parent

# From the bottom up: a module may import from its own layer and from those below.
LAYERS = [
    {"errors", "_native"},
    {"config", "testing"},
    {"table"},
    {"storage"},
    {"ingest"},
    {"caching", "failures", "resolver", "warm_start", "warming"},
    {"open_table"},
    {"planning", "server"},
    {"keys", "ffi_version", "partitioning"},
    {"primitive"},
    {"lookup"},
    {"flax"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FREE_OF_JAX = {name for name, level in LEVEL.items() if level <= LEVEL["server"]}


def modules():
    return [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]


def part_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path):
    """Absolute names of what a module imports, wherever in it the import stands."""
    package = ("jax_hps", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{name}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_downwards(path):
    part = part_of(path)
    for name in imported(path):
        if not name.startswith("jax_hps."):
            continue
        other = name.split(".")[1]
        assert LEVEL[other] <= LEVEL[part], f"{path} imports {name}"
        assert part == "testing" or other != "testing", f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_resolvers_run_never_imports_jax(path):
    if part_of(path) in FREE_OF_JAX:
        heads = {name.split(".")[0] for name in imported(path)}
        assert not heads & {"jax", "jaxlib", "flax"}
