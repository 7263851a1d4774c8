# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""`keys`, `pack_keys` and `PackedKeys`: no bit of a key may be lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jax_hps as hps

EXTREMES = [0, 1, -1, 2**31, -(2**31) - 1, 2**32, 2**40 + 3, 2**63 - 1, -(2**63)]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_int64_survives(ids):
    array = np.array(ids, np.int64)
    np.testing.assert_array_equal(hps.keys(array).to_numpy(), array)
    np.testing.assert_array_equal(hps.keys(ids).to_numpy(), array)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 2), (2, 3), (2, 1, 2)])
def test_numpy_of_any_integer_dtype_and_shape(dtype, shape):
    info = np.iinfo(dtype)
    ids = np.resize(np.array([info.min, info.max, 7], dtype), shape)
    packed = hps.keys(ids)
    assert (packed.shape, packed.ndim, packed.size) == (ids.shape, ids.ndim, ids.size)
    np.testing.assert_array_equal(packed.to_numpy(), ids.astype(np.int64))


def test_words_are_little_endian():
    packed = hps.keys([2**32 + 5])
    assert packed.data.dtype == jnp.uint32
    assert packed.data.tolist() == [[5, 1]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_does_not_matter(order):
    ids = np.arange(24, dtype=">i8").reshape(2, 3, 4).copy(order)[:, ::2, ::-1]
    np.testing.assert_array_equal(hps.keys(ids).to_numpy(), ids)


def test_uint64_keeps_its_bits():
    ids = [2**64 - 1, 2**63, 5]
    expected = [-1, -(2**63), 5]
    assert hps.keys(np.array(ids, np.uint64)).to_numpy().tolist() == expected
    assert hps.keys(ids).to_numpy().tolist() == expected
    assert hps.keys([2**63, -1]).to_numpy().tolist() == [-(2**63), -1]


def test_python_ints_and_numpy_scalars():
    for key in EXTREMES:
        assert hps.keys(key).to_numpy() == key
        assert hps.keys(np.int64(key)).to_numpy() == key
    assert hps.keys([]).shape == (0,)
    assert hps.keys([[np.int64(2**40)], [3]]).to_numpy().tolist() == [[2**40], [3]]


def test_keys_is_idempotent():
    packed = hps.keys(EXTREMES)
    assert hps.keys(packed) is packed


def test_keys_holds_a_copy():
    ids = np.arange(4096)
    packed = hps.keys(ids)
    ids[:] = -1
    np.testing.assert_array_equal(packed.to_numpy(), np.arange(4096))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_64_bit_jax_arrays(dtype):
    with jax.enable_x64(True):
        ids = jnp.array([3, 2**40 + 3], dtype)
    assert hps.keys(ids).to_numpy().tolist() == [3, 2**40 + 3]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (1.0, "1.0 \\(float\\)"),
        ([1, 2.0], "1.0|2.0"),
        (True, "True \\(bool\\)"),
        ([False], "False \\(bool\\)"),
        (np.array([True]), "array of bool"),
        (np.array([1.0]), "array of float64"),
        (np.array([], np.float32), "array of float32"),
        ("7", "'7' \\(str\\)"),
        (None, "None \\(NoneType\\)"),
        (2**64, "does not fit into 64 bits"),
        ([0, -(2**63) - 1], "does not fit into 64 bits"),
    ],
)
def test_what_is_no_key(ids, message):
    with pytest.raises(hps.KeyDtypeError, match=message) as caught:
        hps.keys(ids)
    assert isinstance(caught.value, TypeError)


def test_a_32_bit_jax_array_is_refused():
    with pytest.raises(hps.KeyDtypeError, match=r"may have lost.*pack_keys"):
        hps.keys(jnp.arange(3))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint32])
def test_pack_keys_inside_jit(dtype):
    ids = np.array(EXTREMES)
    lo, hi = ids.astype(np.uint32), (ids >> 32).astype(np.uint32)
    packed = jax.jit(hps.pack_keys)(
        jax.lax.bitcast_convert_type(lo, dtype), jax.lax.bitcast_convert_type(hi, dtype)
    )
    np.testing.assert_array_equal(packed.to_numpy(), ids)


