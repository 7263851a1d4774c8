# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How well scores rank what was liked above what was not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Roc(NamedTuple):
    """A receiver operating characteristic: rates at each threshold, from 0 to 1."""

    false_positives: NDArray[np.float64]
    true_positives: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Area under the curve: the chance that a liked item scores higher."""
        return float(np.trapezoid(self.true_positives, self.false_positives))


def roc(scores: NDArray[np.float32], target: NDArray[np.float32]) -> Roc:
    """The curve of `scores` against `target`, 0 or 1; ties share a threshold."""
    order = np.argsort(-scores, kind="stable")
    hits = np.append(0, np.cumsum(target[order]))
    last_of_tie = np.append(True, np.append(np.diff(scores[order]) != 0, True))
    misses = np.arange(len(hits)) - hits
    return Roc(
        misses[last_of_tie] / max(misses[-1], 1), hits[last_of_tie] / max(hits[-1], 1)
    )
