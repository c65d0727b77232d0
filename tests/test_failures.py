"""Inputs that must fail well, through the command line: one sentence on stderr, a status that is not 0, no traceback.

Each test that can also shows that the rest was still done.
"""

import functools
import http.server
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from forked import Forker

from whenwhere.records import Grounding
from whenwhere.video import FrameWriter

Cli = Callable[..., subprocess.CompletedProcess[str]]
RED = "the red thing moves right"


def sentence_on_stderr(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exactly one line, which says these things; nothing of a traceback anywhere."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stdout
    for part in parts:
        assert part in lines[0], (part, lines[0])


def records(folder: Path) -> list[Grounding]:
    return [Grounding.from_json(line) for log in sorted(folder.rglob("grounding.jsonl")) for line in log.open("rb")]


@pytest.fixture
def manifest(tmp_path: Path, moving_clip: Path) -> Callable[[Path | str], Path]:
    """A manifest with a bad video first and a good one after it."""

    def make(bad: Path | str) -> Path:
        path = tmp_path / "questions.jsonl"
        rows = [{"video": str(bad), "query": RED}, {"video": str(moving_clip), "query": RED}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make


def bad_missing(folder: Path, clip: Path) -> Path:
    return folder / "missing.mp4"


def bad_empty(folder: Path, clip: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def bad_text(folder: Path, clip: Path) -> Path:
    (folder / "text.mp4").write_text("This is no film. " * 200)
    return folder / "text.mp4"


def bad_folder(folder: Path, clip: Path) -> Path:
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


def bad_audio(folder: Path, clip: Path) -> Path:
    path = folder / "audio.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000)
        for start in range(0, 16_000, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def bad_truncated(folder: Path, clip: Path) -> Path:
    """Pictures without the index that comes last, as an interrupted recording leaves them."""
    path = folder / "truncated.mp4"
    data = clip.read_bytes()
    index = data.index(b"moov") - 4
    path.write_bytes(data[:index] + data[index + int.from_bytes(data[index : index + 4], "big") :])
    return path


BAD = [
    (bad_missing, "does not exist"),
    (bad_empty, "is empty"),
    (bad_text, "is text"),
    (bad_folder, "is a folder"),
    (bad_audio, "sound but no moving picture"),
    (bad_truncated, "cut off before its index"),
]


@pytest.mark.parametrize(("make", "reason"), BAD, ids=[m.__name__ for m, _ in BAD])
def test_bad_videos(
    cli: Cli, tmp_path: Path, moving_clip: Path, manifest: Callable[..., Path], make: Callable[..., Path], reason: str
) -> None:
    bad = make(tmp_path, moving_clip)
    done = cli("ground", bad, RED, status=1)
    sentence_on_stderr(done, bad.name, reason)
    assert done.stdout == ""
    done = cli("batch", manifest(bad), "--out", tmp_path / "out", status=1)
    assert "1 answered, 1 failed" in done.stderr.splitlines()[-1]
    assert reason in done.stderr and "Traceback" not in done.stderr
    assert sorted(r.status for r in records(tmp_path / "out")) == ["answered", "failed"]
    failed = next(r for r in records(tmp_path / "out") if r.error is not None)
    assert failed.error is not None and failed.error.kind == "media" and reason in failed.error.message


def test_json_of_a_failure_is_a_record(cli: Cli, tmp_path: Path) -> None:
    done = cli("ground", tmp_path / "none.mp4", RED, "--json", status=1)
    sentence_on_stderr(done, "does not exist")
    assert Grounding.from_json(done.stdout).status == "failed"


def test_corrupt_in_the_middle(cli: Cli, tmp_path: Path, moving_clip: Path) -> None:
    """A partial answer with a warning."""
    path = tmp_path / "corrupt.mp4"
    data = bytearray(moving_clip.read_bytes())
    with av.open(str(moving_clip)) as source:
        packets = [p for p in source.demux(video=0) if p.size and p.pos is not None]
    noise = np.random.default_rng(0)
    for packet in packets[42:46]:
        data[packet.pos + 5 : packet.pos + packet.size] = noise.bytes(packet.size - 5)
    path.write_bytes(data)
    done = cli("ground", path, RED, "--json")
    record = Grounding.from_json(done.stdout)
    assert record.status == "answered"
    assert any("damaged" in w or "broken" in w or "decode" in w for w in record.warnings), record.warnings
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--span", "5-5"], ["--span 5-5", "no length"]),
        (["--span", "5-2"], ["--span 5-2", "start must come before its end"]),
        (["--within", "0:05-0:02"], ["--within"]),
        (["--within", "soon"], ["--within 'soon'", "12.5-20"]),
        (["--rate", "0"], ["rate"]),
        (["--rate", "nan"], ["rate"]),
        (["--sample-fps", "-1"], ["sampling"]),
        (["--fill", "magic"], ["no fill 'magic'", "flow"]),
        (["--smooth", "iron"], ["no smoother 'iron'"]),
        (["--model", "psychic"], ["no model 'psychic'", "motion"]),
        (["--export", "docx", "--out", "answers"], ["no export 'docx'", "srt", "html"]),
        (["--export", "srt"], ["--out"]),
        (["--span", "1-2", "--within", "1-2"], ["one of the two"]),
    ],
    ids=" ".join,
)
def test_wrong_options(cli: Cli, tmp_path: Path, moving_clip: Path, options: list[str], parts: list[str]) -> None:
    done = cli("ground", moving_clip, RED, *options, status=2, cwd=tmp_path)
    sentence_on_stderr(done, *parts)
    assert not any(tmp_path.iterdir())


def test_span_outside_the_video(cli: Cli, moving_clip: Path) -> None:
    done = cli("ground", moving_clip, RED, "--span", "100-110", status=1)
    sentence_on_stderr(done, "100-110", "outside the video", "6.000 s long")


@pytest.mark.parametrize(("sentence", "reason"), [("", "empty"), ("very " * 1999 + "small", "10000 characters")])
def test_bad_sentences(cli: Cli, moving_clip: Path, sentence: str, reason: str) -> None:
    done = cli("ground", moving_clip, sentence, RED, "--json", status=1)
    assert [Grounding.from_json(line).status for line in done.stdout.splitlines()] == ["failed", "answered"]
    assert reason in done.stderr.splitlines()[0] and "1 answered, 1 failed" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["ground", "batch", "stage", "demo"])
@pytest.mark.parametrize("where", ["/proc/whenwhere", "a regular file"])
def test_unwritable_output(
    cli: Cli, tmp_path: Path, moving_clip: Path, manifest: Callable[..., Path], command: str, where: str
) -> None:
    (tmp_path / "file").touch()
    out = Path(where) if where.startswith("/proc") else tmp_path / "file" / "answers"
    arguments = {
        "ground": [moving_clip, RED, "--out", out],
        "batch": [manifest(moving_clip), "--out", out],
        "stage": [out, "--clips", "1"],
        "demo": ["--out", out],
    }[command]
    sentence_on_stderr(cli(command, *arguments, status=1), "cannot write", str(out))


def limit(size: int) -> Callable[[], None]:
    """Files of this process may not grow beyond `size` bytes: what a full disk does, without filling one."""
    return functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


def test_full_disk_before_the_answer_is_stored(cli: Cli, tmp_path: Path, moving_clip: Path, manifest: object) -> None:
    out = tmp_path / "out"
    done = cli("ground", moving_clip, RED, "--out", out, status=1, preexec_fn=limit(500))
    sentence_on_stderr(done, "cannot write", "grounding.jsonl", "make room")
    done = cli("batch", manifest(moving_clip), "--out", out, status=1, preexec_fn=limit(500))  # type: ignore[operator]
    sentence_on_stderr(done, "cannot write", "grounding.jsonl", "make room")
    # with room again, the torn line is neither taken for an answer nor left in the file
    cli("batch", manifest(moving_clip), "--out", out)  # type: ignore[operator]
    assert [r.status for r in records(out)] == ["answered"]


def test_full_disk_while_exporting(cli: Cli, tmp_path: Path, moving_clip: Path) -> None:
    """The answer is kept, small files are written, and nothing half is left."""
    out = tmp_path / "out"
    arguments = ("ground", moving_clip, RED, "--out", out, "--export", "srt,mp4,html", "--fill", "linear")
    done = cli(*arguments, status=1, preexec_fn=limit(12_000))
    assert "Traceback" not in done.stderr
    assert "2 files could not be written" in done.stderr.splitlines()[-1]
    assert [r.status for r in records(out)] == ["answered"]
    assert sorted(p.name for p in (out / "moving").iterdir()) == ["01-the-red-thing-moves-right.srt", "grounding.jsonl"]


def test_stdout_is_full(moving_clip: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "whenwhere", "ground", str(moving_clip), RED, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "No space left" in done.stderr


def test_stdout_is_closed_early(moving_clip: Path) -> None:
    command = f"{sys.executable} -m whenwhere ground {moving_clip} '{RED}' '{RED}' 'a blue thing' --json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(done.stdout) == 10
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.fixture(scope="module")
def several_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips, each different, and a manifest that asks each two things."""
    folder = tmp_path_factory.mktemp("several")
    tiles = np.random.default_rng(1).integers(60, 190, (12, 16, 3))
    ground = np.kron(tiles, np.ones((8, 8, 1))).astype(np.uint8)
    lines = []
    for n in range(5):
        with FrameWriter(folder / f"clip{n}.mp4", 128, 96, 10) as writer:
            for i in range(40):
                frame = ground.copy()
                if 8 <= i < 32:
                    frame[20 + 4 * n : 40 + 4 * n, 4 * (i - 8) : 4 * (i - 8) + 24] = (220, 30, 30)
                writer.write(frame)
        lines += [{"video": f"clip{n}.mp4", "query": q} for q in (RED, "a red thing")]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize(("kill", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)], ids=["kill -9", "Ctrl-C"])
def test_interrupted_batch_goes_on(
    forker: Forker, cli: Cli, tmp_path: Path, several_clips: Path, kill: signal.Signals, status: int
) -> None:
    """Nothing is lost and nothing is done twice."""
    out = tmp_path / "out"
    arguments = [
        "batch",
        several_clips / "questions.jsonl",
        "--out",
        out,
        "--cache",
        tmp_path / "cache",
        "--export",
        "srt",
    ]
    process = forker.start(["-m", "whenwhere", *map(str, arguments)])
    deadline = time.monotonic() + 60
    while len(list(out.glob("*/grounding.jsonl"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, kill)
    ended = process.wait(60)
    assert ended.returncode == status
    if kill == signal.SIGINT:
        assert b"rerun to resume" in ended.stderr and b"Traceback" not in ended.stderr
    before = {log: log.read_bytes() for log in out.glob("*/grounding.jsonl")}
    kept = sum(data.count(b"\n") for data in before.values())
    assert 3 <= kept < 10
    # what a kill in the middle of writing a line would leave
    torn = sorted(before)[-1]
    torn.write_bytes(before[torn] + b'{"version":1,"id":"the-red')

    done = cli(*arguments)
    assert f"{kept} were there already" in done.stderr.splitlines()[-1]
    assert "10 questions about 5 videos" in done.stderr
    assert len(records(out)) == 10
    for log, data in before.items():
        assert log.read_bytes().startswith(data)
    assert len(list(out.glob("*/*.srt"))) == 10

    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    done = cli(*arguments)
    assert "10 were there already" in done.stderr.splitlines()[-1]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == stamps


def test_names_that_are_not_utf8(cli: Cli, tmp_path: Path, moving_clip: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    video = folder + b"/film\xff.mp4"
    with open(video, "wb") as f:
        f.write(moving_clip.read_bytes())
    done = cli("ground", video, RED, "--out", tmp_path / "out", "--export", "srt,html", "--json")
    record = Grounding.from_json(done.stdout)
    assert record.status == "answered" and record.video is not None and record.video.path.endswith("film?.mp4")
    assert (tmp_path / "out" / "film_" / "page.html").exists()
    done = cli("batch", folder, "--sentence", RED, "--out", tmp_path / "all")
    assert "1 answered" in done.stderr
    done = cli("ground", folder + b"/none\xff.mp4", RED, status=1)
    sentence_on_stderr(done, "does not exist")


def test_bad_lines_of_a_manifest(cli: Cli, tmp_path: Path, moving_clip: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    good = json.dumps({"video": str(moving_clip), "query": RED, "truth": [1, 4]})
    manifest.write_text(f'{{"video": "a.mp4", \n{good}\n["a", "b"]\n{{"video": "x.mp4"}}\n\n{good}\n')
    done = cli("batch", manifest, "--out", tmp_path / "out", status=1)
    said = done.stderr.splitlines()
    assert said[0].startswith("m.jsonl, line 1: not JSON")
    assert said[1].startswith("m.jsonl, line 3: not an object")
    assert said[2].startswith("m.jsonl, line 4: no text under 'query'")
    assert "1 answered" in said[-1] and "3 lines" in said[-1]
    assert len(records(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("m.csv", "film,question\na.mp4,a dog\n", ["no column 'video'", "'query'", "film, question"]),
        ("m.csv", "", ["no column 'video'", "none"]),
        ("m.jsonl", "\n", ["no questions"]),
        ("m.parquet", "not parquet", ["is not Parquet"]),
        ("m.txt", "a dog", [".jsonl, .csv or .parquet"]),
        ("none.jsonl", None, ["none.jsonl", "No such file"]),
    ],
)
def test_bad_manifests(cli: Cli, tmp_path: Path, name: str, content: str | None, parts: list[str]) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = cli("batch", tmp_path / name, "--out", tmp_path / "out", status=None)
    assert done.returncode in (1, 2)
    sentence_on_stderr(done, *parts)


def test_folder_without_sentences_or_videos(cli: Cli, tmp_path: Path) -> None:
    sentence_on_stderr(cli("batch", tmp_path, "--out", tmp_path / "out", status=2), "--sentence")
    sentence_on_stderr(cli("batch", tmp_path, "--sentence", RED, "--out", tmp_path / "out", status=1), "no video in")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, moving_clip: Path) -> Iterator[str]:
    """A web server on the loopback device with a clip, garbage, and nothing else."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "moving.mp4").write_bytes(moving_clip.read_bytes())
    (folder / "garbage.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address(cli: Cli, tmp_path: Path, address: str) -> None:
    done = cli("ground", f"{address}/moving.mp4", RED, "--json", "--out", tmp_path)
    record = Grounding.from_json(done.stdout)
    assert record.status == "answered" and record.video is not None
    assert record.video.path == f"{address}/moving.mp4"
    assert (tmp_path / "moving" / "page.html").exists()


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("/garbage.mp4", [], "not a video"),
        ("/none.mp4", [], "404"),
        ("/moving.mp4", ["--max-download", "0.00001"], "larger than"),
    ],
)
def test_bad_addresses(cli: Cli, address: str, path: str, options: list[str], reason: str) -> None:
    sentence_on_stderr(cli("ground", address + path, RED, *options, status=1), address + path, reason)


def test_dead_address(cli: Cli) -> None:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    sentence_on_stderr(cli("ground", f"http://127.0.0.1:{port}/x.mp4", RED, status=1), "cannot be downloaded")


def test_nothing_on_stdin(cli: Cli) -> None:
    sentence_on_stderr(cli("ground", "-", RED, status=1, stdin=subprocess.DEVNULL), "stdin is empty")


def test_a_bug_keeps_its_traceback_and_the_rest_goes_on(tmp_path: Path, moving_clip: Path) -> None:
    """A fault of ours in one sentence is shown in full, stored as a failure, and stops nothing."""
    code = (
        "import sys, whenwhere.grounders.named as s\n"
        "class Odd:\n"
        "    name = 'odd'\n"
        "    def __init__(self, parts): self.real = s.GROUNDERS['motion'].build(parts)\n"
        "    def ground(self, info, request):\n"
        "        if 'odd' in request.query: raise ZeroDivisionError('a bug')\n"
        "        return self.real.ground(info, request)\n"
        "s.GROUNDERS['odd'] = s.GrounderKind(Odd)\n"
        "from whenwhere.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "ground", str(moving_clip), "odd", RED, "--json", "--model", "odd"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    first, second = map(Grounding.from_json, done.stdout.splitlines())
    assert first.error is not None and first.error.kind == "bug" and "ZeroDivisionError" in first.error.message
    assert second.status == "answered"
    assert "Traceback" in done.stderr and "please report it" in done.stderr
