"""Staged clips on disk: video, sound, truth and manifest, and the clip of the demo."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from whenwhere.datasets import BENCHMARKS, manifest
from whenwhere.errors import OutputError
from whenwhere.overlap import t_iou, v_iou
from whenwhere.records import Grounding
from whenwhere.spans import SpanSet
from whenwhere.stage import Stage, build_world, demo_scene, render_clip, second_level_tube, write_stage
from whenwhere.stage.sound import BEEP, PITCH, SAMPLE_RATE, beeps, track
from whenwhere.tracking import find_cuts, second_level_times
from whenwhere.video import probe, read_frames

SMALL = {"width": 128, "height": 72, "fps": 8.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stage")
    done: list[tuple[int, int]] = []
    paths = write_stage(out, 3, seed=40, progress=lambda a, b: done.append((a, b)), **SMALL)
    assert [p.name for p in paths] == ["dev-000040.mp4", "dev-000041.mp4", "dev-000042.mp4"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    return out


def test_truth_is_grounding_records_and_the_manifest_holds_the_same(folder: Path) -> None:
    truth = [Grounding.from_json(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    items = list(manifest.read(folder / "manifest.jsonl"))
    assert [(r.id, r.video.path, r.query) for r in truth if r.video] == [(i.id, i.video, i.query) for i in items]
    assert [r.span_set for r in truth] == [i.span_set for i in items]
    assert [r.filled.boxes if r.filled else [] for r in truth] == [
        [tuple(box) for tube in i.tubes for box in tube.boxes.tolist()] for i in items
    ]
    assert len({r.id for r in truth}) == len(truth) > 9
    assert all((folder / item.video).is_file() for item in items)
    for r in truth:
        assert r.status in ("answered", "absent") and r.reading and r.settings
        assert (r.status == "absent") == (r.reading["kind"] == "absent")
        if r.status == "answered":
            tube = r.tube()
            assert tube is not None and r.filled is not None and len(tube) >= 1
            # second-level boxes are boxes of frames
            dense = np.array(r.filled.boxes)
            assert all((np.abs(dense - b).max(1) < 0.01).any() for b in tube.boxes)


def test_the_manifest_is_what_converting_the_truth_gives(folder: Path, tmp_path: Path) -> None:
    manifest.write(BENCHMARKS["stage"].read(folder / "truth.jsonl"), tmp_path / "converted.jsonl")
    assert (tmp_path / "converted.jsonl").read_bytes() == (folder / "manifest.jsonl").read_bytes()


def test_the_same_seed_writes_the_same_truth(folder: Path, tmp_path: Path) -> None:
    write_stage(tmp_path, 1, seed=41, **SMALL)
    again = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    first = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    first = [r for r in first if r["video"]["path"] == "dev-000041.mp4"]
    assert again == first


def test_stopped_early_it_keeps_what_is_done(tmp_path: Path) -> None:
    def stop(done: int, all: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_stage(tmp_path, 3, seconds=3.0, progress=stop, **SMALL)
    names = {json.loads(line)["video"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()}
    assert names <= {"dev-000000.mp4"} and len(list(tmp_path.glob("*.mp4"))) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_stage(tmp_path / "file", 1, seconds=2.0, **SMALL)


def test_the_video_is_what_the_scene_says(tmp_path: Path) -> None:
    scene = render_clip(tmp_path / "a.mp4", 8, domain="street", cuts=True, **SMALL)
    info = probe(tmp_path / "a.mp4")
    assert (info.width, info.height, info.audio) == (128, 72, True)
    assert info.duration == pytest.approx(scene.duration, abs=1e-3)
    assert np.allclose(info.times, scene.times, atol=1e-3) and len(info.times) == scene.world.frames
    # the file shows the painted frames
    stage = Stage(build_world(8, domain="street", cuts=True, **SMALL))
    painted = list(stage.frames())
    shown = read_frames(info, scene.times[::10]).images
    assert np.abs(shown.astype(int) - np.stack(painted[::10])).mean() < 12
    found = find_cuts(info)
    assert len(found) == len(scene.cuts) and np.allclose(found, scene.cuts, atol=1 / scene.fps + 1e-3)


def test_second_level_boxes_are_at_second_level_times(tmp_path: Path) -> None:
    scene = render_clip(tmp_path / "a.mp4", 3, **SMALL)
    info = probe(tmp_path / "a.mp4")
    for q in scene.sentences:
        tube = second_level_tube(q.tube, info)
        wanted = [t for s in q.spans for t in second_level_times(s, 1.0, info.last_before(s.end))]
        assert set(tube.times) <= set(wanted)
        assert t_iou(tube.spans, q.spans) == 1.0 or q.absent
        if len(tube) == len(wanted) and len(wanted) and q.kind in ("stand", "rest"):
            assert v_iou(tube, q.tube) > 0.8


def test_beeps_are_heard_when_somebody_begins(tmp_path: Path) -> None:
    scene = render_clip(tmp_path / "a.mp4", 3, **SMALL)
    samples, rate = track(scene.world)
    assert rate == SAMPLE_RATE and len(samples) == round(scene.duration * SAMPLE_RATE) and np.abs(samples).max() <= 1
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert file.streams.audio[0].codec_context.name == "aac"
        heard = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])
    beep = next(t for t, pitch in beeps(scene.world) if pitch == PITCH and 0.5 < t < scene.duration - 0.5)
    loud = [np.abs(heard[round((beep + d) * SAMPLE_RATE) :][: round(BEEP * SAMPLE_RATE)]).max() for d in (0.0, -0.4)]
    others = [t for t, _ in beeps(scene.world) if -0.4 - BEEP < t - beep < 0]
    assert loud[0] > 0.2 and (others or loud[0] > 3 * loud[1])


def test_no_sound_when_not_wanted(tmp_path: Path) -> None:
    render_clip(tmp_path / "a.mp4", 3, sound=False, seconds=2.0, **SMALL)
    assert not probe(tmp_path / "a.mp4").audio


def test_the_demo_clip(tmp_path: Path) -> None:
    scene = demo_scene(tmp_path / "demo.mp4")
    info = probe(tmp_path / "demo.mp4")
    assert (info.width, info.height, info.audio) == (640, 360, True) and info.duration == pytest.approx(12, abs=0.01)
    assert [q.kind for q in scene.sentences] == ["direction", "stand", "direction"]
    assert not any(q.absent for q in scene.sentences)
    assert not scene.moving and not scene.cuts
    spans = [q.spans.hull for q in scene.sentences]
    assert all(s is not None and s.duration > 2.5 for s in spans)
    assert SpanSet([(0, 12)]).duration > sum(s.duration for s in spans if s) / 2
