# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The ratings, split by time: the model learns from the past and serves the future."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jax_hps.testing import Ratings, read_movielens, synthetic_ratings

TEST_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Ratings of two periods.

    Attributes:
        source: where they come from.
        train: the first nine tenths in time.
        test: the rest.
        num_items: items in the catalogue, ids 1 to `num_items`.
    """

    source: str
    train: Ratings
    test: Ratings
    num_items: int


def load(num_ratings: int) -> Dataset:
    """Read MovieLens 100K from `$JAX_HPS_DATA/ml-100k`, else make ratings up.

    Args:
        num_ratings: how many to make up; the file is always taken whole.
    """
    file = Path(os.environ.get("JAX_HPS_DATA", "")) / "ml-100k" / "u.data"
    if file.is_file():
        source, ratings = "MovieLens 100K", read_movielens(file)
    else:
        source = "seeded generator (JAX_HPS_DATA names no folder with ml-100k/u.data)"
        ratings = synthetic_ratings(num_ratings=num_ratings)
    cut = int(len(ratings) * (1 - TEST_SHARE))
    return Dataset(source, ratings[:cut], ratings[cut:], int(ratings.items.max()))


def liked(ratings: Ratings) -> NDArray[np.float32]:
    """The target: 1 where a user gave four stars or five, else 0."""
    return (ratings.stars >= 4).astype(np.float32)
