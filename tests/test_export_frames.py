"""Formats that count frames: mot, coco and cvat, read back by others' readers or by their published rules."""

import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import whenwhere
from whenwhere.datasets.item import Item
from whenwhere.export import EXPORTERS
from whenwhere.export.cvat import TOLERANCE, keyframes
from whenwhere.export.frames import frame_boxes
from whenwhere.video import probe, read_frames

sys.path.insert(0, str(Path(__file__).parent))
import answers
import clips


@pytest.fixture(scope="module", params=["ntsc", "vfr", "ts-offset", "rotated-90", "wide-pixels"])
def info(request, tmp_path_factory):
    return probe(clips.make(request.param, tmp_path_factory.mktemp("clips")).path)


@pytest.fixture(params=["flow", None])
def record(request, info):
    end = info.duration
    spans = [(float(info.times[3]), end * 0.4), (end * 0.6, end)]
    return answers.answered(info, spans, answers.HOSTILE, rate=2, label="dog", score=0.5, fill=request.param)


def truth(record, info) -> np.ndarray:
    """Boxes on all frames: the filled ones, or the tube's own linear fill; NaN outside the spans."""
    if record.filled is None:
        return record.tube().boxes_at(np.round(info.times, 3))
    inside = record.span_set.index(np.round(info.times, 3)) >= 0
    return np.where(inside[:, None], answers.moving(info.times, info.width, info.height), np.nan)


def test_every_frame_of_the_spans_has_its_box(record, info):
    (on,) = frame_boxes(record, info)
    np.testing.assert_allclose(on.boxes, truth(record, info), atol=6e-4)
    inside = record.span_set.index(np.round(info.times, 3)) >= 0
    assert np.array_equal(on.present, np.flatnonzero(inside))
    # Frames shown at the second-level times, rounded as they are in the record.
    assert np.abs(info.times[on.anchors] - on.tube.times).max() < 1.01 * np.diff(info.times).max()
    assert sum(map(len, on.runs())) == inside.sum()


def test_a_span_that_begins_with_a_frame_begins_with_that_frame(tmp_path):
    # At 30000/1001 frames a second the times of most frames round up or down to milliseconds.
    info = probe(clips.make("ntsc", tmp_path).path)
    for k in range(1, 50):
        record = answers.answered(info, [(float(info.times[k]), float(info.times[k + 5]))])
        (on,) = frame_boxes(record, info)
        assert on.present.tolist() == list(range(k, k + 5))
        assert on.anchors[k] and on.anchors[k + 4]


def test_mot_round_trip(record, info, tmp_path):
    (file,) = EXPORTERS["mot"].write(record, info, tmp_path / "x.mot.txt")
    rows = np.loadtxt(file, delimiter=",", ndmin=2)
    assert rows.shape[1] == 10
    assert (rows[:, 1] == 1).all() and (rows[:, 6] == 0.5).all() and (rows[:, 7:] == -1).all()
    back = np.full((len(info.times), 4), np.nan)
    left, top, width, height = rows[:, 2:6].T
    back[rows[:, 0].astype(int) - 1] = np.stack([left - 1, top - 1, left - 1 + width, top - 1 + height], -1)
    np.testing.assert_allclose(back, truth(record, info), atol=3e-3)


def test_pycocotools_loads_it_and_finds_itself_right(record, info, tmp_path, capsys):
    (file,) = EXPORTERS["coco"].write(record, info, tmp_path / "x.coco.json")
    coco = COCO(str(file))
    boxes = truth(record, info)
    assert [i["frame_index"] for i in coco.loadImgs(coco.getImgIds())] == np.flatnonzero(
        ~np.isnan(boxes[:, 0])
    ).tolist()
    for image in coco.loadImgs(coco.getImgIds()):
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        x1, y1, x2, y2 = boxes[image["frame_index"]]
        assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=3e-3)
        assert image["timestamp"] == pytest.approx(info.times[image["frame_index"]], abs=1e-6)
        assert (annotation["video_id"], annotation["track_id"], annotation["iscrowd"]) == (1, 1, 0)
        assert (image["width"], image["height"]) == (info.width, info.height)
    assert coco.dataset["videos"][0]["caption"] == answers.HOSTILE
    assert coco.cats[1]["name"] == "dog"
    found = COCOeval(coco, coco.loadRes(coco.dataset["annotations"]), "bbox")
    found.evaluate()
    found.accumulate()
    found.summarize()
    assert found.stats[0] == pytest.approx(1.0)
    capsys.readouterr()


