# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""The names that users may rely on, and what importing them needs."""

import jax_hps as hps

PUBLIC = {
    "ArgumentError",
    "CacheSpec",
    "CacheStats", "ClosedError", "ConfigError", "CorruptTableError", "DeadlineError",
    "HpsError", "KeyDtypeError", "MissingKeyError", "PackedKeys", "ParameterServer",
    "Plan", "StoredTable", "Table", "TableDataError", "TableExistsError",
    "TableFormatError", "TableLockedError", "TableNotFoundError", "TablePlan",
    "TableSpec", "TableStats", "TierUnavailableError", "Warming", "create_table",
    "keys", "lookup", "lookup_many", "open_table", "pack_keys", "plan",
}  # fmt: skip


def test_the_public_names_are_these_and_have_docstrings():
    assert set(hps.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(hps, name).__doc__, name


def test_the_formats_that_are_ingested_are_these():
    formats = {"hugectr", "npy", "orbax", "parquet", "safetensors"}
    assert set(hps.ingest.__all__) == formats
    for name in formats:
        assert getattr(hps.ingest, name).__doc__, name


def test_every_error_is_ours_and_a_built_in():
    for name in PUBLIC:
        error = getattr(hps, name)
        if name.endswith("Error") and error is not hps.HpsError:
            assert issubclass(error, hps.HpsError)
            assert any(
                base.__module__ == "builtins"
                and base not in (Exception, BaseException, object)
                for base in error.__mro__
            ), name


def test_import_needs_no_extras_and_starts_no_backend(run_python):
    run_python("""
import sys
for name in (
    "flax", "tensorflow", "redis", "zarr", "optax", "matplotlib", "pyarrow",
    "safetensors", "orbax",
):
    sys.modules[name] = None
import jax_hps
import jax_hps.flax
import jax_hps.ingest
from jax._src import xla_bridge
assert not xla_bridge._backends, "importing must not start a backend"
""")
