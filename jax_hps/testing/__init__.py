# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Workloads and helpers that the tests, the benchmarks and the examples share.

Nothing here needs jax or the compiled half: a workload is NumPy and a seed.
"""

from __future__ import annotations

from .drift import Drift as Drift
from .drift import Scans as Scans
from .permutation import Permutation as Permutation
from .permutation import scatter_keys as scatter_keys
from .ratings import Ratings as Ratings
from .ratings import read_movielens as read_movielens
from .ratings import synthetic_ratings as synthetic_ratings
from .workloads import MetaReuse as MetaReuse
from .workloads import TraceReplay as TraceReplay
from .workloads import Uniform as Uniform
from .workloads import Workload as Workload
from .workloads import Zipf as Zipf

__all__ = [
    "Drift",
    "MetaReuse",
    "Permutation",
    "Ratings",
    "Scans",
    "TraceReplay",
    "Uniform",
    "Workload",
    "Zipf",
    "read_movielens",
    "scatter_keys",
    "synthetic_ratings",
]
