# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The model: two embeddings, their interaction, and a small network on top."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class Ranker(nn.Module):
    """Scores pairs of user and item.

    The embeddings are given: `flax.linen.Embed` in training, `jax_hps.flax.linen.Embed`
    in serving. Nothing else changes between the two.

    Attributes:
        user: layer from users [batch] to rows [batch, dim].
        item: layer from items [batch] to rows [batch, dim].
    """

    user: nn.Module
    item: nn.Module

    @nn.compact
    def __call__(self, users: Any, items: jax.Array) -> jax.Array:
        user, item = self.user(users), self.item(items)
        x = jnp.concatenate([user, item, user * item], axis=-1)
        for width in (64, 32):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(1)(x)[..., 0]
