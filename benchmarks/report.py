# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The table of results: in the terminal, and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, JustifyMethod
from rich.table import Table

from .rows import Results, Row

HEADINGS = ("shape", "ours", "baseline", "unit", "ratio", "median", "p99", "n")
TEXT = ("case", "shape", "unit")  # set to the left, figures to the right


def show(console: Console, rows: list[Row]) -> None:
    """Print the rows, a table for each case."""
    console.print("Ratio above 1: ours is better. Median and p99 of our calls, in us.")
    cases = dict.fromkeys(row.case for row in rows)
    for case in cases:
        table = Table(title=case, title_justify="left", title_style="bold")
        for heading in HEADINGS:
            side: JustifyMethod = "left" if heading in TEXT else "right"
            table.add_column(heading, justify=side, no_wrap=True)
        for row in rows:
            if row.case == case:
                table.add_row(*_cells(row))
        console.print(table)


def line(row: Row) -> str:
    """A row as one line, for progress."""
    return (
        f"{row.case} · {row.shape}: {number(row.ours)} vs {number(row.baseline)} "
        f"{row.unit}, [bold]{row.ratio:.2f}x[/]"
    )


def markdown(results: Results) -> Iterator[str]:
    """The lines of a Markdown table, and of how it was made."""
    headings = ("case", *HEADINGS)
    yield f"| {' | '.join(headings)} |"
    rules = ("---|" if heading in TEXT else "---:|" for heading in headings)
    yield "|" + "".join(rules)
    for row in results.rows:
        yield f"| {' | '.join((row.case, *_cells(row)))} |"
    yield ""
    facts = (f"{name} {value}" for name, value in results.environment.items() if value)
    yield f"Made on {', '.join(facts)}."


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value else "0"


def _cells(row: Row) -> list[str]:
    """The row under `HEADINGS`."""
    timed = [number(row.median), number(row.p99)] if row.median else ["", ""]
    figures = [number(row.ours), number(row.baseline), row.unit, f"{row.ratio:.2f}x"]
    return [row.shape, *figures, *timed, str(row.n)]
