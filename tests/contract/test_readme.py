# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""What README shows runs, and its commands exist."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import jax_hps as hps

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_python_block_runs(make_table, serve, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    user, item = make_table(16), make_table(16)
    server = serve(user, item)
    names = {}
    for block in BLOCKS:
        names |= {
            "user": server.table(user.name),
            "item": server.table(item.name),
            "user_keys": hps.keys(user.keys[:8]),
            "item_keys": hps.keys(item.keys[:8]),
        }
        exec(block, names)
    assert "lookups=1, keys=3, row_cache_hits=0, base_hits=3" in capsys.readouterr().out
    np.testing.assert_array_equal(names["rows"]["item"], item.rows[:8])
    batch = {"user": names["user_keys"], "item": names["item_keys"]}
    model = names["DLRM"](user=server.table(user.name), item=server.table(item.name))
    scores, params = model.init_with_output(jax.random.key(0), batch)
    assert scores.shape == (8,)
    assert set(params["params"]) == {"Dense_0", "Dense_1"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_make_targets_that_are_named_exist(document):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)`?", (ROOT / document).read_text()))
    assert named <= targets


def test_the_results_come_from_the_results_files():
    between = README.split("<!-- results:")[1].split("<!-- end of results -->")[0]
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        commit = re.search(r'"commit": ?"([^"]+)"', file.read_text())
        assert commit
        assert f"commit {commit[1]}" in between
