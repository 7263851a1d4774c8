# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of the policies over the size of the cache, a small one for each stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .cache_policies import DEFAULT
from .outcomes import BELADY, EXACT_LFU, LRU_64, Outcome
from .run import Run

GREY, ORANGE, GREEN = "#6b7280", "#ea580c", "#16a34a"
BLUE, LIGHT_BLUE = "#2563eb", "#93c5fd"

LINES: dict[str, dict[str, Any]] = {
    BELADY: {"color": GREY, "linestyle": ":"},
    EXACT_LFU: {"color": GREY, "linestyle": "--"},
    LRU_64: {"color": ORANGE, "marker": "o"},
    "s3fifo": {"color": GREEN, "marker": "o"},
    "frequency, halving 1": {"color": LIGHT_BLUE},
    "frequency, halving 8": {"color": LIGHT_BLUE, "linestyle": "--"},
    DEFAULT: {"color": BLUE, "marker": "o"},
}

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.color": "#e5e7eb",
    "font.size": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3,
}

COLUMNS = 4

Value = Callable[[Outcome, str], float]


def draw(run: Run, outcomes: Sequence[Outcome], beside: Path) -> None:
    """Write `<stem>_hit_rate.png` and `<stem>_misses.png` into the folder of a file."""
    try:
        import matplotlib as mpl
    except ImportError:
        run.skip("plots", "matplotlib is not installed")
        return
    mpl.use("Agg")
    plots: dict[str, tuple[str, Value]] = {
        "hit_rate": ("Requests that hit, %", _hit_rate),
        "misses": (f"Unique misses, relative to {LRU_64}", _misses),
    }
    beside.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, (title, value) in plots.items():
            figure = _figure(outcomes, title, value)
            figure.savefig(beside.with_name(f"{beside.stem}_{name}.png"), dpi=140)


def _hit_rate(outcome: Outcome, name: str) -> float:
    return 100 * outcome.figures[name].hit_rate


def _misses(outcome: Outcome, name: str) -> float:
    theirs = outcome.figures[LRU_64]
    return outcome.figures[name].unique_misses / max(theirs.unique_misses, theirs.least)


def _figure(outcomes: Sequence[Outcome], title: str, value: Value) -> Any:
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(outcome.stream for outcome in outcomes))
    lines = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(3 * COLUMNS, 2.4 * lines + 0.8), layout="constrained")
    grid = list(figure.subplots(lines, COLUMNS, squeeze=False, sharey=True).flat)
    for axes, name in zip(grid, names, strict=False):
        _panel(axes, [one for one in outcomes if one.stream == name], value)
        axes.set_title(name)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=COLUMNS)
    title += ", by the rows in the cache (% of the table)"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return figure


def _panel(axes: Any, outcomes: Sequence[Outcome], value: Value) -> None:
    shares = [100 * outcome.share for outcome in outcomes]
    for name, style in LINES.items():
        values = [value(outcome, name) for outcome in outcomes]
        axes.plot(shares, values, label=name, **style)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:.2g}" for share in shares])
    axes.minorticks_off()
