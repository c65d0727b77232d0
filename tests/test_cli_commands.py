"""The commands as a user meets them: what they print, what they write, their exit statuses."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import typer
import typer.main
from typer.testing import CliRunner

from whenwhere.cli import COMMANDS, app, build_app
from whenwhere.datasets.questions import read_folder
from whenwhere.overlap import t_iou
from whenwhere.records import Grounding
from whenwhere.results import ResultStore
from whenwhere.spans import SpanSet

Cli = Callable[..., subprocess.CompletedProcess[str]]
RED, BLUE = "the red thing moves right", "something blue moves down"


def test_every_help_ends_with_an_example_that_can_be_typed() -> None:
    """The words of each example name the command, and its options and arguments are those that the command takes."""
    groups: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    examples = 0
    while groups:
        path, command = groups.pop()
        if hasattr(command, "commands"):
            groups += [([*path, *name.split()], inner) for name, inner in command.commands.items()]
            continue
        lead, *words = shlex.split((command.epilog or "").removeprefix("Example: "))
        assert [lead, *words[: len(path)]] == ["whenwhere", *path]
        words = words[len(path) :]
        command.make_context(path[-1], words[: words.index(">")] if ">" in words else words)
        examples += 1
    assert examples > 20


def test_ground_prints_for_a_person(cli: Cli, moving_clip: Path) -> None:
    done = cli("ground", moving_clip, RED, "qwertyuiop asdfgh")
    said = done.stdout.splitlines()
    assert said[0] == RED
    assert re.fullmatch(r"  answered  \d\.\d–\d\.\d s  confidence 0\.\d\d", said[1]), said[1]
    assert re.search(r"boxes at 1 per second, at 1\.\d s: x \d+–\d+, y \d+–\d+", said[2])
    assert "read as: thing thing" in done.stdout and "margin:" in done.stdout
    assert "unsure" in done.stdout and "what was seen:" in done.stdout and "doubt: " in done.stdout
    assert "\x1b" not in done.stdout and done.stderr == ""


def test_ground_json_is_clean(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    done = cli("ground", moving_clip, RED, BLUE, "--json", "--out", tmp_path, "--export", "srt,html")
    answers = [Grounding.from_json(line) for line in done.stdout.splitlines()]
    assert [a.query for a in answers] == [RED, BLUE]
    assert t_iou(answers[0].span_set, SpanSet([(1, 4)])) > 0.85
    assert t_iou(answers[1].span_set, SpanSet([(3, 6)])) > 0.85
    stored = (tmp_path / "moving" / "grounding.jsonl").read_text("utf-8")
    assert stored == done.stdout
    assert "page.html" in done.stderr


def test_ground_writes_files(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    exports = "json,csv,srt,vtt,mot,coco,cvat,mp4,clip,html"
    done = cli("ground", moving_clip, RED, "--out", tmp_path, "--export", exports)
    folder = tmp_path / "moving"
    stem = "01-the-red-thing-moves-right"
    endings = {".json", ".csv", ".srt", ".vtt", ".mot.txt", ".coco.json", ".cvat.xml", ".mp4", ".clip.mp4"}
    assert {p.name for p in folder.iterdir() if p.is_file()} == {stem + e for e in endings} | {
        "page.html",
        "grounding.jsonl",
    }
    assert done.stdout.count("wrote ") == len(endings)
    assert done.stdout.splitlines()[-1] == f"page: {folder / 'page.html'}"
    with av.open(str(folder / f"{stem}.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
    record = Grounding.from_json((folder / "grounding.jsonl").read_text("utf-8"))
    assert record.filled is not None and record.filled.fill == "flow"


def test_ground_out_alone_writes_the_page(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    cli("ground", moving_clip, RED, "--out", tmp_path)
    assert {p.name for p in (tmp_path / "moving").iterdir()} == {"page.html", "grounding.jsonl"}


def test_asking_again_replaces_and_adds(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    """A sentence keeps its number; its latest answer counts; another sentence joins the page."""
    cli("ground", moving_clip, RED, "--out", tmp_path, "--export", "csv")
    cli("ground", moving_clip, BLUE, RED, "--rate", "2", "--out", tmp_path, "--export", "csv,html")
    folder = tmp_path / "moving"
    records = [Grounding.from_json(line) for line in (folder / "grounding.jsonl").open("rb")]
    assert [(r.query, r.settings and r.settings.rate) for r in records] == [(RED, 2), (BLUE, 2)]
    assert {p.name[:2] for p in folder.glob("*.csv")} == {"01", "02"} and len(list(folder.glob("*.csv"))) == 2
    page = (folder / "page.html").read_text("utf-8")
    assert RED in page and BLUE in page


def test_frames_within_and_span(cli: Cli, moving_clip: Path) -> None:
    done = cli("ground", moving_clip, RED, "--span", "0:01.5-3", "--frames", "--fill", "linear", "--json")
    record = Grounding.from_json(done.stdout)
    assert record.span_set == SpanSet([(1.5, 3)])
    assert record.filled is not None and len(record.filled.t) == 15
    done = cli("ground", moving_clip, BLUE, "--within", "4-5", "--json")
    assert Grounding.from_json(done.stdout).span_set == SpanSet([(4, 5)])


def test_require_answer(cli: Cli, moving_clip: Path) -> None:
    cli("ground", moving_clip, "qwertyuiop asdfgh", "--require-answer", status=3)
    cli("ground", moving_clip, "qwertyuiop asdfgh")
    cli("ground", moving_clip, RED, "--require-answer")


def test_dry_run_does_nothing(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    done = cli("ground", moving_clip, RED, "--dry-run", "--cache", cache, "--out", out)
    assert "6.0 s, 160×120, 10 frames per second" in done.stdout and "frames 36" in done.stdout
    done = cli("ground", moving_clip, RED, "--dry-run", "--json", "--cache", cache)
    assert json.loads(done.stdout)["frames"] == 36
    assert not cache.exists() and not out.exists()


def test_cache_is_used(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    frames = [
        Grounding.from_json(cli("ground", moving_clip, RED, "--json", "--cache", tmp_path).stdout).cost.frames_decoded
        for _ in range(2)
    ]
    assert frames == [36, 0]


def test_stdin(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    with open(moving_clip, "rb") as f:
        done = cli("ground", "-", RED, "--json", "--out", tmp_path, stdin=f)
    record = Grounding.from_json(done.stdout)
    assert record.status == "answered" and record.video is not None and record.video.path == "-"
    assert (tmp_path / "stdin" / "page.html").exists()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_batch_of_each_kind(cli: Cli, moving_clip: Path, tmp_path: Path, kind: str) -> None:
    """Paths count from the manifest's folder; a video asked in two places is opened once."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(moving_clip.read_bytes())
    rows = [{"video": "films/a.mp4", "query": q, "note": "ignored"} for q in (RED, BLUE, RED)]
    manifest = tmp_path / f"questions.{kind}"
    if kind == "jsonl":
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        with manifest.open("w", newline="") as f:
            writer = csv.DictWriter(f, ["video", "query", "note"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), manifest)
    done = cli("batch", manifest, "--out", tmp_path / "out", cwd="/")
    assert done.stderr.splitlines()[-1] == "2 questions about 1 videos: 2 answered"
    assert [line.split(": ")[1] for line in done.stdout.splitlines()] == [RED, BLUE]
    assert {p.name for p in (tmp_path / "out" / "a").iterdir()} == {"grounding.jsonl", "thumbnail.jpg"}


