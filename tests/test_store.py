"""Files are whole or absent, whatever happens in between."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from whenwhere import store
from whenwhere.chat.response_cache import ResponseCache
from whenwhere.errors import OutputError
from whenwhere.store import (
    Cache,
    DiskFullError,
    _umask,
    append_line,
    atomic_folder,
    atomic_path,
    cache_folder,
    content_hash,
    read_lines,
    write_text,
)


def test_a_failed_block_leaves_the_old_file_and_no_litter(tmp_path):
    target = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_unwritable_place_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/x\.json"):
        write_text(tmp_path / "file" / "x.json", "{}")


def test_a_full_disk_is_one_sentence():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OutputError, match="cannot write"):
        append_line("/dev/full", "x")


def test_a_torn_line_is_dropped_and_the_file_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    append_line(path, '{"n": 1}')
    with open(path, "a") as f:
        f.write('{"n": 2')  # what kill -9 leaves
    append_line(path, '{"n": 3}')
    assert [x["n"] for x in read_lines(path)] == [1, 3]
    assert list(read_lines(tmp_path / "missing.jsonl")) == []


def test_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    target = write_text(tmp_path / "a.json", "{}")
    code = (
        "import sys, time; from whenwhere.store import atomic_path\n"
        "with atomic_path(sys.argv[1]) as p:\n"
        "    p.write_text('half'); print('go', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"go\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert target.read_text() == "{}"
    assert len(os.listdir(tmp_path)) == 2
    write_text(target, "[]")  # the next one that writes there sweeps up
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_a_living_process_is_writing_is_left_alone(tmp_path):
    with atomic_path(tmp_path / "a.json") as mine:
        mine.write_text("1")
        write_text(tmp_path / "a.json", "2")
        assert mine.exists()
    assert (tmp_path / "a.json").read_text() == "1"


def test_cache_stores_once_and_survives_damage(tmp_path):
    cache = Cache(tmp_path)
    key = cache.key("tracks", "abc", {"fps": 6})
    assert key != cache.key("tracks", "abc", {"fps": 7})
    calls = []

    def make():
        calls.append(time.time())
        return {"x": np.arange(4)}

    for _ in range(2):
        np.testing.assert_array_equal(cache.arrays(key, make)["x"], np.arange(4))
    assert len(calls) == 1
    entry = tmp_path / f"{key}.npz"
    for damage in (b"", b"not a zip", entry.read_bytes()[:-30]):
        entry.write_bytes(damage)
        np.testing.assert_array_equal(cache.arrays(key, make)["x"], np.arange(4))
    assert len(calls) == 4


def test_an_unwritable_cache_costs_time_and_never_an_answer(tmp_path):
    (tmp_path / "file").write_text("")
    made = Cache(tmp_path / "file" / "cache").arrays("k/x", lambda: {"x": np.ones(2)})
    assert made["x"].sum() == 2


def test_content_hash_sees_the_middle(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    data = bytearray(3 << 20)
    a.write_bytes(data)
    data[2 << 20] = 1
    b.write_bytes(data)
    assert content_hash(a) != content_hash(b)


def test_lines_are_json_that_others_read(tmp_path):
    path = tmp_path / "x.jsonl"
    append_line(path, json.dumps({"q": "naïve — “dog”"}, ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8"))["q"].startswith("naïve")


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path):
    target = tmp_path / "made" / "folder"
    for text in ("one", "two"):
        with atomic_folder(target) as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / "file").write_text(text)
            (temporary / text).write_text("")
    assert sorted(p.name for p in target.rglob("*")) == ["file", "inner", "two"]
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as temporary:
        (temporary / "three").write_text("")
        raise ZeroDivisionError
    assert (target / "inner" / "file").read_text() == "two" and not (target / "three").exists()
    assert [p.name for p in target.parent.iterdir()] == ["folder"]
    assert (target / "two").stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), atomic_folder(tmp_path / "file" / "folder"):
        pass


def test_a_write_does_not_look_through_the_folder(tmp_path, monkeypatch):
    """With 100 000 files in the folder each write took 66 ms."""

    def refused(*_):
        raise AssertionError("the folder was listed")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refused)
    assert write_text(tmp_path / "a.txt", "x").read_text() == "x"


@pytest.mark.parametrize("kind", ["file of a user", "link", "folder", "pipe", "second name"])
def test_only_what_a_dead_writer_left_is_taken_over(tmp_path, kind):
    """Whatever else has the name of a temporary file keeps its place and its content."""
    (tmp_path / "theirs").write_text("theirs")
    taken = tmp_path / ".a.whenwhere-1.txt"
    if kind == "file of a user":
        taken = tmp_path / ".a.txt"
        taken.write_text("theirs")
    elif kind == "link":
        taken.symlink_to(tmp_path / "theirs")
    elif kind == "second name":
        os.link(tmp_path / "theirs", taken)
    else:
        (os.mkdir if kind == "folder" else os.mkfifo)(taken)
    assert write_text(tmp_path / "a.txt", "mine").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == sorted([taken.name, "a.txt", "theirs"])
    assert (tmp_path / "theirs").read_text() == "theirs"


@pytest.mark.parametrize("dangling", [False, True])
def test_links_are_not_written_through(tmp_path, dangling):
    other = tmp_path / "other"
    if not dangling:
        other.write_text("theirs\n")
    log = tmp_path / "log.jsonl"
    log.symlink_to(other)
    with pytest.raises(OutputError, match=r"log\.jsonl: it is a symbolic link"):
        append_line(log, "{}")
    write_text(log, "mine")
    assert not log.is_symlink() and log.read_text() == "mine"
    assert not other.exists() if dangling else other.read_text() == "theirs\n"


def test_a_pipe_is_no_log(tmp_path):
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OutputError, match="not a regular file"):
        append_line(tmp_path / "log", "{}")


def test_a_line_that_does_not_fit_is_taken_back(tmp_path):
    path = tmp_path / "log.jsonl"
    append_line(path, '{"n": 1}')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(DiskFullError, match="make room"):
            append_line(path, json.dumps({"n": "2" * 100}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text() == '{"n": 1}\n'


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_names_that_no_file_can_have(tmp_path, name):
    for write in (lambda p: append_line(p, "{}"), lambda p: write_text(p, "x")):
        with pytest.raises(OutputError, match="cannot write"):
            write(tmp_path / name / "file")
        with pytest.raises(OutputError, match="cannot write"):
            write(tmp_path / name)


def damaged(good: bytes) -> list[bytes]:
    """The same bytes with one changed, for every byte; with eight changed; cut short; and longer."""
    draw = random.Random(0)
    some = [good[:i] + bytes([good[i] ^ 1 << draw.randrange(8)]) + good[i + 1 :] for i in range(len(good))]
    some += [good[:i] + draw.randbytes(8) + good[i + 8 :] for i in range(0, len(good) - 8, 16)]
    return some + [good[:i] for i in range(0, len(good), 16)] + [good + b"\0", good + good]


def test_whatever_is_wrong_with_a_cache_entry_it_is_made_anew(tmp_path):
    """Costs time, never an answer: neither an error nor other arrays."""
    cache, right = Cache(tmp_path), {"x": np.arange(40.0), "name": np.array(["a", "bc"])}
    cache.arrays("k/x", lambda: right)
    entry = tmp_path / "k" / "x.npz"
    good = entry.read_bytes()
    for data in damaged(good):
        entry.write_bytes(data)
        calls = []
        found = cache.arrays("k/x", lambda calls=calls: calls.append(1) or right)
        assert calls and all((found[k] == right[k]).all() for k in right)
        assert entry.read_bytes() == good
    # an entry of another key, and one that an earlier version stored without a checksum
    cache.arrays("k/y", lambda: {"y": np.zeros(3)})
    entry.write_bytes((tmp_path / "k" / "y.npz").read_bytes())
    assert cache.arrays("k/x", lambda: right) is right
    np.savez(entry, **right)
    assert cache.arrays("k/x", lambda: right) is right
    # a pipe of that name is not waited for
    entry.unlink()
    os.mkfifo(entry)
    assert cache.arrays("k/x", lambda: right) is right


def test_a_damaged_answer_is_never_taken_for_another(tmp_path):
    responses = ResponseCache(Cache(tmp_path), "chat")
    key = responses.key("model", "when?")
    responses.write(key, {"text": "from 2.0 to 4.5 s", "calls": 1}, model="m")
    path = responses.path(key)
    assert path.stat().st_mode & 0o777 == 0o600
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        assert responses.read(key, lambda value: value) in (None, {"text": "from 2.0 to 4.5 s", "calls": 1})
    # an answer that an earlier version paid for is still found
    path.write_text(json.dumps({"key": key, "model": "m", "completion": "2 to 3 s"}))
    assert responses.read(key, str) == "2 to 3 s"


def test_without_a_home_nothing_is_kept(tmp_path, monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("WHENWHERE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() is None
    for _ in range(2):
        assert Cache().arrays("k/x", lambda: {"x": np.ones(2)})["x"].sum() == 2
    assert Cache(tmp_path).enabled


def test_a_file_that_another_writer_took_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between making a temporary file and locking it, another writer of the same target may find it unlocked."""
    real, others = store._lock, list[int]()

    def late(file: int) -> bool | None:
        if not others:
            others.append(os.open(tmp_path / ".a.whenwhere-1.txt", os.O_RDWR))
            assert real(others[0])
        return real(file)

    monkeypatch.setattr(store, "_lock", late)
    with store.atomic_path(tmp_path / "a.txt") as temporary:
        assert temporary.name == ".a.whenwhere-2.txt"
        temporary.write_text("whole")
    os.close(others[0])
    assert (tmp_path / "a.txt").read_text() == "whole"
