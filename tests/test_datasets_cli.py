"""`whenwhere data`: convert, validate, stats, and that a batch takes what was converted."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from whenwhere.cli.data import convert
from whenwhere.datasets import BENCHMARKS, manifest, schema
from whenwhere.datasets.questions import read_questions
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.validate import validate_gold
from whenwhere.records import Grounding
from whenwhere.stage import write_stage
from whenwhere.training.builders import items
from whenwhere.training.policy_tables import DataSettings

sys.path.insert(0, str(Path(__file__).parent))
from releases import RELEASES, write_release

Cli = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_every_benchmark_becomes_a_manifest(tmp_path: Path, ending: str) -> None:
    for name in RELEASES:
        items = BENCHMARKS[name].read(write_release(name, tmp_path / name))
        path = tmp_path / f"{name}.{ending}"
        assert manifest.write(items, path) == len(items)
        for before, after in zip(items, manifest.read(path), strict=True):
            assert schema.to_dict(before) == schema.to_dict(after)
        asked = read_questions(path)
        assert asked.faults == []
        assert [(i.id, i.query, i.window) for i in asked.items] == [(i.id, i.query, i.window) for i in items]


def test_convert_and_ask(cli: Cli, moving_clip: Path, tmp_path: Path) -> None:
    """Released file → manifest with paths → batch."""
    videos = tmp_path / "clips"
    videos.mkdir()
    shutil.copy(moving_clip, videos / "KITE1.mp4")
    source = write_release("charades-sta", tmp_path / "sta")
    out = tmp_path / "made" / "sta.jsonl"
    done = cli(
        "data", "convert", "--benchmark", "charades-sta", "--annotations", source, "--out", out, "--videos", videos
    )
    assert done.stdout == f"wrote {out}: 3 items of 2 videos\n"
    assert "kept and marked: 1 item\n" in done.stderr and "1 video, such as ABCDE" in done.stderr
    first = next(manifest.read(out))
    assert (first.id, first.video) == ("KITE1#0", "../clips/KITE1.mp4")
    assert first.provenance["video"] == "KITE1"
    # The same folder means the same to `validate` and to a recipe, wherever the manifest is.
    done = cli("data", "validate", out, "--videos", videos, status=1)
    assert "line 3: the video 'ABCDE' is neither in" in done.stderr and "1 × missing video" in done.stdout
    learned = items(DataSettings(kind="manifest", annotations=str(out), videos=str(videos)))
    assert Path(learned[0].video).samefile(videos / "KITE1.mp4")
    again = tmp_path / "again.jsonl"
    cli("data", "convert", "--benchmark", "manifest", "--annotations", out, "--out", again, "--videos", videos)
    assert next(manifest.read(again)).video == "clips/KITE1.mp4"
    answers = tmp_path / "answers"
    done = cli("batch", out, "--out", answers, "--json", status=1)
    asked = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["query"] for r in asked] == ["a kite is flown.", "it falls.", "he sits."]
    assert [r["status"] == "failed" for r in asked] == [False, False, True]  # ABCDE has no video


def test_convert_without_videos(cli: Cli, tmp_path: Path) -> None:
    source = write_release("qvhighlights", tmp_path)
    out = tmp_path / "qvh.parquet"
    cli("data", "convert", "--benchmark", "qvhighlights", "--annotations", source, "--out", out)
    (item,) = manifest.read(out)
    assert item.video == "k_0.0_12.0" and item.extra["relevant_clip_ids"] == [0, 1, 4, 5]
    done = cli("data", "convert", "--benchmark", "qvhighlight", "--annotations", source, "--out", out, status=2)
    assert "did you mean qvhighlights" in done.stderr and done.stderr.count("\n") == 1
    answers = tmp_path / "vqa.jsonl"
    answers.write_text('{"id": "1", "answers": ["yes", "yes", "no"]}\n')
    done = cli("data", "convert", "--benchmark", "vqa", "--annotations", answers, "--out", out, status=2)
    assert "only `whenwhere eval`" in done.stderr and "did you mean" not in done.stderr
    for name, annotations, target, videos, error, words in (
        ("qvhighlights", tmp_path / "no", out, None, RecordError, "does not exist"),
        ("qvhighlights", source, tmp_path / "x.csv", None, RecordError, r"ends in \.jsonl"),
        ("didemo", source, out, None, RecordError, "where a list is expected"),
        ("qvhighlights", source, out, tmp_path / "no", SettingError, "is not a folder"),
    ):
        with pytest.raises(error, match=words):
            convert(name, annotations, target, videos)


def test_staged_truth_is_a_benchmark(cli: Cli, tmp_path: Path) -> None:
    """What `stage` wrote goes to `batch` and `eval` as it is, and the truth itself gets the full score."""
    write_stage(tmp_path / "clips", 1, 4, width=160, height=90, fps=8.0, seconds=8.0)
    truth = tmp_path / "clips" / "truth.jsonl"
    items = BENCHMARKS["stage"].read(truth)
    assert items and all(i.video == items[0].video and i.type and i.fps == 8 for i in items)
    assert sum(len(i.tubes[0]) for i in items if i.tubes) > 30
    checked = validate_gold(BENCHMARKS["stage"], items)
    full = {c.measure: c.gold for c in checked.checks if c.protocol == "default-tubes"}
    assert checked.passed and full["m_vIoU"] == full["m_tIoU"] == 1.0
    asked = tmp_path / "clips" / "manifest.jsonl"
    assert "nothing is wrong" in cli("data", "validate", asked, "--videos", tmp_path / "clips").stdout
    written = [Grounding.from_json(line) for line in truth.open("rb")]
    questions = read_questions(asked).items
    assert len({q.video for q in questions}) == 1
    assert [(t.id, t.query) for t in written] == [(q.id, q.query) for q in questions]
    done = cli("batch", asked, "--out", tmp_path / "out", "--json")
    assert f"{len(items)} questions about 1 videos" in done.stderr
    answers = done.stdout
    assert [Grounding.from_json(line).id for line in answers.splitlines()] == [t.id for t in written]
    stored = [line for log in (tmp_path / "out").glob("*/grounding.jsonl") for line in log.read_text().splitlines()]
    assert stored == answers.splitlines()
    (tmp_path / "answers.jsonl").write_text(answers)
    given = ("--annotations", asked, "--predictions", tmp_path / "answers.jsonl")
    done = cli("eval", "--benchmark", "manifest-tubes", *given, "--json")
    assert "have no answer" not in done.stderr and json.loads(done.stdout)
    lines = truth.read_text().replace('"model":"truth"', '"model":"motion"')
    truth.write_text(lines)
    with pytest.raises(RecordError, match="line 1 is not the truth of a staged clip"):
        BENCHMARKS["stage"].read(truth)


def test_a_manifest_is_evaluated(cli: Cli, tmp_path: Path) -> None:
    source = write_release("qvhighlights", tmp_path)
    out = tmp_path / "m.parquet"
    cli("data", "convert", "--benchmark", "qvhighlights", "--annotations", source, "--out", out)
    answers = tmp_path / "a.jsonl"
    answers.write_text('{"id": "7", "spans": [[0, 4], [8, 10]]}\n')
    done = cli("eval", "--benchmark", "manifest", "--annotations", out, "--predictions", answers, "--json")
    assert '"mIoU": 0.75' in done.stdout
    for name in ("manifest", "manifest-tubes"):
        cli("data", "validate", "--benchmark", name, "--annotations", out)


def test_validate_a_manifest(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "v.mkv").touch()
    good = {"id": "a", "video": "v.mp4", "query": "q", "spans": [[1, 2]]}
    lines = [good, good | {"id": "b", "status": "invalid", "spans": [[2, 2]]}]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "2 lines, 1 video, 1 item marked invalid\n  nothing is wrong" in cli("data", "validate", path).stdout
    cli("data", "validate", path, "--videos", tmp_path)
    bad = [good, good | {"id": "c", "video": "w"}, *(good | {"id": str(k), "span": []} for k in range(5))]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *bad]) + '{"id": "z"')
    done = cli("data", "validate", path, "--videos", tmp_path, "--json", status=1)
    assert json.loads(done.stdout) == {
        "file": str(path),
        "lines": 10,
        "videos": 2,
        "invalid": 1,
        "faults": {"repeated id": 1, "missing video": 1, "unknown key": 5, "not JSON": 1},
    }
    # three of a kind are named, each in one line
    assert done.stderr.count("unknown key 'span'") == 3 and len(done.stderr.splitlines()) == 6
    assert f"{path}, line 3: the id 'a'" in done.stderr and f"{path}, line 4: the video 'w'" in done.stderr
    assert "5 × unknown key" in cli("data", "validate", path, status=1).stdout


def test_validate_a_release(cli: Cli, tmp_path: Path) -> None:
    source = write_release("charades-sta", tmp_path)
    done = cli("data", "validate", "--benchmark", "charades-sta", "--annotations", source)
    assert "3 items of 2 videos" in done.stdout and "1 invalid" in done.stdout
    assert "0.666666666667" in done.stdout and "the truth gets the full score" in done.stdout
    shown = json.loads(cli("data", "validate", "--benchmark", "charades-sta", "--annotations", source, "--json").stdout)
    assert shown["passed"] and shown["faults"] == [["ABCDE#0", "ends at 6 s, not after its start at 7 s"]]
    # the same id twice: the second item can never be answered by its id
    source = write_release("tacos", tmp_path)
    source.write_text("[]")
    assert "expected" in cli("data", "validate", "--benchmark", "tacos", "--annotations", source, status=1).stderr
    for arguments in ((), ("m.jsonl", "--benchmark", "tacos"), ("--benchmark", "tacos")):
        assert "--annotations FILE" in cli("data", "validate", *arguments, status=2).stderr


def test_stats(cli: Cli, tmp_path: Path) -> None:
    source = write_release("null-query", tmp_path)
    out = tmp_path / "m.jsonl"
    cli("data", "convert", "--benchmark", "null-query", "--annotations", source, "--out", out)
    shown = json.loads(cli("data", "stats", out, "--json").stdout)
    assert (shown["items"], shown["videos"], shown["invalid"]) == (2, 1, 0)
    assert shown["spans"] == {"none": 1, "one": 0, "several": 1} and shown["types"] == {"kite": 1}
    assert shown["span_fraction"] == {"n": 1, "min": 8 / 12, "median": 8 / 12, "mean": 8 / 12, "max": 8 / 12}
    text = cli("data", "stats", out).stdout
    assert "2 items, 1 video," in text and "1 with none, 1 with several" in text and "50.0%" in text
    out.write_text(out.read_text()[:-30])
    assert "line 2: this line is not JSON" in cli("data", "stats", out, status=1).stderr


def test_videos_are_found(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.c.webm", "d.txt", "e.avi", "sub/f.MKV"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    there = VideoFolder(tmp_path)
    found = {
        name: path.relative_to(tmp_path).as_posix() if (path := there.find(name)) else None
        for name in ("a", "a.mp4", "a.avi", "b.c", "b", "d", "d.txt", "e.avi", "sub/f", "sub", "x/y")
    }
    assert found == {
        "a": "a.mp4", "a.mp4": "a.mp4", "a.avi": "a.mp4", "b.c": "b.c.webm", "b": None, "d": None,
        "d.txt": "d.txt", "e.avi": "e.avi", "sub/f": "sub/f.MKV", "sub": None, "x/y": None,
    }  # fmt: skip
