# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The plot that the example leaves: latency by batch size, and the ROC curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from metrics import Roc
from serving import Seconds, Served

BLUE, GREY, ORANGE = "#2563eb", "#6b7280", "#ea580c"

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "grid.color": "#e5e7eb",
    "font.size": 10,
    "legend.frameon": False,
    "lines.markersize": 4,
}


def draw(path: Path, results: list[Served], curves: dict[str, Roc]) -> None:
    """Write the plot as PNG."""
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(11, 4.5), width_ratios=(3, 2), layout="constrained"
        )
        _latency(left, results)
        _roc(right, curves)
        figure.savefig(path, dpi=160)
        plt.close(figure)


def _latency(axes: Axes, results: list[Served]) -> None:
    sizes = [result.batch_size for result in results]
    lines = {
        "resident, jnp.take": (GREY, [result.resident_s for result in results]),
        "from disk, warm": (BLUE, [result.served_s for result in results]),
        "from disk, first batch cold": (ORANGE, [result.cold_s for result in results]),
    }
    for label, (color, seconds) in lines.items():
        axes.plot(sizes, _milliseconds(seconds, 50), "o-", color=color, label=label)
        axes.plot(sizes, _milliseconds(seconds, 99), ":", color=color, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="batch size", ylabel="milliseconds")
    axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title("Latency of a batch, whole model (dotted: p99)")
    axes.legend(loc="upper left")


def _milliseconds(seconds: list[Seconds], percent: float) -> list[float]:
    return [1e3 * float(np.percentile(times, percent)) for times in seconds]


def _roc(axes: Axes, curves: dict[str, Roc]) -> None:
    for color, (label, curve) in zip((BLUE, ORANGE), curves.items(), strict=False):
        label = f"{label}: AUC {curve.auc:.3f}"
        axes.plot(curve.false_positives, curve.true_positives, color=color, label=label)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.set_title("Test period, served from disk")
    axes.legend(loc="lower right")
