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


def test_report_makes_markdown_of_the_rows(tmp_path: Path) -> None:
    values = ["read vs copy", "1 key", 20.5, 10.25, 2.0, "Mrows/s", 49.9, 1234.5, 7]
    row = dict(zip(FIELDS, values, strict=True))
    environment = {"machine": "2 cores", "settings": ""}
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"environment": environment, "rows": [row]}))
    lines = run("report", str(file)).splitlines()
    assert lines[0].startswith("| case | shape | ours | baseline | unit | ratio |")
    assert lines[2] == (
        "| read vs copy | 1 key | 20.5 | 10.2 | Mrows/s | 2.00x | 49.9 | 1,234 | 7 |"
    )
    assert lines[4] == "Made on machine 2 cores."


@pytest.mark.slow
@pytest.mark.parametrize("suite", [["storage"], ["lookup", "--allocator", "no-mmap"]])
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
