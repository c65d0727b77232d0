"""Files are whole or absent, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from whenwhere.errors import OutputError
from whenwhere.store import Cache, _umask, append_line, atomic_folder, atomic_path, content_hash, read_lines, write_text


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