def test_pack_keys_broadcasts_and_sign_extends():
    assert hps.pack_keys(jnp.array([1, 2]), 0).to_numpy().tolist() == [1, 2]
    lo, hi = jnp.arange(2)[:, None], jnp.arange(3)[None]
    assert hps.pack_keys(lo, hi).shape == (2, 3)
    assert hps.pack_keys(2**32 - 1, -1).to_numpy() == -1
    assert hps.pack_keys(np.int32(-1), np.uint32(0)).to_numpy() == 2**32 - 1
    ids = jnp.array([-5, 5])
    assert hps.pack_keys(ids, ids >> 31).to_numpy().tolist() == [-5, 5]


@pytest.mark.parametrize("lo", [1.0, [1], np.int64(1), True, 2**32])
def test_pack_keys_takes_32_bit_words_only(lo):
    with pytest.raises(hps.KeyDtypeError, match="expected int32 or uint32 words"):
        hps.pack_keys(lo, 0)


def test_indexing_never_reaches_the_words():
    ids = np.arange(24).reshape(2, 3, 4)
    packed = hps.keys(ids)
    mask = ids[:, :, 0] % 2 == 0
    for index in (
        1,
        (0, 2),
        (0, 1, 3),
        Ellipsis,
        (Ellipsis, 0),
        (slice(None), None, 1),
        (0, Ellipsis, slice(1, 3)),
        np.array([1, 0, 1]),
        mask,
    ):
        np.testing.assert_array_equal(packed[index].to_numpy(), ids[index])
    with pytest.raises(IndexError):
        packed[0, 0, 0, 0]


def test_iterating_and_reshaping():
    packed = hps.keys(np.arange(6))
    assert [key.to_numpy().item() for key in packed] == list(range(6))
    assert len(packed) == 6
    for shape in ((2, 3), ((3, 2),), (-1, 2), ([6],)):
        expected = np.arange(6).reshape(*shape)
        np.testing.assert_array_equal(packed.reshape(*shape).to_numpy(), expected)
    with pytest.raises(TypeError, match="single key"):
        len(packed[0])


@pytest.mark.parametrize("convert", [np.asarray, np.array, jnp.asarray, list])
def test_packed_keys_become_no_array_of_objects(convert):
    packed = hps.keys([1, 2**40])
    with pytest.raises(hps.KeyDtypeError, match=r"\.to_numpy\(\)"):
        np.asarray(convert(packed))


def test_packed_keys_are_concatenated():
    one, two = hps.keys([[1, 2]]), hps.keys([[2**40, 3], [4, 5]])
    joined = jax.tree.map(lambda *words: jnp.concatenate(words), one, two)
    assert joined.to_numpy().tolist() == [[1, 2], [2**40, 3], [4, 5]]


def test_packed_keys_pass_through_jax():
    packed = hps.keys(np.array(EXTREMES))
    for same in (
        jax.jit(lambda k: k)(packed),
        jax.vmap(lambda k: k)(packed),
        jax.device_put(packed),
        jax.device_put(packed, jax.devices()[1]),
        jax.block_until_ready(packed),
        jax.tree.map(jnp.asarray, packed),
        jax.device_get(packed),
        jax.lax.scan(lambda carry, k: (carry, k), 0, packed)[1],
    ):
        assert same.to_numpy().tolist() == EXTREMES


def test_packed_keys_are_a_pytree():
    packed = hps.keys(np.arange(6).reshape(2, 3))
    (leaf,) = jax.tree.leaves(packed)
    assert leaf is packed.data
    spec = jax.eval_shape(lambda k: k.reshape(6), packed)
    assert spec.shape == (6,)
    mapped = jax.vmap(lambda k: k[::-1])(packed)
    assert mapped.to_numpy().tolist() == [[2, 1, 0], [5, 4, 3]]
