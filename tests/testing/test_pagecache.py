# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What the page cache holds of a file can be told, and dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jax_hps.testing import pagecache


def test_files_that_were_read_are_cached_and_can_be_dropped(
    tmp_path: Path, skip_without: Callable[[str, str], None]
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "one").write_bytes(bytes(100_000))
    (folder / "two").write_bytes(bytes(5000))
    (folder / "empty").touch()
    pages = -(-100_000 // 4096) + -(-5000 // 4096)
    assert pagecache.cached_bytes(tmp_path) == pages * 4096
    pagecache.drop(tmp_path)
    left = pagecache.cached_bytes(tmp_path)
    if left:
        skip_without("disk", "this file system keeps its files in memory")
    (folder / "two").read_bytes()
    assert pagecache.cached_bytes(folder / "two") == 8192


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pagecache.drop(tmp_path / "nothing")
