# SPDX-FileCopyrightText: The jax_hps authors
# SPDX-License-Identifier: Apache-2.0
"""A server that starts where the last one ended: hot keys kept, and read again."""

import dataclasses
import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from cache_checks import BASES, POLICIES, RESOLVED, assert_same, saved_hot_keys

import jax_hps as hps
from jax_hps import warm_start
from jax_hps.storage import hot_keys, progress

ROOM = hps.CacheSpec(rows=8192)  # for every row of the tables below
LONG_S = 30.0  # as long as a test waits for what must come


def in_warming():
    """Whether it is a `Warming` that reads in this thread."""
    return threading.current_thread().name.startswith("hps-warm-")


@pytest.fixture
def model(make_table):
    return make_table(4, num_rows=300, default=-1.0)


@pytest.fixture
def start(start):
    """Caches start warm where a specification says nothing about it."""
    return lambda *model, **fields: start(*model, **{"hot_keys": True} | fields)


@pytest.fixture
def hot_file(model):
    """Where the hot keys of a local table go unless told otherwise."""
    return Path(model.spec.path) / "HOT_KEYS"


@pytest.fixture
def small_steps(monkeypatch):
    """Warming reads 16 rows at a time."""
    monkeypatch.setattr(warm_start, "KEYS_PER_STEP", 16)


@pytest.fixture
def run(start):
    """Serve a table for as long as it takes to look keys up."""

    def once(model, ids, base="mapped", **fields):
        served = start(model, base, **{"row_cache": ROOM} | fields)
        served.check(ids)
        served.server.close()

    return once


def warmed(served):
    """Wait until a table is as warm as it will be."""
    served.server.warm(served.model.name).wait(LONG_S)
    return served


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["sparse", "dense", "uint32", "ends"])
def test_the_next_server_holds_what_the_last_one_held(
    make_table, start, run, reads, tmp_path, kind, base
):
    options = {"num_rows": 200, "sparse": kind != "dense"}
    if kind == "uint32":
        options["keys"] = np.arange(200, dtype=np.int64) * 21_474_836
        options["stored_key_dtype"] = "uint32"
    if kind == "ends":
        options["keys"] = np.append(np.arange(-99, 99), [-(2**63), 2**63 - 1])
    model = make_table(6, **options)
    fields = {"row_cache": ROOM, "hot_keys": tmp_path / "hot"}
    hot = np.concatenate([model.keys[:40], model.keys[-2:]])
    run(model, np.append(hot, model.unknown), base, **fields)
    assert_same(np.sort(saved_hot_keys(tmp_path / "hot").keys), np.sort(hot))

    served = warmed(start(model, base, **fields))
    assert_same(served.held, np.sort(hot))
    reads.requests.clear()
    assert served.hits(hot) == (len(hot), 0)
    assert reads.requests == []
    served.check(model.keys)


def test_a_local_table_keeps_them_in_its_folder(model, hot_file, start, run):
    run(model, model.keys[:50])
    assert len(saved_hot_keys(hot_file).keys) == 50
    hps.open_table(model.spec.path).verify()
    served = warmed(start(model, row_cache=ROOM))
    served.check(model.keys[50:80])
    served.server.remove_table(model.name)
    assert_same(np.sort(saved_hot_keys(hot_file).keys), np.sort(model.keys[:80]))
    served.server.add_table(served.model.spec)
    assert warmed(served).hits(model.keys[:80]) == (80, 0)


@pytest.mark.parametrize("base", RESOLVED)
def test_other_tables_keep_them_where_they_are_told_to_only(
    model, start, run, tmp_path, base
):
    run(model, model.keys, base)
    served = start(model, base, row_cache=ROOM)
    assert served.held.size == 0
    folder = Path(model.spec.path)
    assert not (folder / "HOT_KEYS").exists()
    assert not list(folder.parent.glob(f"{folder.name}-*/HOT_KEYS"))


