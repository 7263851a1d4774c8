# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""Lookups against a Python dict, for tables and keys that Hypothesis thinks of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax_checks import assert_same

import jax_hps as hps

DTYPES = ["float32", "float16", "bfloat16"]
INT64 = st.integers(-(2**63), 2**63 - 1)

# JAX compiles for each shape: few shapes, and many values in each.
SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (2, 0)])


@pytest.fixture(scope="module")
def served_tables(make_table, serve_module):
    """Three tables: dense, of random keys, of keys that differ in single bits."""
    bits = np.int64(1) << np.arange(64)
    close = np.unique(np.concatenate([bits, ~bits, bits - 1]))
    models = [
        make_table(3, sparse=False, default=np.arange(3)),
        make_table(5, dtype="bfloat16", default=-1.0),
        make_table(17, keys=close, num_rows=len(close), dtype="float16"),
    ]
    server = serve_module(*models)
    return [(server.table(model.name), model) for model in models]


@st.composite
def requests(draw):
    """(number of a table, function from its keys to the ids to ask for)."""
    number = draw(st.integers(0, 2))
    shape = draw(SHAPES)
    chosen = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 10_000)))
    foreign = draw(hnp.arrays(np.int64, shape, elements=INT64))
    is_known = draw(hnp.arrays(np.bool_, shape))
    pick = lambda keys: np.where(is_known, keys[chosen % len(keys)], foreign)  # noqa: E731
    return number, pick


def as_int64_array(ids):
    with jax.enable_x64(True):
        return jnp.asarray(ids)


AS_KEYS = [hps.keys, as_int64_array, np.ndarray.tolist, np.asarray]


@settings(max_examples=60, deadline=None)
@given(
    asked=st.lists(requests(), min_size=1, max_size=4),
    dtype=st.sampled_from([*DTYPES, None]),
    return_found=st.booleans(),
    as_keys=st.sampled_from(AS_KEYS),
)
def test_lookup_many_agrees_with_a_dict(
    served_tables, asked, dtype, return_found, as_keys
):
    pairs, expected = {}, {}
    for i, (number, pick) in enumerate(asked):
        table, model = served_tables[number]
        ids = pick(model.keys)
        pairs[i] = table, as_keys(np.asarray(ids))
        expected[i] = model.answer(ids, dtype), model.known(ids)
    answers = hps.lookup_many(pairs, dtype=dtype, return_found=return_found)
    for i, (rows, found) in expected.items():
        answer = answers[i] if return_found else (answers[i], found)
        assert_same(answer[0], rows)
        assert_same(answer[1], found)
