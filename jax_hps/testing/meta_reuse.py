# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How often Meta's production recommendation models touch the same embedding row.

The numbers are those of `locality_stats_2021.txt` (fbgemm_t856_bs65536.pt) and
`locality_stats_2022.txt` (fbgemm_t788_bs131072_0.pt) in facebookresearch/dlrm_datasets
(MIT licence): for each bin of reuse counts `(1, 2], (2, 4], ...` the share of all
accesses that goes to rows in that bin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Upper edges of the bins; the last bin, "above 32768", has none.
REUSE_EDGES = 2 ** np.arange(16, dtype=np.int64)

# Thousandths of all accesses, from the bin (0, 1] up to the bin above 32768.
ACCESS_SHARES = {
    2021: (69, 44, 68, 101, 121, 104, 73, 58, 52, 50, 49, 48, 48, 43, 31, 23, 19),
    2022: (27, 23, 40, 68, 105, 120, 99, 70, 59, 54, 40, 72, 64, 47, 21, 17, 76),
}


class ReuseCurve(NamedTuple):
    """Bins of rows, hottest first; both shares sum to 1.

    Attributes:
        rows: share of the distinct rows in each bin, float64.
        accesses: share of the accesses to each bin, float64.
    """

    rows: NDArray[np.float64]
    accesses: NDArray[np.float64]


def reuse_curve(year: int) -> ReuseCurve:
    """Shares of rows and accesses by how hot a row is.

    A bin with accesses `a` whose rows are touched `m` times each holds `a / m` rows, up
    to a common factor. The files print shares of rows with three decimals, 0.000 for
    the hottest, so `m` is taken as the geometric mean of the counts that the bin may
    hold (for the bin above 32768: up to 131072). That meets the printed shares to
    within 0.007, and the printed touches per row, 6.9 and 12.7, to within 1 %.

    Args:
        year: 2021 or 2022.

    Returns:
        The curve, 17 bins.
    """
    accesses = np.asarray(ACCESS_SHARES[year], dtype=np.float64)
    fewest = np.append(1, REUSE_EDGES + 1).astype(np.float64)
    most = np.append(REUSE_EDGES, 131072).astype(np.float64)
    rows = accesses / np.sqrt(fewest * most)
    return ReuseCurve(rows[::-1] / rows.sum(), accesses[::-1] / accesses.sum())
