# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from jax_hps.storage import layout


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20251121)


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 64 KiB, so that a small table has many."""
    monkeypatch.setattr(layout, "SHARD_BYTES", 64 << 10)


@pytest.fixture
def path(tmp_path):
    """Where a test's table goes; nothing is there yet."""
    return tmp_path / "table"