def test_hot_keys_can_be_switched_off(model, hot_file, start, run):
    run(model, model.keys, hot_keys=False)
    assert not hot_file.exists()
    run(model, model.keys[:9])
    before = hot_file.read_bytes()
    served = start(model, row_cache=ROOM, hot_keys=False)
    assert served.hits(model.keys[:9]) == (0, 9)
    served.server.close()
    assert hot_file.read_bytes() == before


def test_a_table_without_a_cache_writes_and_reads_none(model, hot_file, start):
    served = start(model)
    hps.lookup(served.table, model.keys).block_until_ready()
    served.server.close()
    assert not hot_file.exists()


def test_what_is_read_at_the_start_is_hit_by_the_first_batch(make_table, start, run):
    model = make_table(4, num_rows=4000)
    random = np.random.default_rng(1)
    shares = 1 / np.arange(1, 4001) ** 1.05
    traffic = random.choice(model.keys, (12, 800), p=shares / shares.sum())
    cache = hps.CacheSpec(fraction=0.2)
    served = start(model, "zstd", row_cache=cache, hot_keys=f"{model.spec.path}.hot")
    cold = served.hits(traffic[0])[0]
    for ids in traffic[1:10]:
        served.check(ids)
    steady = served.hits(traffic[10])[0]
    served.server.close()
    again = warmed(
        start(model, "zstd", row_cache=cache, hot_keys=f"{model.spec.path}.hot")
    )
    first = again.hits(traffic[11])[0]
    assert cold == 0
    assert first > 0.9 * steady > 0.5 * 800


@pytest.mark.parametrize("policy", ["frequency", "s3fifo"])
def test_a_smaller_cache_gets_the_hottest(make_table, start, run, policy):
    model = make_table(4, num_rows=2000)
    hot = np.random.default_rng(2).choice(model.keys, 64, replace=False)
    served = start(model, row_cache=ROOM)
    served.check(model.keys)
    for _ in range(5):
        served.check(hot)
    served.server.close()
    saved = saved_hot_keys(Path(model.spec.path) / "HOT_KEYS")
    assert (np.diff(saved.counts.astype(int)) <= 0).all()
    assert set(saved.keys[:64]) == set(hot)
    cache = hps.CacheSpec(rows=256, policy=policy)
    assert warmed(start(model, row_cache=cache)).hits(hot) == (64, 0)


def test_a_smaller_cache_is_filled_by_keys_that_are_alike(make_table, start, run):
    model = make_table(4, num_rows=4000)
    run(model, model.keys)  # each once
    served = warmed(start(model, row_cache=hps.CacheSpec(rows=1024)))
    assert served.held.size > 0.85 * 1024


@pytest.mark.parametrize("policy", ["frequency", "lru", "s3fifo"])
def test_who_was_to_go_next_still_is(make_table, start, policy):
    model = make_table(4, num_rows=100)
    cache = hps.CacheSpec(rows=16, policy=policy)  # one bucket
    served = start(model, row_cache=cache)
    served.check(model.keys[:16])
    for _ in range(4):
        served.check(model.keys[1:16])
    served.server.close()
    served = warmed(start(model, row_cache=cache))
    assert_same(served.held, np.sort(model.keys[:16]))
    for _ in range(3):
        served.check(model.keys[16:17])
    assert_same(served.held, np.sort(model.keys[1:17]))


def test_a_table_made_anew_starts_cold(model, hot_file, start, run, tmp_path):
    run(model, model.keys)
    saved = hot_file.read_bytes()
    shutil.rmtree(model.spec.path)
    hps.create_table(model.spec.path, model.rows[::-1], model.keys).close()
    hot_file.write_bytes(saved)  # of a table that is gone
    anew = dataclasses.replace(
        model, rows=model.rows[::-1], default=np.zeros(4, np.float32)
    )
    served = start(anew, row_cache=ROOM)
    assert served.hits(model.keys[:9]) == (0, 9)
    served.server.close()
    assert len(saved_hot_keys(hot_file).keys) == 9
    assert saved_hot_keys(hot_file).table_uuid != hot_keys.decode(saved).table_uuid


