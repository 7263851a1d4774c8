# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The table of results: in the terminal, and as Markdown for the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

from . import policy_rows
from .cache_policies import DEFAULT
from .rows import Results, Row

HEADINGS = ("shape", "ours", "baseline", "unit", "ratio", "median", "p99", "n")
_SIZE = re.compile(r"(\d{4,}) keys, ")
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
    """The results as Markdown tables, and what they were made on."""
    tables = policy_rows.markdown if _of_policies(results) else _ratios
    yield from tables(results.rows)
    yield ""
    facts = (f"{name} {value}" for name, value in results.environment.items() if value)
    yield f"Made on {', '.join(facts)}."


def _of_policies(results: Results) -> bool:
    return any(DEFAULT in row.shape for row in results.rows)


def _ratios(rows: list[Row]) -> Iterator[str]:
    """A line for each case, a column for each size."""
    sized = [row for row in rows if _SIZE.match(row.shape)]
    columns = sorted({_keys(row) for row in sized})
    if sized:
        heads = " | ".join(f"{keys:,} keys" for keys in columns)
        yield f"| ours vs baseline, by keys in a call | {heads} |"
        yield "|---|" + "---:|" * len(columns)
    for (case, shape), same in _grouped(sized).items():
        ratios = {_keys(row): f"{row.ratio:.2f}x" for row in same}
        cells = " | ".join(ratios.get(keys, "") for keys in columns)
        yield f"| {case}, {shape} | {cells} |"
    if sized:
        yield ""
    yield "| ours vs baseline | shape | ours | baseline | unit | ratio |"
    yield "|---|---|---:|---:|---|---:|"
    for row in rows:
        if row not in sized:
            figures = (number(row.ours), number(row.baseline), row.unit)
            cells = " | ".join((row.case, row.shape, *figures, f"{row.ratio:.2f}x"))
            yield f"| {cells} |"


def into_readme(readme: Path, lines: list[str]) -> None:
    """Put lines between the marks of a file.

    Raises:
        ValueError: the file lacks the marks.
    """
    text = readme.read_text()
    head, begin, rest = text.partition("<!-- results:")
    mark, newline, rest = rest.partition("-->\n")
    _, end, tail = rest.partition("<!-- end of results -->")
    if not (begin and newline and end):
        raise ValueError(
            f"{readme}: no '<!-- results: -->' and '<!-- end of results -->'"
        )
    readme.write_text("".join([head, begin, mark, newline, *lines, end, tail]))


def _grouped(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, _SIZE.sub("", row.shape)), []).append(row)
    return groups


def _keys(row: Row) -> int:
    """The number of keys that a shape begins with."""
    found = _SIZE.match(row.shape)
    assert found
    return int(found[1])


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
