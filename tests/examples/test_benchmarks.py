# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks start, leave the rows they promise, and clean up after themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIELDS = ["case", "shape", "ours", "baseline", "ratio", "unit", "median", "p99", "n"]


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def results(tmp_path: Path) -> Path:
    values = [
        ["lookup vs take", "1024 keys, dim 4", 3.0, 1.5, 2.0, "Mkeys/s", 9.0, 10.0, 5],
        ["lookup vs take", "4096 keys, dim 4", 3.0, 2.0, 1.5, "Mkeys/s", 9.0, 10.0, 5],
        ["read vs copy", "1 key", 20.5, 10.25, 2.0, "Mrows/s", 49.9, 1234.5, 7],
    ]
    rows = [dict(zip(FIELDS, row, strict=True)) for row in values]
    environment = {"machine": "2 cores", "settings": ""}
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"environment": environment, "rows": rows}))
    return file


def test_report_makes_markdown_of_the_rows(results: Path) -> None:
    assert [line for line in run("report", str(results)).splitlines() if line] == [
        "| ours vs baseline, by keys in a call | 1,024 keys | 4,096 keys |",
        "|---|---:|---:|",
        "| lookup vs take, dim 4 | 2.00x | 1.50x |",
        "| ours vs baseline | shape | ours | baseline | unit | ratio |",
        "|---|---|---:|---:|---|---:|",
        "| read vs copy | 1 key | 20.5 | 10.2 | Mrows/s | 2.00x |",
        "Made on machine 2 cores.",
    ]


def test_report_replaces_what_stands_between_the_marks(
    results: Path, tmp_path: Path
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- results: how -->\nold\n<!-- end of results -->\nz\n")
    for _ in range(2):  # the second time changes nothing
        run("report", "--readme", str(readme), str(results))
        text = readme.read_text()
        assert text.startswith("a\n<!-- results: how -->\n\n| ours vs baseline")
        assert text.endswith("2 cores.\n\n<!-- end of results -->\nz\n")
        assert "old" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "suite", [["storage"], ["lookup", "--allocator", "no-mmap"], ["policies"]]
)
def test_a_quick_run_leaves_rows_and_no_files(suite: list[str], tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run(*suite, "--quick", "--dir", str(scratch), "--json", str(file))
    results = json.loads(file.read_text())
    assert {"machine", "jax", "commit", "seed"} <= set(results["environment"])
    assert results["rows"]
    for row in results["rows"]:
        assert list(row) == FIELDS
        assert row["ratio"] > 0
    assert not list(scratch.iterdir())
    plots = ["rows_hit_rate.png", "rows_misses.png"] if suite == ["policies"] else []
    assert sorted(path.name for path in tmp_path.glob("*.png")) == plots
