# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A library built for another FFI must say so, and leave JAX alone."""

import jax
import pytest

from jax_hps import _native
from jax_hps.ffi_version import check_ffi_version


@pytest.fixture
def include_dir(tmp_path):
    """Headers of a runtime of FFI API 1.3."""
    header = tmp_path / "xla" / "ffi" / "api" / "c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(
        "#define XLA_FFI_API_MAJOR 1\n// ...\n#define XLA_FFI_API_MINOR 3\n"
    )
    return tmp_path


@pytest.mark.parametrize("built", [(1, 0), (1, 2), (1, 3)])
def test_as_old_as_the_runtime_or_older(include_dir, built):
    check_ffi_version(built, str(include_dir))


@pytest.mark.parametrize("built", [(1, 4), (0, 3), (2, 0)])
def test_newer_or_of_another_major_version(include_dir, built):
    with pytest.raises(ImportError) as caught:
        check_ffi_version(built, str(include_dir))
    message = str(caught.value)
    for part in (f"{built[0]}.{built[1]};", "has 1.3", "JAX_HPS_FFI_INCLUDE_DIR"):
        assert part in message


def test_a_runtime_without_headers_is_trusted(tmp_path):
    check_ffi_version((9, 9), str(tmp_path))


def test_the_running_jaxlib_states_its_version():
    with pytest.raises(ImportError, match=r"has \d+\.\d+,"):
        check_ffi_version((9, 9))
    check_ffi_version(_native.FFI_API_VERSION)
    assert jax.ffi.include_dir()


def test_the_import_fails_and_jax_works(run_python, include_dir):
    code = """
import sys, jax
include_dir, jax.ffi.include_dir = jax.ffi.include_dir, lambda: sys.argv[1]
try:
    import jax_hps
except ImportError as error:
    assert "FFI API" in str(error), error
    print(jax.numpy.arange(4).sum())
jax.ffi.include_dir = include_dir
try:
    jax.ffi.ffi_call("hps_noop", jax.ShapeDtypeStruct((1,), "float32"))()
except Exception as error:
    print("No FFI handler registered" in str(error))
"""
    assert run_python(code, str(include_dir)).stdout == "6\nTrue\n"
