# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks lookup|storage|ingest|cache|policies|report`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from . import allocator, environment, report
from .rows import Results
from .run import Run

WIDTH = None if sys.stdout.isatty() else 140

console = Console(highlight=False, soft_wrap=True, width=WIDTH)


def main() -> None:
    arguments = parse()
    if arguments.suite == "report":
        lines = [
            f"{line}\n"
            for file in arguments.files
            for line in ("", *report.markdown(Results.read(file)), "")
        ]
        if arguments.readme:
            report.into_readme(arguments.readme, lines)
        else:
            print("".join(lines))
        return
    if arguments.suite == "lookup" and arguments.allocator == "all":
        results = each_allocator(arguments)
    else:
        results = measure(arguments)
    report.show(console, results.rows)
    if arguments.json:
        results.write(arguments.json)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    suites = parser.add_subparsers(dest="suite", required=True)
    for name in ("lookup", "storage", "ingest", "cache", "policies"):
        suite = suites.add_parser(name, help=f"run the {name} suite")
        suite.add_argument("--quick", action="store_true", help="small, to try it out")
        suite.add_argument("--json", type=Path, help="leave the rows in this file")
        suite.add_argument("--seed", type=int, default=0)
        suite.add_argument(
            "--dir", type=Path, default=Path(), help="scratch space, 8 GiB free"
        )
    suites.choices["lookup"].add_argument(
        "--allocator",
        choices=["all", *allocator.SETTINGS],
        default="all",
        help="settings of glibc's malloc; all: one process for each",
    )
    printer = suites.add_parser("report", help="print JSON files as Markdown")
    printer.add_argument("files", type=Path, nargs="+")
    printer.add_argument("--readme", type=Path, help="put it into this file instead")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> Results:
    """Run a suite in this process."""
    run = Run(arguments.dir, console, quick=arguments.quick, seed=arguments.seed)
    if arguments.suite == "lookup":
        allocator.ensure(arguments.allocator)
        from . import lookup

        lookup.measure(run, arguments.allocator)
    elif arguments.suite == "ingest":
        from . import ingest

        ingest.measure(run)
    elif arguments.suite == "cache":
        from . import cache

        cache.measure(run)
    elif arguments.suite == "policies":
        from . import policies

        policies.measure(run, plots=arguments.json)
    else:
        from . import storage

        storage.measure(run)
    return Results(environment.describe(seed=arguments.seed), run.rows)


def each_allocator(arguments: argparse.Namespace) -> Results:
    """Run the lookup suite in one process for each setting of the allocator."""
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for name in allocator.SETTINGS:
            file = Path(folder) / f"{name}.json"
            given = ["--json", str(file), "--allocator", name]
            given += ["--seed", str(arguments.seed), "--dir", str(arguments.dir)]
            given += ["--quick"] if arguments.quick else []
            console.print(f"[bold]glibc malloc: {name}[/]")
            command = [sys.executable, "-m", "benchmarks", "lookup", *given]
            subprocess.run(command, check=True)
            parts.append(Results.read(file))
    rows = [row for part in parts for row in part.rows]
    return Results(parts[0].environment, rows)


if __name__ == "__main__":
    main()
