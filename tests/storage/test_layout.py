# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""How arrays are cut, and which arrays of others the native reader takes."""

from __future__ import annotations

import contextlib
import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_hps.storage.layout import (
    MAX_FILES,
    ArrayLayout,
    choose_layout,
    encode_zarr_json,
)
from jax_hps.storage.zarr_metadata import NotNativeError, parse_native


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@given(
    columns=st.none() | st.integers(1, 1 << 20),
    itemsize=st.sampled_from([2, 4, 8]),
    expected_rows=st.none() | st.integers(0, 1 << 40),
)
def test_every_layout_is_sound(columns, itemsize, expected_rows):
    layout = choose_layout("float32", columns, itemsize, expected_rows=expected_rows)
    assert is_power_of_two(layout.chunk_rows)
    assert is_power_of_two(layout.shard_rows)
    assert layout.shard_rows % layout.chunk_rows == 0
    assert layout.chunk_rows == 1 or layout.chunk_rows * layout.row_bytes <= 4096
    assert layout.shard_rows * layout.row_bytes % 4096 == 0
    assert -(-(expected_rows or 0) // layout.shard_rows) <= MAX_FILES


@pytest.mark.parametrize(
    ("columns", "expected_rows", "chunk_rows", "shard_rows"),
    [
        (32, None, 32, 1 << 20),  # 128 B: chunks of 4 KiB, shards of 128 MiB
        (32, 1 << 24, 32, 1 << 20),
        (32, 100, 32, 1 << 15),  # small tables: 4 MiB
        (32, 100_000, 32, 1 << 17),  # one shard that holds them all
        (2048, None, 1, 1 << 14),  # rows of 8 KiB: one in a chunk
        (3, None, 256, 1 << 23),
        (32, 1 << 34, 32, 1 << 20),  # as many files as are mapped
        (32, (1 << 34) + 1, 32, 1 << 21),  # 2 TiB: shards of 256 MiB
        (32, 1 << 40, 32, 1 << 26),
    ],
)
def test_chosen_sizes(columns, expected_rows, chunk_rows, shard_rows):
    layout = choose_layout("float32", columns, 4, expected_rows=expected_rows)
    assert (layout.chunk_rows, layout.shard_rows) == (chunk_rows, shard_rows)


@pytest.mark.parametrize(("dtype", "columns"), [("bfloat16", 7), ("int64", None)])
def test_own_metadata_is_native(dtype, columns):
    itemsize = 2 if columns else 8
    layout = choose_layout(dtype, columns, itemsize, expected_rows=None)
    layout = dataclasses.replace(layout, num_rows=12345)
    assert parse_native(encode_zarr_json(layout)) == layout


def test_metadata_of_a_large_array_is_native():
    layout = choose_layout("float32", 32, 4, expected_rows=1 << 36)  # 8 TiB
    layout = dataclasses.replace(layout, num_rows=1 << 36)
    assert parse_native(encode_zarr_json(layout)) == layout


def metadata(**changes):
    """A `zarr.json` that the native reader takes, with fields replaced."""
    layout = choose_layout("float32", 4, 4, expected_rows=100)
    fields = msgspec.json.decode(encode_zarr_json(layout)) | changes
    return msgspec.json.encode(fields)


def codecs(**changes):
    sharding = msgspec.json.decode(metadata())["codecs"][0]
    sharding["configuration"] |= changes
    return [sharding]


def named(name, **configuration):
    return {"name": name, "configuration": configuration}


BYTES = named("bytes", endian="little")
BIG = named("bytes", endian="big")
GRID = named("regular", chunk_shape=[64, 4])

NOT_NATIVE = {
    "zarr2": (metadata(zarr_format=2), "not of zarr format 3"),
    "group": (metadata(node_type="group"), "a zarr group"),
    "extension": (metadata(mystery={}), "extensions: mystery"),
    "transformer": (metadata(storage_transformers=[{}]), "storage transformers"),
    "rank": (metadata(shape=[2, 2, 2]), "3 dimensions"),
    "no columns": (metadata(shape=[2, 0]), "rows are empty"),
    "dtype": (metadata(data_type="int8"), "elements are int8"),
    "columns split": (metadata(shape=[100, 8]), "do not span all columns"),
    "chunk names": (
        metadata(chunk_key_encoding=named("default", separator=".")),
        "named with '.'",
    ),
    "v2 names": (metadata(chunk_key_encoding={"name": "v2"}), "uses 'v2'"),
    "grid": (metadata(chunk_grid={"name": "rectangular"}), "uses 'rectangular'"),
    "empty chunks": (
        metadata(chunk_grid=named("regular", chunk_shape=[0, 4])),
        "chunks are empty",
    ),
    "zstd": (metadata(codecs=[BYTES, {"name": "zstd"}], chunk_grid=GRID), "by 'zstd'"),
    "zstd inside": (metadata(codecs=codecs(codecs=[BYTES, "zstd"])), "by 'zstd'"),
    "transposed": (
        metadata(codecs=codecs(codecs=[{"name": "transpose"}, BYTES])),
        "by 'transpose'",
    ),
    "big endian": (metadata(codecs=[BIG], chunk_grid=GRID), "big-endian"),
    "index endian": (
        metadata(codecs=codecs(index_codecs=[BIG, {"name": "crc32c"}])),
        "big-endian",
    ),
    "index crc": (metadata(codecs=codecs(index_codecs=[BYTES])), "index is coded by"),
    "index place": (metadata(codecs=codecs(index_location="middle")), "at 'middle'"),
    "chunks": (metadata(codecs=codecs(chunk_shape=[3, 4])), "no multiple"),
    "after shards": (metadata(codecs=[*codecs(), "zstd"]), "coded by 'zstd'"),
    "no codecs": (metadata(codecs=[]), "not understood"),
    "files": (
        metadata(shape=[1 << 40, 4], codecs=[BYTES], chunk_grid=GRID),
        "17179869184 files",
    ),
    "sizes": (metadata(shape=[1 << 60, 4]), "beyond what can be mapped"),
    "negative": (metadata(shape=[-1, 4]), "rows are empty"),
    "missing field": (b'{"zarr_format": 3}', "not understood: KeyError"),
    "list": (b"[]", "not understood"),
    "no JSON": (b"{]", "no JSON"),
}


@pytest.mark.parametrize("case", NOT_NATIVE)
def test_why_the_native_reader_declines(case):
    data, reason = NOT_NATIVE[case]
    with pytest.raises(NotNativeError, match=reason):
        parse_native(data)


@pytest.mark.parametrize(
    ("value", "fill"),
    [
        (0, b""),
        (0.0, b""),
        (1.5, b"\0\0\xc0\x3f"),
        ("NaN", b"\0\0\xc0\x7f"),
        ("-Infinity", b"\0\0\x80\xff"),
        ("0x7fc00001", b"\x01\0\xc0\x7f"),
        (-0.0, b"\0\0\0\x80"),
    ],
)
def test_fill_values(value, fill):
    assert parse_native(metadata(fill_value=value)).fill == fill


def test_plain_chunks():
    layout = parse_native(metadata(codecs=[BYTES], chunk_grid=GRID))
    assert not layout.sharded
    assert layout.shard_rows == layout.chunk_rows == 64


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "configuration"]), inner)
    ),
    max_leaves=6,
)


@given(field=st.sampled_from(sorted(msgspec.json.decode(metadata()))), value=JSON)
def test_nonsense_is_declined(field, value):
    with contextlib.suppress(NotNativeError):
        assert isinstance(parse_native(metadata(**{field: value})), ArrayLayout)


@given(st.binary(max_size=60))
def test_noise_is_declined(data):
    with pytest.raises(NotNativeError):
        parse_native(data)