@pytest.mark.parametrize("sparse", [True, False])
def test_keys_that_an_overwrite_removed_are_left_out(make_table, start, run, sparse):
    model = make_table(4, num_rows=300, sparse=sparse)
    run(model, model.keys)
    keys = model.keys[:100] if sparse else None
    rows = -model.rows[:100]
    hps.create_table(model.spec.path, rows, keys, overwrite=True).close()
    now = dataclasses.replace(model, rows=rows, keys=model.keys[:100])
    served = start(now, row_cache=ROOM)
    handle = served.server.warm(model.name)
    handle.wait(LONG_S)
    assert handle.bytes_done == handle.bytes_total
    assert_same(served.held, np.sort(now.keys))
    assert served.hits(model.keys) == (100, 0)  # the others are unknown now


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:40] + b"?" + data[41:],
        lambda data: b"something else altogether",
        lambda data: b"",
    ],
    ids=["cut", "changed", "foreign", "empty"],
)
def test_a_damaged_file_is_ignored_and_told(
    model, hot_file, start, run, caplog, damage
):
    run(model, model.keys)
    hot_file.write_bytes(damage(hot_file.read_bytes()))
    with caplog.at_level(logging.WARNING, "jax_hps.server"):
        served = start(model, row_cache=ROOM)
    assert "starting cold" in caplog.text
    assert str(hot_file) in caplog.text
    assert served.hits(model.keys[:7]) == (0, 7)
    served.server.close()
    assert len(saved_hot_keys(hot_file).keys) == 7


def gone(folder, monkeypatch):
    folder.rmdir()


def read_only(folder, monkeypatch):
    def write_file(path, data):  # root may write everywhere
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(hot_keys, "write_file", write_file)


def in_the_way(folder, monkeypatch):
    (folder / "hot" / "below").mkdir(parents=True)


@pytest.mark.parametrize("obstacle", [gone, read_only, in_the_way])
@pytest.mark.parametrize("end", ["close", "remove_table"])
def test_hot_keys_that_cannot_be_saved_are_told_and_no_error(
    model, start, tmp_path, monkeypatch, caplog, obstacle, end
):
    folder = tmp_path / "folder"
    folder.mkdir()
    served = start(model, row_cache=ROOM, hot_keys=folder / "hot")
    served.check(model.keys)
    obstacle(folder, monkeypatch)
    with caplog.at_level(logging.WARNING, "jax_hps.server"):
        if end == "close":
            served.server.close()
        else:
            served.server.remove_table(model.name)
    assert "hot keys were not saved" in caplog.text
    assert str(folder / "hot") in caplog.text


