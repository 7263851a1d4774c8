# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Every example runs, as a user would run it, and says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    result = subprocess.run(
        command,
        env={**os.environ, **environment, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    settings = ("--epochs", "1", "--ratings", "5000", "--cold-rounds", "3")
    output = run("movielens/main.py", "--out", str(folder), *settings, JAX_HPS_DATA="")
    return output, folder


def test_movielens_serves_the_bits_of_the_resident_model(
    demo: tuple[str, Path],
) -> None:
    output, _ = demo
    assert "bit-identical to the resident model's at batch sizes 1, 16, 128" in output
    assert "DIFFERENT" not in output


def test_movielens_says_where_its_ratings_come_from(demo: tuple[str, Path]) -> None:
    output, _ = demo
    assert "Ratings: seeded generator" in output


def test_movielens_leaves_tables_and_a_plot(demo: tuple[str, Path]) -> None:
    _, folder = demo
    assert (folder / "movielens.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "tables" / "user" / "MANIFEST").is_file()


def test_movielens_reads_the_real_ratings_where_they_are(
    tmp_path: Path, skip_without: Callable[[str, str], None]
) -> None:
    data = Path(os.environ.get("JAX_HPS_DATA", ""))
    if not (data / "ml-100k" / "u.data").is_file():
        skip_without("movielens", "JAX_HPS_DATA has no ml-100k/u.data")
    output = run("movielens/main.py", "--out", str(tmp_path), "--cold-rounds", "3")
    assert "Ratings: MovieLens 100K" in output
    assert "bit-identical" in output
    auc = float(output.split("AUC, all users: ")[1].split()[0])
    assert auc > 0.69


def test_dlrm_in_linen_runs() -> None:
    output = run("dlrm_linen.py")
    assert "scores: [" in output
    assert "lookups=" in output


def test_two_tower_in_nnx_serves_what_it_was_trained_to() -> None:
    output = run("two_tower_nnx.py")
    assert "bit-identical: True" in output
