# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Looks something up with nothing installed but the wheel: `make wheel-test`."""

import tempfile
from pathlib import Path

import jax
import numpy as np

import jax_hps as hps

keys = np.array([7, -1, 2**40])
rows = np.arange(6, dtype=np.float32).reshape(3, 2)
with tempfile.TemporaryDirectory() as folder:
    hps.create_table(Path(folder) / "user", rows, keys).close()
    spec = hps.TableSpec(name="user", path=str(Path(folder) / "user"))
    with hps.ParameterServer([spec]) as server:
        user = server.table("user")
        found = jax.jit(lambda k: hps.lookup(user, k))(hps.keys(keys[::-1]))
        np.testing.assert_array_equal(found, rows[::-1])
assert "site-packages" in hps.__file__
print(f"jax_hps {hps.__version__} from {hps.__file__} works")
