# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Ratings in the shape of MovieLens: read from its file, or made up from a seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

_DAY_S = 86_400
_PERIOD_S = 215 * _DAY_S  # MovieLens 100K spans as many days
_FIRST_S = 874_724_710  # and starts here, in September 1997


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Ratings in the order of time; four arrays of one length, int64.

    Attributes:
        users: user ids, from 1.
        items: item ids, from 1.
        stars: 1 to 5.
        times_s: Unix time, not falling.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    stars: NDArray[np.int64]
    times_s: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, span: slice) -> Ratings:
        columns = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Ratings(*(column[span] for column in columns))


def read_movielens(path: str | Path) -> Ratings:
    """Read `u.data` of MovieLens 100K: user, item, stars and time, tab separated.

    Args:
        path: the file.

    Returns:
        Its ratings, sorted by time.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return _in_order_of_time(np.loadtxt(path, dtype=np.int64, delimiter="\t").T)


def synthetic_ratings(
    num_users: int = 943,
    num_items: int = 1682,
    *,
    num_ratings: int = 100_000,
    seed: int = 0,
) -> Ratings:
    """Make up ratings that a model can learn from, in the shape of MovieLens 100K.

    User `u` gives item `i`

        stars = clip(round(3.55 + b_u + c_i + p_u . q_i + e), 1, 5)

    with biases `b ~ N(0, 0.4)`, `c ~ N(0, 0.5)`, 8 latent factors such that
    `p . q ~ N(0, 0.7)` or so, and noise `e ~ N(0, 0.7)`. How much a user rates is
    log-normal; what a user rates, each item at most once, is Zipf-distributed over the
    items and leans towards what the user likes. Users join over 215 days, and their
    ratings follow within days (exponential, 12 days on average).

    Args:
        num_users: users, ids 1 to `num_users`.
        num_items: items, ids 1 to `num_items`.
        num_ratings: ratings in all, at most `num_users * num_items`.
        seed: of everything.

    Returns:
        The ratings, sorted by time.

    Raises:
        ConfigError: more ratings than pairs of user and item.

    Example:
        >>> from jax_hps.testing import synthetic_ratings
        >>> ratings = synthetic_ratings(10, 20, num_ratings=100, seed=1)
        >>> len(ratings), int(ratings.stars.min()), int(ratings.stars.max())
        (100, 1, 5)
    """
    if num_ratings > num_users * num_items:
        raise ConfigError(
            f"synthetic_ratings: num_ratings={num_ratings}: expected at most "
            f"{num_users} users x {num_items} items, as no user rates an item twice."
        )
    rng = np.random.default_rng(seed)
    taste = _tastes(rng, num_users, num_items)
    counts = _activity(rng, num_users, num_items, num_ratings)
    users = np.repeat(np.arange(num_users), counts)
    items = _choices(rng, taste, counts)
    noise = rng.normal(0, 0.7, num_ratings)
    stars = np.clip(np.rint(3.55 + taste[users, items] + noise), 1, 5)
    joined = rng.uniform(0, _PERIOD_S, num_users)
    since = rng.exponential(12 * _DAY_S, num_ratings)
    times = _FIRST_S + np.minimum(joined[users] + since, _PERIOD_S)
    return _in_order_of_time(np.stack([users + 1, items + 1, stars, times]))


def _tastes(
    rng: np.random.Generator, num_users: int, num_items: int
) -> NDArray[np.float64]:
    """What each user thinks of each item, around 0, `[num_users, num_items]`."""
    factors = 8
    scale = 0.7**0.5 / factors**0.25
    users = rng.normal(0, scale, (num_users, factors))
    items = rng.normal(0, scale, (num_items, factors))
    user_bias = rng.normal(0, 0.4, (num_users, 1))
    item_bias = rng.normal(0, 0.5, num_items)
    return np.asarray(user_bias + item_bias + users @ items.T)


def _activity(
    rng: np.random.Generator, num_users: int, num_items: int, num_ratings: int
) -> NDArray[np.int64]:
    """How many items each user rates; sums to `num_ratings`."""
    eagerness = rng.lognormal(0, 1.0, num_users)
    share = num_ratings * eagerness / eagerness.sum()
    counts: NDArray[np.int64] = np.minimum(share.astype(np.int64), num_items)
    while missing := num_ratings - int(counts.sum()):
        room = np.flatnonzero(counts < num_items)
        counts[rng.choice(room, min(missing, len(room)), replace=False)] += 1
    return counts


def _choices(
    rng: np.random.Generator, taste: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Items that each user rates, users one after another; none twice for a user.

    The `n` largest of log-weights with Gumbel noise are `n` draws without replacement.
    """
    num_items = taste.shape[1]
    popularity = -0.9 * np.log(rng.permutation(num_items) + 5.0)
    weights = popularity + 0.5 * taste + rng.gumbel(size=taste.shape)
    ranked = np.argsort(-weights, axis=1)
    chosen: NDArray[np.int64] = ranked[np.arange(num_items) < counts[:, None]]
    return chosen


def _in_order_of_time(columns: NDArray[np.generic]) -> Ratings:
    ordered = columns[:, np.argsort(columns[3], kind="stable")].astype(np.int64)
    return Ratings(*ordered)
