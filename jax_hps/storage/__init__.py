# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A table on disk: written once, read natively or through TensorStore. No jax here."""

from __future__ import annotations

from .create import create_table as create_table
from .table import StoredTable as StoredTable
from .table import open_table as open_table
