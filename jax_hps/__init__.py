# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A hierarchical parameter server for JAX.

Embedding tables larger than accelerator memory, looked up inside `jax.jit`.
"""

from importlib.metadata import version as _version

from . import errors as errors
from . import flax as flax
from . import ingest as ingest
from .caching import CacheStats as CacheStats
from .config import CacheSpec as CacheSpec
from .config import TableSpec as TableSpec
from .errors import ArgumentError as ArgumentError
from .errors import ClosedError as ClosedError
from .errors import ConfigError as ConfigError
from .errors import CorruptTableError as CorruptTableError
from .errors import DeadlineError as DeadlineError
from .errors import HpsError as HpsError
from .errors import KeyDtypeError as KeyDtypeError
from .errors import MissingKeyError as MissingKeyError
from .errors import TableDataError as TableDataError
from .errors import TableExistsError as TableExistsError
from .errors import TableFormatError as TableFormatError
from .errors import TableLockedError as TableLockedError
from .errors import TableNotFoundError as TableNotFoundError
from .errors import TierUnavailableError as TierUnavailableError
from .keys import PackedKeys as PackedKeys
from .keys import keys as keys
from .keys import pack_keys as pack_keys
from .lookup import lookup as lookup
from .lookup import lookup_many as lookup_many
from .open_table import TableStats as TableStats
from .planning import Plan as Plan
from .planning import TablePlan as TablePlan
from .planning import plan as plan
from .server import ParameterServer as ParameterServer
from .storage import StoredTable as StoredTable
from .storage import create_table as create_table
from .storage import open_table as open_table
from .table import Table as Table
from .warming import Warming as Warming

__all__ = [
    "ArgumentError",
    "CacheSpec",
    "CacheStats",
    "ClosedError",
    "ConfigError",
    "CorruptTableError",
    "DeadlineError",
    "HpsError",
    "KeyDtypeError",
    "MissingKeyError",
    "PackedKeys",
    "ParameterServer",
    "Plan",
    "StoredTable",
    "Table",
    "TableDataError",
    "TableExistsError",
    "TableFormatError",
    "TableLockedError",
    "TableNotFoundError",
    "TablePlan",
    "TableSpec",
    "TableStats",
    "TierUnavailableError",
    "Warming",
    "create_table",
    "keys",
    "lookup",
    "lookup_many",
    "open_table",
    "pack_keys",
    "plan",
]

__version__ = _version("jax_hps")
