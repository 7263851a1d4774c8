# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Flax layers over tables: `jax_hps.flax.linen.Embed` and `jax_hps.flax.nnx.Embed`.

Flax is imported with the first use of either module, and not before.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import linen as linen
    from . import nnx as nnx

__all__ = ["linen", "nnx"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        try:
            return importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"jax_hps.flax.{name} needs Flax: pip install 'jax_hps[flax]'"
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
