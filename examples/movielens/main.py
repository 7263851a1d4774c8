# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""From ratings to a served model: what `make demo` runs.

Trains a ranker in plain Flax, writes its embedding tables to disk, serves the test
period from there inside `jax.jit`, and checks that every score is, bit for bit, the one
of the model with its tables in memory.

    python examples/movielens/main.py --out demo_output
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import dataset
import metrics
import numpy as np
import plots
import serving
import tables
import training
from rich.console import Console
from rich.table import Table

import jax_hps as hps
from jax_hps.testing import pagecache

BATCH_SIZES = [1, 16, 128, 1024, 8192]

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    data = dataset.load(args.ratings)
    show_data(data)
    start = time.perf_counter()
    trained = training.train(data, epochs=args.epochs)
    console.print(f"Trained in {time.perf_counter() - start:.1f} s.")

    folder = args.out / "tables"
    tables.write(trained, folder)
    show_tables(folder)

    requests = serving.Requests.of_test_period(data, trained)
    results, stats = serving.serve(
        trained,
        requests,
        folder,
        batch_sizes=BATCH_SIZES,
        cold_rounds=args.cold_rounds,
    )
    show_latency(results)
    show_stats(stats)
    curves = roc_curves(data, trained, results[0])
    plot = args.out / "movielens.png"
    plots.draw(plot, results, curves)
    for name, curve in curves.items():
        console.print(f"AUC, {name}: [bold]{curve.auc:.4f}[/]")
    console.print(f"Plot: {plot}")
    return verdict(results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo_output"))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--cold-rounds", type=int, default=20)
    parser.add_argument(
        "--ratings", type=int, default=100_000, help="how many to make up, if need be"
    )
    return parser.parse_args()


def show_data(data: dataset.Dataset) -> None:
    newcomers = 1 - np.isin(data.test.users, data.train.users).mean()
    console.print(f"Ratings: [bold]{data.source}[/]")
    console.print(
        f"{len(data.train)} ratings to learn from, {len(data.test)} later ones to "
        f"serve, {newcomers:.0%} of them by users who are new by then."
    )


def show_tables(folder: Path) -> None:
    for name in tables.NAMES:
        with hps.open_table(folder / name) as table:
            table.verify()
            console.print(
                f"Table {name!r}: {table.num_rows} rows of {table.dim} {table.dtype}."
            )
    pagecache.drop(folder)
    left = pagecache.cached_bytes(folder)
    if left:
        console.print(f"[yellow]{left} bytes stay in memory: cold is not cold here.[/]")


def show_latency(results: list[serving.Served]) -> None:
    """Warm and cold are from disk; cold is the first batch of a new server."""
    table = Table(title="Milliseconds for a batch, whole model: median / p99")
    for title in ("batch", "n", "resident", "warm", "cold", "scores"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            str(result.batch_size),
            str(len(result.served_s)),
            milliseconds(result.resident_s),
            milliseconds(result.served_s),
            milliseconds(result.cold_s),
            "[green]identical[/]" if result.identical else "[red]DIFFERENT[/]",
        )
    console.print(table)


def milliseconds(seconds: serving.Seconds) -> str:
    median, p99 = 1e3 * np.percentile(seconds, (50, 99))
    return f"{median:.3f} / {p99:.3f}"


def show_stats(stats: dict[str, hps.TableStats]) -> None:
    table = Table(title="What answered, warm")
    columns = ("lookups", "keys", "base_hits", "defaults", "unavailable", "bytes")
    table.add_column("table")
    for column in columns:
        table.add_column(column, justify="right")
    for name, counters in stats.items():
        table.add_row(name, *(f"{getattr(counters, column):,}" for column in columns))
    console.print(table)


def roc_curves(
    data: dataset.Dataset, trained: training.Trained, result: serving.Served
) -> dict[str, metrics.Roc]:
    target = dataset.liked(data.test)
    known = np.isin(data.test.users, trained.user_ids)
    return {
        "all users": metrics.roc(result.scores, target),
        "known users": metrics.roc(result.scores[known], target[known]),
    }


def verdict(results: list[serving.Served]) -> int:
    different = [result.batch_size for result in results if not result.identical]
    if different:
        console.print(
            f"[red]Scores differ from the resident model's at {different}.[/]"
        )
        return 1
    sizes = ", ".join(str(result.batch_size) for result in results)
    console.print(
        "[green]Scores from disk are bit-identical to the resident model's[/] at batch "
        f"sizes {sizes}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
