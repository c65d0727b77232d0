"""Shot cuts, compared with PySceneDetect's detector and with known cuts; and what cuts do to a tube."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from whenwhere import Span, SpanSet, Tube
from whenwhere.tracking import JumpFinder, anchor_cuts, fill_tube, find_cuts
from whenwhere.video import FrameWriter, VideoInfo, probe, stream_frames

W, H = 160, 120


def write_shots(path: Path, lengths: list[int], fps: int = 25, seed: int = 0) -> VideoInfo:
    """Shots of moving colour texture, one after another, each of its own colours."""
    rng = np.random.default_rng(seed)
    with FrameWriter(path, W, H, fps) as out:
        for n in lengths:
            small = rng.uniform(0, 60, (12, 18, 3)) + rng.uniform(0, 195, 3)
            wide = cv2.resize(small.astype(np.float32), (W + 120, H), interpolation=cv2.INTER_CUBIC).clip(0, 255)
            for k in range(n):
                x = int(k * 60 / n)
                out.write(np.ascontiguousarray(wide[:, x : x + W].astype(np.uint8)))
    return probe(path)


def scenedetect_cuts(path: Path) -> list[float]:
    from scenedetect import ContentDetector, detect

    return [scene[0].seconds for scene in detect(str(path), ContentDetector())[1:]]


@pytest.mark.parametrize(
    ("lengths", "fps", "seed"),
    [
        ([30, 40, 25, 60], 25, 0),
        ([20, 20, 20, 20, 20], 30, 1),
        ([40, 5, 40], 25, 2),  # a flash: merged
        ([30, 6, 6, 6, 40, 30], 25, 3),  # a fast-cut passage that lasts
        ([8, 50, 14, 50], 24, 4),  # a first shot that is too short to count
        ([70], 25, 5),
    ],
)
def test_same_cuts_as_scenedetect_within_a_frame(tmp_path, lengths, fps, seed):
    info = write_shots(tmp_path / "shots.mp4", lengths, fps, seed)
    ours, theirs = find_cuts(info), scenedetect_cuts(tmp_path / "shots.mp4")
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, atol=1.01 / fps)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("lengths", "fps"), [([30, 40, 25, 60], 4.0), ([33, 21, 70], 6.0), ([300], 4.0)])
def test_every_cut_lies_in_a_part_where_frames_that_were_looked_at_differ(tmp_path, lengths, fps, seed):
    info = write_shots(tmp_path / "shots.mp4", lengths, 25, seed)
    finder = JumpFinder()
    for t, frame in stream_frames(info, fps=fps, width=96):
        finder.add(t, frame)
    parts = SpanSet(finder.parts)
    cuts = find_cuts(info)
    assert len(cuts) == len(lengths) - 1 and all(t in parts for t in cuts)
    assert cuts or not parts
    assert [t for part in parts for t in find_cuts(info, part)] == cuts


def test_cuts_are_the_first_frames_of_the_new_shots(tmp_path):
    info = write_shots(tmp_path / "shots.mp4", [30, 40, 25])
    assert find_cuts(info) == [info.times[30], info.times[70]]
    assert find_cuts(info, threshold=256) == []
    assert find_cuts(info, Span(info.times[40], info.times[71])) == [info.times[70]]
    assert find_cuts(info, Span(info.times[30], info.times[70])) == [info.times[30]]
    assert find_cuts(info, Span(info.times[31], info.times[69])) == []


def test_real_clips_have_the_cuts_that_scenedetect_finds(real_data):
    for path in sorted((real_data / "videos").glob("*.mp4")):
        info = probe(path)
        if info.width * info.height * len(info.times) > 8e7:
            continue  # the larger clips are of the same kinds: a camera that stands, and one shot that is panned
        ours, theirs = find_cuts(info), scenedetect_cuts(path)
        assert len(ours) == len(theirs), path.name
        np.testing.assert_allclose(ours, theirs, atol=1.01 / info.fps)


@pytest.fixture
def info(tmp_path) -> VideoInfo:
    return write_shots(tmp_path / "shots.mp4", [35, 30, 35])  # cuts at 1.4 s and 2.6 s


def tube_of(times: list[float], rate: float = 1.0) -> Tube:
    boxes = [[20.0 * k, 10, 20 * k + 30, 40] for k in range(len(times))]
    return Tube(SpanSet([(0, 4)]), times, boxes, rate=rate)


def test_anchored_cuts_make_a_linear_fill_hold(info):
    tube = tube_of([0, 1, 2, 3])
    cuts = find_cuts(info)
    anchored = anchor_cuts(tube, cuts, info)
    expected = [0, 1, info.last_before(1.4), 1.4, 2, info.last_before(2.6), 2.6, 3]
    np.testing.assert_allclose(anchored.times, expected, atol=1e-9)
    assert anchored.sources == (
        "model",
        "model",
        "propagated",
        "propagated",
        "model",
        "propagated",
        "propagated",
        "model",
    )
    np.testing.assert_allclose(fill_tube(anchored, info.times), fill_tube(tube, info.times, cuts=cuts), atol=1e-9)
    for method in ("linear", "hold", "pchip", "flow"):
        x = fill_tube(tube, info.times, method, info, cuts)[:, 0].round(9)
        assert (x[25:35] == 20).all() and (x[35:50] == 40).all() and (x[50:65] == 40).all() and (x[65:75] == 60).all()


def test_anchoring_twice_is_once_and_no_cut_changes_nothing(info):
    tube = tube_of([0, 1, 2, 3])
    once = anchor_cuts(tube, find_cuts(info), info)
    assert anchor_cuts(once, find_cuts(info), info) is once
    assert anchor_cuts(tube, [], info) is tube and anchor_cuts(tube, [3.5], info) is tube


def test_a_box_at_the_cut_belongs_to_the_new_shot(info):
    anchored = anchor_cuts(tube_of([0, 1.4, 2]), [1.4], info)
    assert anchored.times.tolist() == [0, info.last_before(1.4), 1.4, 2]
    # also where the record's three decimals moved the time before the cut
    near = anchor_cuts(tube_of([0, 1.3996, 2]), [1.4], info)
    assert near.times.tolist() == [0, info.last_before(1.4), 1.3996, 2]
    assert fill_tube(near, [1.38, 1.4], cuts=[1.4])[:, 0].tolist() == [0, pytest.approx(20, abs=0.1)]


def test_cuts_in_an_absence_and_between_spans_add_nothing(info):
    tube = Tube(SpanSet([(0, 2.2), (3, 4)]), [0, 2.1, 3], [[0, 0, 9, 9]] * 3)
    assert anchor_cuts(tube, [1.4, 2.6], info) is tube


def test_two_cuts_in_one_gap(info):
    tube = Tube(SpanSet([(0, 4)]), [1, 3], [[0, 0, 9, 9], [50, 0, 59, 9]], rate=0.5)
    anchored = anchor_cuts(tube, [1.4, 2.6], info)
    assert fill_tube(anchored, [1.3, 1.4, 2.0, 2.7])[:, 0].tolist() == [0, 50, 50, 50]
    assert np.isnan(fill_tube(tube, [2.0], cuts=[1.4, 2.6])).all()