def test_batch_of_a_folder_and_new_exports(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    """Videos of one name in two folders are kept apart; exports asked for later are made from what is stored."""
    for name in ("one/clip.mp4", "two/clip.mp4"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "films/one/clip.mp4").write_bytes(moving_clip.read_bytes())
    (tmp_path / "films/two/clip.mp4").write_bytes(moving_clip.read_bytes() + b"\0\0\0\x08free")
    # the same first MiB would make them one video: these differ within it
    (tmp_path / "sentences.txt").write_text(f"{RED}\n\n{BLUE}\n")
    arguments = ["batch", tmp_path / "films", "--sentences", tmp_path / "sentences.txt", "--out", tmp_path / "out"]
    done = cli(*arguments, "--json")
    assert len(done.stdout.splitlines()) == 4
    folders = sorted((tmp_path / "out").glob("*/"))
    assert [f.name[:5] for f in folders] == ["clip", "clip-"]
    before = [(f / "grounding.jsonl").read_bytes() for f in folders]
    again = cli(*arguments, "--json", "--export", "vtt,html")
    assert again.stdout == done.stdout
    assert "4 were there already" in again.stderr
    assert [(f / "grounding.jsonl").read_bytes() for f in folders] == before
    assert [len(list(f.glob("*.vtt"))) for f in folders] == [2, 2]
    assert all((f / "page.html").exists() for f in folders)


def test_failed_questions_are_tried_again(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"video": "late.mp4", "query": RED}) + "\n")
    log = tmp_path / "out" / "late" / "grounding.jsonl"
    for _ in range(2):
        done = cli("batch", manifest, "--out", tmp_path / "out", status=1)
        assert "1 failed" in done.stderr
        assert len(log.read_text().splitlines()) == 1
    (tmp_path / "late.mp4").write_bytes(moving_clip.read_bytes())
    cli("batch", manifest, "--out", tmp_path / "out")
    assert [Grounding.from_json(line).status for line in log.open("rb")] == ["answered"]