@pytest.mark.parametrize("hot_keys", [".", "/", "below/.."])
def test_a_path_that_no_file_can_have_is_told_and_no_error(
    model, start, tmp_path, monkeypatch, caplog, hot_keys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    served = start(model, row_cache=ROOM, hot_keys=hot_keys)
    served.check(model.keys)
    served.server.close()
    assert "hot keys were not saved" in caplog.text


def test_a_relative_path_means_the_same_after_chdir(
    model, run, start, tmp_path, monkeypatch
):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    served = start(model, row_cache=ROOM, hot_keys="hot")
    served.check(model.keys)
    monkeypatch.chdir(tmp_path / "there")
    served.server.close()
    assert [path.name for path in tmp_path.rglob("hot")] == ["hot"]
    assert (tmp_path / "here" / "hot").exists()


def test_a_path_may_begin_with_the_home(model, run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(model, model.keys, hot_keys="~/hot")
    assert (tmp_path / "hot").exists()


class Held:
    """A warming whose steps wait, from a step on, until `proceed` is set."""

    def __init__(self, reads, first):
        self.began, self.proceed = threading.Event(), threading.Event()
        self.steps, self.first = 0, first
        reads.before = self.before

    def before(self, numbers):
        if not in_warming():
            return
        self.steps += 1
        if self.steps > self.first:
            self.began.set()
            assert self.proceed.wait(LONG_S)


@pytest.fixture
def half_warm(model, start, run, reads, small_steps, tmp_path):
    """A table whose warm start is held up behind some of its rows."""

    def begin(steps=5, **fields):
        fields = {"row_cache": ROOM, "hot_keys": tmp_path / "hot"} | fields
        run(model, model.keys, "zstd", **fields)
        held = Held(reads, steps)
        served = start(model, "zstd", **fields)
        assert held.began.wait(LONG_S)
        return served, held

    return begin


def test_lookups_are_exact_while_rows_come_in(half_warm, model):
    served, held = half_warm()
    handle = served.server.warm(model.name)
    assert served.server.warm(model.name) is handle
    assert not handle.done
    assert (handle.bytes_done, handle.bytes_total) == (5 * 16 * 16, 300 * 16)
    assert served.held.size == 5 * 16
    ids = np.append(model.keys, model.unknown)
    assert served.hits(ids) == (80, 220)
    with pytest.raises(hps.DeadlineError, match="1280 of 4800 bytes"):
        handle.wait(timeout_s=0)
    held.proceed.set()
    handle.wait(LONG_S)
    assert handle.done
    assert handle.bytes_done == handle.bytes_total
    assert served.hits(ids) == (300, 0)
    assert served.server.warm(model.name) is not handle  # that one is over


@pytest.fixture
def closed_half_warm(half_warm, model):
    """Of a table that was closed while its rows came in: the handle, and its steps."""
    served, held = half_warm()
    handle = served.server.warm(model.name)
    closing = threading.Thread(target=served.server.close)
    closing.start()
    assert handle._cancelled.wait(LONG_S)
    held.proceed.set()
    closing.join(LONG_S)
    assert not closing.is_alive()
    return handle, held.steps


def test_a_table_can_be_closed_while_rows_come_in(closed_half_warm):
    handle, steps = closed_half_warm
    assert handle.done
    assert steps == 6  # none behind the one that was being read
    with pytest.raises(hps.ClosedError, match="stopped after 1536 of 4800 bytes"):
        handle.wait()


def test_a_warm_start_cut_short_forgets_no_hot_keys(closed_half_warm, model, tmp_path):
    assert len(saved_hot_keys(tmp_path / "hot").keys) == len(model.keys)


def test_a_table_that_was_not_added_forgets_no_hot_keys(
    model, start, run, reads, small_steps, tmp_path
):
    fields = {"row_cache": ROOM, "hot_keys": tmp_path / "hot"}
    run(model, model.keys, "zstd", **fields)
    served = warmed(start(model, "zstd", **fields))
    before = (tmp_path / "hot").read_bytes()
    reads.requests.clear()
    reads.before = lambda numbers: len(reads.requests) > 5 and fail(numbers)
    with pytest.raises(hps.ConfigError, match="open already"):
        served.server.add_table(served.model.spec)
    assert len(saved_hot_keys(tmp_path / "hot").keys) == len(
        hot_keys.decode(before).keys
    )


def test_a_warm_start_that_reads_nothing_forgets_no_hot_keys(
    model, start, run, reads, tmp_path
):
    fields = {"row_cache": ROOM, "hot_keys": tmp_path / "hot"}
    run(model, model.keys, "zstd", **fields)
    reads.before = fail
    served = start(model, "zstd", **fields)
    with pytest.raises(OSError, match="the store is gone"):
        served.server.warm(model.name).wait(LONG_S)
    served.server.close()
    assert len(saved_hot_keys(tmp_path / "hot").keys) == len(model.keys)


def fail(numbers):
    raise OSError("the store is gone")


def test_a_warm_start_that_fails_is_told(model, start, run, reads, tmp_path, caplog):
    """Nobody waits for it who could be told otherwise."""
    fields = {"row_cache": ROOM, "hot_keys": tmp_path / "hot"}
    run(model, model.keys, "zstd", **fields)
    reads.before = lambda numbers: in_warming() and fail(numbers)
    with caplog.at_level(logging.WARNING):
        served = start(model, "zstd", **fields)
        served.check(model.keys)
        served.server.close()
    assert "the store is gone" in caplog.text
    assert model.name in caplog.text


def test_warming_gives_a_store_at_a_url_a_time_limit(model, start, reads):
    """One that never answers must not keep a server from closing."""
    served = start(model, "memory", row_cache=ROOM)
    warmed(served)
    assert reads.timeouts
    assert None not in reads.timeouts


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("sparse", [True, False])
def test_without_hot_keys_warming_reads_the_first_rows(
    make_table, start, small_steps, base, sparse
):
    model = make_table(4, num_rows=300, sparse=sparse)
    served = start(model, base, row_cache=ROOM)
    handle = served.server.warm(model.name)
    handle.wait(LONG_S)
    assert (handle.bytes_done, handle.bytes_total) == (300 * 16, 300 * 16)
    assert served.hits(model.keys) == (300, 0)

    served.server.remove_table(model.name)
    served = start(model, base, row_cache=hps.CacheSpec(rows=128), hot_keys=False)
    handle = served.server.warm(model.name)
    handle.wait(LONG_S)
    assert (handle.bytes_done, handle.bytes_total) == (128 * 16, 128 * 16)
    assert 64 < served.held.size <= 128
    assert np.isin(served.held, model.keys[:128]).all()


def test_warming_again_goes_on_where_the_last_run_was(model, start, run):
    run(model, model.keys[:20])
    served = warmed(start(model, row_cache=ROOM))
    served.check(model.keys[20:30])
    assert_same(warmed(served).held, np.sort(model.keys[:30]))


@pytest.mark.parametrize("policy", POLICIES)
def test_lookups_race_with_warming_and_stay_exact(make_table, start, run, policy):
    model = make_table(4, num_rows=2000)
    cache = hps.CacheSpec(rows=512, **POLICIES[policy])
    fields = {"row_cache": cache, "hot_keys": f"{model.spec.path}.hot"}
    run(model, model.keys, "zstd", **fields | {"row_cache": ROOM})
    served = start(model, "zstd", **fields)
    handle = served.server.warm(model.name)
    random = np.random.default_rng(4)
    for _ in range(20):
        served.check(random.choice(np.append(model.keys, model.unknown), 64))
    handle.wait(LONG_S)
    served.check(model.keys)


@pytest.mark.parametrize("fields", [{"row_cache": ROOM}, {}], ids=["cache", "pages"])
def test_progress_is_logged_off_a_terminal(model, start, monkeypatch, caplog, fields):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    served = start(model, **fields)
    with caplog.at_level(logging.INFO, "jax_hps.storage"):
        served.server.warm(model.name, progress=True).wait(LONG_S)
    assert f"warm {served.table.full_name}: " in caplog.text
    assert "100%, 0 s left" in caplog.text


def test_progress_is_a_bar_on_a_terminal(model, start, monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    served = start(model, row_cache=ROOM)
    served.server.warm(model.name, progress=True).wait(LONG_S)
    shown = capfd.readouterr().err
    assert f"warm {served.table.full_name}" in shown
    assert "300 rows" in shown


def test_warming_shows_nothing_unasked(model, start, run, monkeypatch, capfd, caplog):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    run(model, model.keys)
    with caplog.at_level(logging.INFO, "jax_hps.storage"):
        warmed(start(model, row_cache=ROOM))
    assert capfd.readouterr().err == ""
    assert "rows/s" not in caplog.text
