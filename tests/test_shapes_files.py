"""Clips of shapes on disk and on the command line: the files agree with the videos."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from whenwhere.cli import app
from whenwhere.datasets import BENCHMARKS, manifest
from whenwhere.errors import OutputError
from whenwhere.records import Grounding
from whenwhere.stage import second_level_tube
from whenwhere.stage.shapes import Noise, ShapesWorld, make_clip, write_shapes
from whenwhere.video import probe, read_frames

WORLD = ShapesWorld(split="val", side=96, fps=6, seconds=(4, 5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shapes")
    done: list[tuple[int, int]] = []
    paths = write_shapes(out, 2, 30, WORLD, progress=lambda a, b: done.append((a, b)))
    assert [p.name for p in paths] == ["val-0000030.mp4", "val-0000031.mp4"]
    assert done == [(1, 2), (2, 2)]
    return out


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_videos_are_the_clips(folder: Path) -> None:
    for seed in (30, 31):
        clip = make_clip(WORLD, seed)
        info = probe(folder / f"{clip.id}.mp4")
        assert (info.width, info.height, info.fps) == (96, 96, 6.0) and info.duration == pytest.approx(clip.duration)
        assert np.allclose(info.times, clip.times, atol=1e-3)
        images = read_frames(info, info.times).images
        # saturated colours lose sharpness in the encoding of colour at half the size
        assert np.abs(images.astype(int) - clip.images).mean() < 6


def test_truth_is_grounding_records_of_the_clips(folder: Path, tmp_path: Path) -> None:
    truth = [Grounding.from_json(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    queries = [q for seed in (30, 31) for q in make_clip(WORLD, seed).queries]
    items = list(manifest.read(folder / "manifest.jsonl"))
    assert [r.query for r in truth] == [q.text for q in queries] == [item.query for item in items]
    assert [(r.id, r.video.path) for r in truth if r.video] == [(item.id, item.video) for item in items]
    assert [item.span_set for item in items] == [q.spans for q in queries]
    manifest.write(BENCHMARKS["stage"].read(folder / "truth.jsonl"), tmp_path / "converted.jsonl")
    assert (tmp_path / "converted.jsonl").read_bytes() == (folder / "manifest.jsonl").read_bytes()
    assert len({r.id for r in truth}) == len(truth)
    for record, query in zip(truth, queries, strict=True):
        assert record.reading is not None
        assert (record.status == "absent") == (query.referents == 0) == (record.reading["kind"] == "absent")
        assert [(s.start, s.end) for s in record.spans] == [(s.start, s.end) for s in query.spans]
        if query.referents:
            tube = record.tube()
            assert tube is not None and record.filled is not None
            assert np.allclose(record.filled.boxes, query.tube.boxes)
            # every second and both ends, each as its frame has it
            assert set(query.spans.starts) <= set(tube.times.tolist()) and len(tube) <= len(query.tube)
            for t, box in zip(tube.times, tube.boxes, strict=True):
                assert (query.tube.boxes[np.abs(query.tube.times - t).argmin()] == box).all()


def test_second_level_tubes_leave_out_what_is_hidden(folder: Path) -> None:
    clip = make_clip(WORLD, 30)
    info = probe(folder / f"{clip.id}.mp4")
    query = max(clip.queries, key=lambda q: q.spans.duration)
    times = second_level_tube(query.tube, info).times
    hidden = np.abs(query.tube.times - times[0]) > 0.01
    tube = query.tube.replace(times=query.tube.times[hidden], boxes=query.tube.boxes[hidden])
    left = second_level_tube(tube, info)
    assert left.times.tolist() == times[1:].tolist()


def test_captions_questions_and_actions_are_written_too(folder: Path) -> None:
    clips = {f"{c.id}.mp4": c for c in (make_clip(WORLD, seed) for seed in (30, 31))}
    for name in ("captions", "questions", "actions"):
        found = lines(folder / f"{name}.jsonl")
        assert len(found) == sum(len(getattr(c, name)) for c in clips.values()) > 0
        assert {str(line["video"]) for line in found} == set(clips)


def test_a_noisy_label_stands_beside_the_truth(tmp_path: Path) -> None:
    write_shapes(tmp_path, 1, 3, ShapesWorld(side=64, fps=2, seconds=(4, 4), noise=Noise(wrong=1)))
    for line in lines(tmp_path / "truth.jsonl"):
        reading, spans = line["reading"], line["spans"]
        assert isinstance(reading, dict) and isinstance(spans, list)
        assert reading["label"] != [[s["start"], s["end"]] for s in spans]


def test_stopped_early_it_keeps_what_is_done_and_says_where_it_cannot_write(tmp_path: Path) -> None:
    def stop(done: int, all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shapes(tmp_path / "a", 3, 30, WORLD, progress=stop)
    assert {m["video"] for m in lines(tmp_path / "a" / "manifest.jsonl")} == {"val-0000030.mp4"}
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_shapes(tmp_path / "file", 1, 30, WORLD)


def test_the_command_writes_them(tmp_path: Path) -> None:
    run = CliRunner()
    given = ["stage", str(tmp_path / "out"), "--clips", "1", "--seed", "4", "--world", "shapes"]
    done = run.invoke(app, [*given, "--domain", "sport", "--split", "ood-look", "--side", "64", "--fps", "4"])
    assert done.exit_code == 0, done.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "ood-look-sport-0000004.mp4", "truth.jsonl", "manifest.jsonl", "captions.jsonl", "questions.jsonl",
        "actions.jsonl"}  # fmt: skip
    clip = make_clip(ShapesWorld(split="ood-look", domain="sport", side=64, fps=4), 4)
    assert [m["query"] for m in lines(tmp_path / "out" / "manifest.jsonl")] == [q.text for q in clip.queries]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--world", "moon"], "there is no world 'moon'"),
        (["--world", "shapes", "--split", "dev"], "there is no split 'dev'"),
        (["--split", "val"], "add --world shapes"),
    ],
)
def test_the_command_refuses_in_a_sentence(options: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["stage", str(tmp_path / "out"), *options])
    assert done.exit_code != 0
    assert says in f"{done.output}{done.exception}"
    assert not (tmp_path / "out").exists()