def test_demo(cli: Cli, tmp_path: Path) -> None:
    done = cli("demo", "--out", tmp_path / "demo")
    last = done.stdout.splitlines()[-1]
    page = tmp_path / "demo" / "demo" / "page.html"
    assert last == f"open {page.as_uri()}"
    assert done.stdout.count("answered") == 3
    text = page.read_text("utf-8")
    for record in map(Grounding.from_json, (page.parent / "grounding.jsonl").open("rb")):
        assert record.query in text


def test_doctor(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", env=os.environ | {"WHENWHERE_CACHE": str(tmp_path)}, imports=["torch"])
    assert "H.264 video" in done.stdout and "encoded and decoded" in done.stdout and str(tmp_path) in done.stdout
    checks = {c["name"]: c for c in json.loads(cli("doctor", "--json", imports=["torch"]).stdout)["checks"]}
    assert checks["numpy"]["state"] == "ok" and checks["H.264 video"]["state"] == "ok"
    assert checks["extra [data]"]["mend"] == "pip install 'whenwhere[data]'"


def test_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    """Two OpenCV wheels, a video library that does not work, and a cache that cannot be written."""
    for name in ("opencv_python", "opencv_contrib_python"):
        (tmp_path / f"{name}-4.10.0.dist-info").mkdir()
        (tmp_path / f"{name}-4.10.0.dist-info" / "METADATA").write_text(
            f"Name: {name.replace('_', '-')}\nVersion: 4.10.0\n"
        )
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "__init__.py").write_text("raise ImportError('libavcodec is not there')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "WHENWHERE_CACHE": "/proc/whenwhere"}
    done = subprocess.run(
        [sys.executable, "-m", "whenwhere", "doctor", "--json"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    checks = {c["name"]: c for c in json.loads(done.stdout)["checks"]}
    assert "pip uninstall" in checks["opencv wheels"]["mend"] and checks["opencv wheels"]["state"] == "broken"
    assert "libavcodec" in checks["H.264 video"]["found"]
    assert checks["cache folder"]["state"] == "missing"


def test_version_and_bare_command(cli: Cli) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", cli("--version").stdout.strip())
    assert "ground" in cli(status=None).stdout


def test_folder_reading(tmp_path: Path) -> None:
    for name in ("b.MP4", "a.mkv", "notes.txt", "deep/c.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = read_folder(tmp_path, ["x", "y", "x"])
    assert [Path(i.video).name for i in found.items[::3]] == ["a.mkv", "b.MP4", "c.webm"]
    assert len(found) == 9


def test_a_replaced_video_loses_its_old_answers(tmp_path: Path) -> None:
    """A new film under an old name: the folder stays, answers about the old film go."""
    video = {
        "path": "a.mp4", "sha256_1mb": "old", "duration": 9, "declared_duration": None, "start": 0,
        "width": 64, "height": 48, "fps": 10, "vfr": False, "rotation": 0,
    }  # fmt: skip
    old = Grounding.model_validate({"id": "1", "query": "a dog", "status": "absent", "video": video})
    store = ResultStore(tmp_path, "a.mp4", "old")
    store.add(old)
    assert ResultStore(tmp_path, "a.mp4", "old").find(" a  dog", "1") == old
    assert ResultStore(tmp_path, "a.mp4", "old").find("a dog", "2") is None
    replaced = ResultStore(tmp_path, "a.mp4", "new")
    assert (replaced.folder, replaced.records) == (store.folder, [])
    replaced.compact()
    assert (store.folder / "grounding.jsonl").read_text() == ""
    store.add(old)
    assert ResultStore(tmp_path, "elsewhere/a.mp4", "new").folder != store.folder
    assert ResultStore(tmp_path, "elsewhere/a.mp4", "old").folder == store.folder


@pytest.mark.parametrize(
    ("typed", "meant"), [("infer", "ground or batch"), ("predict", "ground or batch"), ("grond", "ground")]
)
def test_a_misspelt_command_is_answered_with_near_names(cli: Cli, typed: str, meant: str) -> None:
    done = cli(typed, "x.mp4", "a dog", status=2)
    assert done.stderr.count("\n") == 1 and f"there is no command '{typed}' (did you mean {meant}?)" in done.stderr
    assert "did you mean stats?" in cli("data", "stat", status=2).stderr


def test_a_command_is_one_file_and_one_line() -> None:
    """The row of CONTRIBUTING: a function, and a line of `COMMANDS`."""

    def greet(name: str) -> None:
        """Greet somebody."""
        typer.echo(f"hello {name}")

    app = build_app({**COMMANDS, "greet": (greet, "whenwhere greet you")})
    assert CliRunner().invoke(app, ["greet", "you"]).output == "hello you\n"
    assert "Example: whenwhere greet you" in CliRunner().invoke(app, ["greet", "--help"]).output
