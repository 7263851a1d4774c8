# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Made-up ratings look like MovieLens, and there is something to learn in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jax_hps.errors import ConfigError
from jax_hps.testing import Ratings, read_movielens, synthetic_ratings


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    return synthetic_ratings(seed=3)


def test_sizes_ids_and_stars_are_in_range(ratings: Ratings) -> None:
    assert len(ratings) == 100_000
    assert (ratings.users.min(), ratings.users.max()) == (1, 943)
    assert ratings.items.min() >= 1
    assert ratings.items.max() <= 1682
    assert set(np.unique(ratings.stars)) == {1, 2, 3, 4, 5}


def test_ratings_are_in_the_order_of_time(ratings: Ratings) -> None:
    assert (np.diff(ratings.times_s) >= 0).all()
    assert 200 < np.ptp(ratings.times_s) / 86_400 <= 215


def test_no_user_rates_an_item_twice(ratings: Ratings) -> None:
    pairs = ratings.users * 10_000 + ratings.items
    assert np.unique(pairs).size == len(ratings)


def test_popularity_is_skewed_and_about_half_the_ratings_are_good(
    ratings: Ratings,
) -> None:
    counts = np.sort(np.bincount(ratings.items))[::-1]
    assert counts[:168].sum() > 0.3 * len(ratings)  # a tenth of the items
    assert 0.45 < np.mean(ratings.stars >= 4) < 0.65


def test_the_means_of_user_and_item_explain_a_good_part(ratings: Ratings) -> None:
    stars = ratings.stars - ratings.stars.mean()
    for ids, share in ((ratings.users, 0.05), (ratings.items, 0.1)):
        counts = np.maximum(np.bincount(ids), 1)
        means = np.bincount(ids, weights=stars) / counts
        explained = np.sum(means[ids] * stars) / np.sum(stars**2)
        assert explained > share


def test_equal_seeds_give_equal_ratings() -> None:
    def column(seed: int) -> list[int]:
        return synthetic_ratings(20, 30, num_ratings=200, seed=seed).stars.tolist()

    assert column(1) == column(1)
    assert column(1) != column(2)


def test_every_pair_may_be_rated_but_no_more() -> None:
    assert len(synthetic_ratings(4, 5, num_ratings=20)) == 20
    with pytest.raises(ConfigError, match="no user rates an item twice"):
        synthetic_ratings(4, 5, num_ratings=21)


def test_a_slice_of_ratings_keeps_the_columns_together(ratings: Ratings) -> None:
    part = ratings[10:13]
    assert len(part) == 3
    assert part.users.tolist() == ratings.users[10:13].tolist()
    assert part.times_s.tolist() == ratings.times_s[10:13].tolist()


def test_movielens_is_read_and_sorted_by_time(tmp_path: Path) -> None:
    file = tmp_path / "u.data"
    file.write_text("7\t3\t5\t300\n8\t4\t1\t100\n9\t5\t2\t200\n")
    ratings = read_movielens(file)
    assert ratings.users.tolist() == [8, 9, 7]
    assert ratings.items.tolist() == [4, 5, 3]
    assert ratings.stars.tolist() == [1, 2, 5]
    assert ratings.times_s.tolist() == [100, 200, 300]