def test_one_coco_file_for_a_batch_whose_images_exist(moving_clip, tmp_path):
    """Ids are unique over two videos of one name and two sentences; each image is the frame that it claims to be."""
    other = tmp_path / "other" / "moving.mp4"
    other.parent.mkdir()
    other.write_bytes(moving_clip.read_bytes() + b"\0\0\0\x08free")
    red, blue = "the red thing moves right", "the blue thing moves down"
    asked = [Item("", str(video), query) for video in (moving_clip, other) for query in (red, blue)]
    whenwhere.batch(asked, tmp_path / "out", exports=["coco"])
    coco = COCO(str(tmp_path / "out" / "all.coco.json"))
    assert len(coco.dataset["videos"]) == 2 and coco.dataset["videos"][0]["captions"] == [red, blue]
    assert len({v["id"] for v in coco.dataset["videos"]} & {i["video_id"] for i in coco.dataset["images"]}) == 2
    names = [image["file_name"] for image in coco.dataset["images"]]
    assert len(set(names)) == len(names) == len(coco.imgs)
    clip = probe(moving_clip)
    frames = read_frames(clip, clip.times).images.astype(int)
    for image in coco.loadImgs(coco.getImgIds())[:: len(names) // 4]:
        shown = np.asarray(Image.open(tmp_path / "out" / image["file_name"])).astype(int)
        assert abs(frames - shown).mean((1, 2, 3)).argmin() == image["frame_index"]
    for one in coco.dataset["annotations"]:
        x, y, w, h = one["bbox"]
        assert one["segmentation"] == [pytest.approx([x, y, x + w, y, x + w, y + h, x, y + h], abs=2e-3)]
        assert coco.imgs[one["image_id"]]["video_id"] == one["video_id"]
        assert coco.annToMask(one).any()
    assert sorted({a["track_id"] for a in coco.dataset["annotations"]}) == [t["id"] for t in coco.dataset["tracks"]]
    # The same call again leaves the frames as they are, and the page does not list them.
    frame = tmp_path / "out" / names[0]
    os.utime(frame, (0, 0))
    whenwhere.batch(asked, tmp_path / "out", exports=["coco", "html"])
    assert frame.stat().st_mtime == 0
    assert "000001.jpg" not in (tmp_path / "out" / "moving" / "page.html").read_text()


def cvat_reads(root: ET.Element, frames: int) -> np.ndarray:
    """Boxes as CVAT has them after an import: key frames only, linear between, nothing while outside."""
    (track,) = root.findall("track")
    keys = [b for b in track.findall("box") if b.get("keyframe") == "1"]
    out = np.full((frames, 4), np.nan)
    edges = [[float(b.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")] for b in keys]
    for i, key in enumerate(keys):
        if key.get("outside") == "1":
            continue
        a = int(key.get("frame"))
        b = int(keys[i + 1].get("frame")) if i + 1 < len(keys) else frames
        for f in range(a, b):
            w = (f - a) / (b - a) if i + 1 < len(keys) else 0
            out[f] = (1 - w) * np.array(edges[i]) + w * np.array(edges[min(i + 1, len(keys) - 1)])
    return out


def test_cvat_round_trip(record, info, tmp_path):
    (file,) = EXPORTERS["cvat"].write(record, info, tmp_path / "x.cvat.xml")
    root = ET.parse(file).getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/size") == str(len(info.times))
    assert "🦓 犬" in root.findtext("meta/task/name")
    label = root.findtext("meta/task/labels/label/name")
    assert label == root.find("track").get("label") == "dog"
    boxes = truth(record, info)
    # As written, every frame is exact; as CVAT keeps it, within the tolerance and absent in the same frames.
    written = np.full_like(boxes, np.nan)
    for b in root.iter("box"):
        if b.get("outside") == "0":
            written[int(b.get("frame"))] = [float(b.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
    np.testing.assert_allclose(written, boxes, atol=2e-3)
    kept = cvat_reads(root, len(info.times))
    assert np.array_equal(np.isnan(kept), np.isnan(boxes))
    assert np.nanmax(np.abs(kept - boxes)) <= TOLERANCE + 0.01
    outside = [int(b.get("frame")) for b in root.iter("box") if b.get("outside") == "1"]
    ends = [int(run[-1]) + 1 for on in frame_boxes(record, info) for run in on.runs()]
    assert outside == [e for e in ends if e < len(info.times)]


@given(arrays(float, st.tuples(st.integers(2, 40), st.just(4)), elements=st.floats(0, 500)), st.data())
def test_key_frames_keep_the_line_within_the_tolerance(boxes, data):
    given_keys = np.array(data.draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes))))
    keys = keyframes(boxes, given_keys)
    assert keys[given_keys].all() and keys[0] and keys[-1]
    at = np.flatnonzero(keys)
    line = np.stack([np.interp(np.arange(len(boxes)), at, boxes[at, c]) for c in range(4)], -1)
    assert np.abs(line - boxes).max() <= TOLERANCE + 1e-6


def test_a_record_filled_for_one_tube_fills_the_others_linearly(info):
    record = answers.answered(info, [(0, info.duration)], fill="flow")
    other = record.tubes[0].model_copy(update={"id": "cat"})
    record.tubes = [*record.tubes, other]
    dog, cat = frame_boxes(record, info)
    assert (dog.fill, cat.fill) == ("flow", "linear")
    np.testing.assert_allclose(cat.boxes, record.tube(1).boxes_at(np.round(info.times, 3)))
    assert not np.allclose(dog.boxes, cat.boxes)
