# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A measurement: one row of the table, and the JSON file that holds them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .timing import Timing


class Row(msgspec.Struct, frozen=True):
    """One case of one shape, ours beside its baseline.

    Attributes:
        case: what is measured, "ours vs baseline".
        shape: sizes, distribution and whatever else makes the case this one.
        ours: our figure, in `unit`.
        baseline: the other one's, in `unit`.
        ratio: how many times better ours is; above 1 we win, be it a rate or a time.
        unit: of `ours` and `baseline`.
        median: of our calls, in microseconds; 0 where nothing was timed.
        p99: of our calls, in microseconds; 0 where nothing was timed.
        n: calls timed, of each side.
    """

    case: str
    shape: str
    ours: float
    baseline: float
    ratio: float
    unit: str
    median: float
    p99: float
    n: int


class Results(msgspec.Struct, frozen=True):
    """Rows, and where they come from.

    Attributes:
        environment: machine, versions, commit, seed (see `environment`).
        rows: the measurements.
    """

    environment: dict[str, str]
    rows: list[Row]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.format(msgspec.json.encode(self), indent=1)
        path.write_bytes(encoded + b"\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        return msgspec.json.decode(path.read_bytes(), type=cls)


def rate(
    case: str, shape: str, ours: Timing, baseline: Timing, *, amount: float, unit: str
) -> Row:
    """A row of rates: `amount` is what one call does, in units of `unit` seconds."""
    return _timed(
        case, shape, ours, amount / ours.median, amount / baseline.median, unit
    )


def duration(
    case: str, shape: str, ours: Timing, baseline: Timing, unit: str = "us"
) -> Row:
    """A row of times, in microseconds ("us") or seconds ("s")."""
    scale = {"us": 1e6, "s": 1.0}[unit]
    row = _timed(case, shape, ours, ours.median * scale, baseline.median * scale, unit)
    return msgspec.structs.replace(row, ratio=1 / row.ratio)


def per_key(case: str, shape: str, ours: Timing, baseline: Timing, keys: int) -> Row:
    """A row of nanoseconds for each of the `keys` of a call."""
    scale = 1e9 / keys
    row = _timed(
        case, shape, ours, ours.median * scale, baseline.median * scale, "ns/key"
    )
    return msgspec.structs.replace(row, ratio=1 / row.ratio)


def size(case: str, shape: str, ours: float, baseline: float, unit: str) -> Row:
    """A row of sizes, where less is better; nothing is timed."""
    return Row(case, shape, ours, baseline, baseline / ours, unit, 0.0, 0.0, 1)


def _timed(
    case: str, shape: str, timing: Timing, ours: float, baseline: float, unit: str
) -> Row:
    return Row(
        case=case,
        shape=shape,
        ours=ours,
        baseline=baseline,
        ratio=ours / baseline,
        unit=unit,
        median=timing.median * 1e6,
        p99=timing.p99 * 1e6,
        n=timing.count,
    )
