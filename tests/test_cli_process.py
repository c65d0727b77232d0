"""Commands in odd surroundings: closed streams, small encodings, no home, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whenwhere.records import Grounding

RED = "the red thing moves right"
COMMAND = [sys.executable, "-m", "whenwhere"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream(moving_clip: Path, tmp_path: Path, number: int) -> None:
    """The answer is stored, and nothing is written into whatever file gets the stream's number."""
    before = moving_clip.read_bytes()
    done = subprocess.run(
        [*COMMAND, "ground", str(moving_clip), RED, "--json", "--out", str(tmp_path), "--export", "srt"],
        capture_output=True, preexec_fn=lambda: os.close(number),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (number != 1)
    stored = (tmp_path / "moving" / "grounding.jsonl").read_bytes()
    assert Grounding.from_json(stored).status == "answered" and done.stdout in (b"", stored)
    assert moving_clip.read_bytes() == before


def test_standard_input_that_is_closed() -> None:
    done = subprocess.run([*COMMAND, "ground", "-", RED], stderr=subprocess.PIPE, preexec_fn=lambda: os.close(0))
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"empty" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_in_any_encoding(moving_clip: Path, encoding: str) -> None:
    """`\\xe9` is no escape of JSON, and letters beyond the first 65 536 need two."""
    query = "the réd thing 😀 “moves” right"
    done = subprocess.run(
        [*COMMAND, "ground", str(moving_clip), query, "--json"],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert json.loads(done.stdout.decode(encoding))["query"] == query


def test_without_a_home(moving_clip: Path) -> None:
    """A user that the system does not know, without HOME: nothing is cached, and the answer is there."""
    code = (
        "import os, pwd, sys\n"
        "for name in ('HOME', 'WHENWHERE_CACHE', 'XDG_CACHE_HOME'): os.environ.pop(name, None)\n"
        "def unknown(*_): raise KeyError('no such user')\n"
        "pwd.getpwuid = unknown\n"
        "from whenwhere.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "ground", str(moving_clip), RED, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "" and Grounding.from_json(done.stdout).status == "answered"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_no_temporary_folder(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """While a video from standard input is still coming in."""
    process = subprocess.Popen(
        [*COMMAND, "ground", "-", RED], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGTERM, signal.SIGHUP)],
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(b"\0" * 4096)
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("whenwhere-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(tmp_path.glob("whenwhere-*"))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status and b"Traceback" not in said
    assert not list(tmp_path.glob("whenwhere-*"))
