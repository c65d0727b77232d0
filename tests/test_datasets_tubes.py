"""The traps of the tube, tracking and detection sets: each is read once, rightly, and bad files are refused."""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.spans import Span
from whenwhere.tubes import Tube


def frames(item: Item, tube: Tube | None = None) -> list[int]:
    """Native frames of the boxes."""
    assert item.fps is not None
    return np.rint((tube or item.tubes[0]).times * item.fps).astype(int).tolist()


def native(item: Item) -> tuple[int, int]:
    """The span in native frames."""
    assert item.fps is not None
    start, end = np.rint(item.spans[0] * item.fps).astype(int).tolist()
    return start, end


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


# -- VidSTG and VidOR ------------------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "vid": "11", "fps": 25.0, "frame_count": 12, "width": 64, "height": 48,
    "used_segment": {"begin_fid": 2, "end_fid": 11}, "temporal_gt": {"begin_fid": 4, "end_fid": 9},
    "subject/objects": [{"tid": 0, "category": "dog"}, {"tid": 3, "category": "child"}],
    "captions": [{"description": "a dog runs", "type": "object", "target_id": 0}],
    "questions": [{"description": "what runs?", "type": "object", "target_id": 0},
                  {"description": "who is behind the dog?", "type": "person", "target_id": 3}],
}  # fmt: skip


def box(tid: int, x: int, width: int = 10) -> dict[str, Any]:
    return {"tid": tid, "bbox": {"xmin": x, "ymin": 1, "xmax": x + width, "ymax": 9}, "generated": 0, "tracker": "none"}


VIDOR: dict[str, Any] = {
    "version": "v", "video_id": "11", "video_path": "0/11.mp4", "frame_count": 12, "fps": 25.0, "width": 64,
    "height": 48, "subject/objects": ENTRY["subject/objects"], "relation_instances": [],
    # The dog is always there, without area in frame 5; the child from frame 6 on.
    "trajectories": [[box(0, n, 0 if n == 5 else 10), *([box(3, 50)] if n >= 6 else [])] for n in range(12)],
}  # fmt: skip


def test_vidstg_counts_its_two_ends_differently(tmp_path: Path) -> None:
    items = BENCHMARKS["vidstg"].read(write(tmp_path / "test_annotations.json", [ENTRY, ENTRY | {"vid": "12"}]))
    assert [i.type for i in items[:3]] == ["interrogative", "interrogative", "declarative"]
    first = items[0]
    assert native(first) == (4, 9) and first.spans.tolist() == [[4 / 25, 9 / 25]], "end_fid is the frame after"
    assert first.extra["segment"] == [2, 11] and first.duration == 12 / 25 and first.split == "test"
    assert (first.window, first.offset) == (Span(2 / 25, 12 / 25), 0.0)
    assert [(i.id, i.extra["tubedetr"], i.extra["stcat"]) for i in items] == [
        ("0", 0, 1), ("1", 1, 2), ("2", 2, 0), ("3", 3, 4), ("4", 4, 5), ("5", 5, 3),
    ]  # fmt: skip


def test_vidstg_takes_its_boxes_from_vidor_by_video_and_target(tmp_path: Path) -> None:
    path = write(tmp_path / "val_annotations.json", [ENTRY])
    write(tmp_path / "vidor" / "validation" / "0001" / "11.json", VIDOR)
    dog, child, _ = BENCHMARKS["vidstg"].read(path)
    assert frames(dog) == [4, 6, 7, 8], "the frame without area has no box"
    assert dog.tubes[0].boxes[0].tolist() == [4, 1, 14, 9] and dog.tubes[0].label == "dog"
    assert dog.provenance["dropped_boxes"] == 1 and "frames_without_box" not in dog.provenance
    assert dog.extra["box_after"] == [9, 1, 19, 9]
    assert frames(child) == [6, 7, 8] and child.provenance["frames_without_box"] == 2
    assert BENCHMARKS["vidstg"].read(tmp_path)[0].id == dog.id, "the folder with one annotation file will do"


def test_a_vidor_folder_that_lacks_a_video_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "val_annotations.json", [ENTRY])
    write(tmp_path / "vidor" / "99.json", VIDOR)
    with pytest.raises(RecordError, match=r"has no 11\.json"):
        BENCHMARKS["vidstg"].read(path)


def test_vidstg_keeps_items_whose_event_ends_before_it_starts(tmp_path: Path) -> None:
    bad = ENTRY | {"temporal_gt": {"begin_fid": 9, "end_fid": 9}}
    items = BENCHMARKS["vidstg"].read(write(tmp_path / "val_annotations.json", [bad]))
    assert {i.status for i in items} == {"invalid"} and items[0].fault and not items[0].span_set


def test_vidor_gives_one_item_per_object(tmp_path: Path) -> None:
    dog, child = BENCHMARKS["vidor"].read(write(tmp_path / "0" / "11.json", VIDOR).parent)
    assert (dog.id, dog.query, child.id) == ("11#0", "dog", "11#3")
    assert frames(child) == [6, 7, 8, 9, 10, 11] and native(child) == (6, 12)


def test_the_ends_of_the_released_vidstg(real_data: Path) -> None:
    """research: 768 of 4610 events end with the video, which only an exclusive end can; segments never do."""
    items = BENCHMARKS["vidstg"].read(real_data / "annotations/vidstg/test_annotations.json")
    assert Counter(i.type for i in items) == {"declarative": 4610, "interrogative": 5693} and len(items) == 10_303
    entries = {i.provenance["index"]: i for i in items}.values()
    assert len(entries) == 4610 and len({i.video for i in items}) == 732
    assert sum(i.extra["end_fid"] == i.frames for i in entries) == 768
    assert sum(i.extra["segment"][1] == i.frames for i in entries) == 0
    assert sum(i.extra["segment"][1] == (i.frames or 0) - 1 for i in entries) == 3543
    assert all(i.status == "valid" and i.spans[0, 1] <= (i.duration or 0) + 1e-9 for i in items)
    lengths = np.array([i.spans[0, 1] - i.spans[0, 0] for i in items])
    assert lengths.mean().round(1) == 9.4 and np.median(lengths).round(1) == 3.7
    val = BENCHMARKS["vidstg"].read(real_data / "annotations/vidstg/val_annotations.json")
    assert sum(i.extra["end_fid"] == i.frames for i in {i.provenance["index"]: i for i in val}.values()) == 744


def test_tubedetrs_form_of_vidstg_has_a_box_in_every_frame(real_data: Path) -> None:
    path = real_data / "reference-scores/stvg/vidstg_style_test.json"
    items = BENCHMARKS["vidstg"].read(path)
    raw = {v["video_id"]: v for v in json.loads(path.read_text())["videos"]}
    for item in items:
        entry = raw[item.extra["tubedetr"]]
        begin, end = entry["tube_start_frame"], entry["tube_end_frame"]
        assert native(item) == (begin, end) and frames(item) == list(range(begin, end))


# -- HC-STVG ---------------------------------------------------------------------------------------------------------

V1: dict[str, Any] = {"55_v.mp4": {
    "bbox": [[10, 20, 30, 40]] * 3, "st_time": 0.1, "ed_time": 0.2, "img_num": 600, "caption": "She sits.",
    "width": 640, "height": 360, "st_frame": 268}}  # fmt: skip
V2: dict[str, Any] = {"7_w.mkv": {
    "bbox": [[1, 2, 0, 4], [1, 2, 3, 4]], "st_time": 0, "ed_time": 1, "img_num": 500, "English": "He runs",
    "img_size": [720, 1280, 3], "st_frame": 1}}  # fmt: skip


def test_hcstvg_counts_its_frames_from_one(tmp_path: Path) -> None:
    (item,) = BENCHMARKS["hcstvg-v1"].read(write(tmp_path / "test.json", V1))
    assert native(item) == (267, 270) and frames(item) == [267, 268, 269] and item.extra["st_frame"] == 268
    assert item.tubes[0].boxes[0].tolist() == [10, 20, 40, 60] and item.fps == 30 and item.id == "55_v.mp4"
    assert (item.width, item.height, item.duration, item.split) == (640, 360, 20.0, "test")


def test_hcstvg_version_2_has_other_keys_and_empty_boxes_are_dropped_and_counted(tmp_path: Path) -> None:
    (item,) = BENCHMARKS["hcstvg-v2"].read(write(tmp_path / "valv2.json", V2))
    assert (item.width, item.height, item.fps, item.split, item.query) == (1280, 720, 25.0, "val", "He runs")
    assert native(item) == (0, 2) and frames(item) == [1] and item.provenance["dropped_boxes"] == 1


def test_tubedetrs_form_of_hcstvg_is_the_same_item(tmp_path: Path, real_data: Path) -> None:
    path = real_data / "reference-scores/stvg/hcstvg_style_test_proc.json"
    items = BENCHMARKS["hcstvg-v1"].read(path)
    raw = json.loads(path.read_text())
    for item, entry in zip(items, raw, strict=True):
        assert native(item) == (entry["tube_start_frame"] - 1, entry["tube_end_frame"] - 1)
        assert len(item.tubes[0]) == len(entry["trajectory"])
    released = {
        v["original_video_id"]: {
            "bbox": v["trajectory"],
            "img_num": v["frame_count"],
            "st_frame": v["tube_start_frame"],
            "caption": v["caption"],
            "width": v["width"],
            "height": v["height"],
        }
        for v in raw
    }
    for a, b in zip(BENCHMARKS["hcstvg-v1"].read(write(tmp_path / "test.json", released)), items, strict=True):
        assert a.id == b.id and a.extra == b.extra
        np.testing.assert_array_equal(a.tubes[0].boxes, b.tubes[0].boxes)
        np.testing.assert_array_equal(a.tubes[0].times, b.tubes[0].times)


# -- VUE-STG, V-STaR, ST-Align ---------------------------------------------------------------------------------------


def test_vue_stg_is_a_set_of_seconds(tmp_path: Path) -> None:
    write(tmp_path / "video.csv", "video_id,video_duration\nv,100.5\n")
    write(tmp_path / "query.csv", 'query_id,query_text,video_id\na,"a man, left",v\nb,nobody,v\n')
    rows = ["a,7000,0.07,0.1,0.2,0.5,0.6", "a,3000,0.03,0,0,0.5,1", "a,4000,0.04,0.5,0,0.5,1", "a,4400,0.04,0,0,1,1"]
    write(tmp_path / "tubes.csv", "query_id,time_ms,time_normalized,x0,y0,x1,y1\n" + "\n".join(rows) + "\n")
    a, b = BENCHMARKS["vue-stg"].read(tmp_path)
    assert a.spans.tolist() == [[3, 5], [7, 8]] and a.query == "a man, left" and a.duration == 100.5
    assert a.tubes[0].times.tolist() == [3, 7] and a.provenance["dropped_boxes"] == 1, (
        "the first box of a second counts"
    )
    assert (a.width, a.height) == (1, 1) and not len(b.spans) and not b.tubes


def test_the_released_vue_stg(real_data: Path) -> None:
    items = BENCHMARKS["vue-stg"].read(real_data / "annotations/vue_stg")
    assert len(items) == 1600 and sum(len(i.spans) > 1 for i in items) == 342
    assert len({i.video for i in items}) == 982
    rows = (real_data / "annotations/vue_stg/tubes.csv").read_text().count("\n") - 1
    assert sum(len(i.tubes[0]) for i in items) == rows == sum(i.span_set.duration for i in items)
    assert sum(len(i.tubes[0]) <= 3 for i in items) == 407


STAR: dict[str, Any] = {
    "vid": "v", "domain": "d", "fps": 25, "width": 9, "height": 9, "frame_count": 250, "question": "who?",
    "answer": "he", "temporal_question": "when?", "timestamps": [1.5, 4.2],
    "bboxes": [{"timestamp": t, "frame_index": t * 25, "xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4} for t in (2, 3, 9)],
}  # fmt: skip


def test_v_star_keeps_boxes_outside_its_time_for_its_own_score(tmp_path: Path) -> None:
    (item,) = BENCHMARKS["v-star"].read(write(tmp_path / "V_STaR_test.json", [STAR]))
    assert item.tubes[0].times.tolist() == [2, 3] and item.provenance["boxes_outside"] == 1
    assert [row[0] for row in item.extra["boxes_at_seconds"]] == [2, 3, 9] and item.duration == 10
    assert (item.query, item.answer, item.type) == ("when?", "he", "d")


ALIGN: dict[str, Any] = {
    "video_path": "a.mp4", "conversations": [{"value": "<image>\nWhen is  he?"}, {"value": ""}],
    "meta": {"split": [10, 59], "width": 64, "height": 48, "time_token": {"<s>": 20, "<e>": 22},
             "spatial_token": {"<bboxes>": {"20": [1, 2, 3, 4], "21": [1, 2, 3, 4], "22": [1, 2, 3, 4]}}},
}  # fmt: skip


def test_st_align_counts_in_frames_with_both_ends_inside(tmp_path: Path) -> None:
    (item,) = BENCHMARKS["st-align"].read(write(tmp_path / "stvg.json", [ALIGN]))
    assert native(item) == (20, 23) and frames(item) == [20, 21, 22] and item.query == "When is he?"
    assert item.tubes[0].boxes[0].tolist() == [1, 2, 4, 6] and item.extra["segment"] == [10, 59]


# -- tracking --------------------------------------------------------------------------------------------------------


def test_lasot_starts_at_pixel_one_and_has_no_box_where_the_target_is_absent(tmp_path: Path) -> None:
    boxes, absent = "1,1,10,20\n5,6,10,20\n0,0,0,0\n", "0\n1\n0\n"
    write(tmp_path / "a" / "dog-1.txt", boxes)
    write(tmp_path / "a" / "absent" / "dog-1.txt", absent)
    write(tmp_path / "b" / "dog" / "dog-1" / "groundtruth.txt", boxes.replace(",", "\t"))
    write(tmp_path / "b" / "dog" / "dog-1" / "full_occlusion.txt", "0,1,0")
    write(tmp_path / "b" / "dog" / "dog-1" / "nlp.txt", "a dog\n")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as z:
        z.writestr("dog-1.txt", boxes)
        z.writestr("absent/dog-1.txt", absent)
    for path in (tmp_path / "a", tmp_path / "b", tmp_path / "c.zip"):
        (item,) = BENCHMARKS["lasot"].read(path)
        assert item.id == "dog-1" and frames(item) == [0] and native(item) == (0, 3) and item.frames == 3
        assert item.tubes[0].boxes.tolist() == [[0, 0, 10, 20]] and item.extra["absent"] == [1]
        assert item.provenance["dropped_boxes"] == 1 and item.query == ("a dog" if path.name == "b" else "")


def test_the_released_lasot_boxes_are_all_there(real_data: Path) -> None:
    items = BENCHMARKS["lasot"].read(real_data / "annotations/lasot/boxes.zip")
    assert len(items) == 280
    with zipfile.ZipFile(real_data / "annotations/lasot/boxes.zip") as z:
        lines = sum(z.read(n).count(b"\n") for n in z.namelist() if not n.startswith("absent"))
    boxes = sum(len(i.tubes[0]) for i in items)
    absent = sum(len(i.extra["absent"]) for i in items)
    dropped = sum(i.provenance.get("dropped_boxes", 0) for i in items)
    assert sum(i.frames or 0 for i in items) == lines == boxes + absent + dropped and dropped == 2


def test_got10k_reads_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "val"
    write(folder / "list.txt", "GOT-10k_Val_000002\nGOT-10k_Val_000001\n")
    for n in (1, 2):
        sequence = folder / f"GOT-10k_Val_00000{n}"
        write(sequence / "groundtruth.txt", "1.0,2.0,3.0,4.0\n1,2,3,4\n")
        info = "[METAINFO]\nobject_class: JetLev\nmotion_class: gliding\nanno_fps: 10Hz\nresolution: (1920, 1080)\n"
        write(sequence / "meta_info.ini", info)
        write(sequence / "absence.label", "0\n1\n")
        write(sequence / "cover.label", "8\n0\n")
    items = BENCHMARKS["got10k"].read(folder)
    assert [i.id[-1] for i in items] == ["2", "1"] and frames(items[0]) == [0]
    assert items[0].tubes[0].boxes.tolist() == [[1, 2, 4, 6]] and items[0].query == "JetLev gliding"
    assert items[0].extra == {"bound": [1920, 1080], "cover": [8, 0]} and items[0].fps == 10


def test_mot_counts_frames_and_pixels_from_one_and_leaves_out_what_is_not_scored(tmp_path: Path) -> None:
    rows = [
        "1,1,1,1,10,20,1,1,1",
        "2,1,3,1,10,20,1,1,1",
        "4,1,5,1,10,20,1,1,1",
        "1,2,1,1,9,9,0,1,1",
        "3,3,1,1,9,9,1,7,1",
    ]
    write(tmp_path / "MOT16-02" / "gt" / "gt.txt", "\n".join(rows) + "\n")
    info = "[Sequence]\nname=MOT16-02\nframeRate=20\nseqLength=8\nimWidth=640\nimHeight=480\n"
    write(tmp_path / "MOT16-02" / "seqinfo.ini", info)
    (item,) = BENCHMARKS["mot"].read(tmp_path)
    assert item.id == "MOT16-02" and item.fps == 20 and item.frames == 8 and (item.width, item.height) == (640, 480)
    (tube,) = item.tubes
    assert frames(item) == [0, 1, 3] and tube.boxes[0].tolist() == [0, 0, 10, 20]
    assert tube.at(2 / 20) is None, "a frame without a row is an absence"
    assert item.provenance["rows_left_out"] == 2


def test_the_released_mot15(real_data: Path) -> None:
    items = {i.id: i for i in BENCHMARKS["mot"].read(real_data / "annotations/mot15")}
    assert items.keys() == {"TUD-Campus", "TUD-Stadtmitte"}
    for name, item in items.items():
        rows = (real_data / f"annotations/mot15/{name}.gt.txt").read_text().split()
        assert sum(map(len, item.tubes)) == len(rows) and len(item.tubes) == len({r.split(",")[1] for r in rows})
        assert "assumed" in item.provenance["fps"]


# -- detection -------------------------------------------------------------------------------------------------------


def database(**subsets: str) -> dict[str, Any]:
    return {
        "database": {
            v: {"subset": s, "duration": 9.5, "annotations": [{"label": "Diving", "segment": ["1.5", "2.5"]}] * 2}
            for v, s in subsets.items()
        }
    }


def test_a_detection_set_gives_the_subset_that_is_scored(tmp_path: Path) -> None:
    items = BENCHMARKS["activitynet"].read(write(tmp_path / "a.json", database(a="training", b="validation")))
    assert [(i.id, i.query, i.split, i.spans.tolist()) for i in items] == [
        ("b#0", "Diving", "validation", [[1.5, 2.5]]),
        ("b#1", "Diving", "validation", [[1.5, 2.5]]),
    ]
    assert len(BENCHMARKS["activitynet"].read(write(tmp_path / "b.json", database(a="training")))) == 2
    assert {
        i.video for i in BENCHMARKS["thumos14"].read(write(tmp_path / "c.json", database(a="train", b="test")))
    } == {"b"}


def test_the_released_detection_sets(real_data: Path) -> None:
    items = BENCHMARKS["activitynet"].read(real_data / "annotations/activitynet13/activitynet13_val_gt.json")
    assert len(items) == 7293 and Counter(i.status for i in items)["invalid"] == 3
    thumos = BENCHMARKS["thumos14"].read(real_data / "annotations/thumos14/thumos_gt.json")
    assert {i.split for i in thumos} == {"test"} and len({i.query for i in thumos}) == 20


# -- files that are none ---------------------------------------------------------------------------------------------

TUBE_SETS = ("vidstg", "hcstvg-v1", "hcstvg-v2", "vue-stg", "v-star", "st-align", "vidor", "lasot", "got10k", "mot",
             "activitynet", "thumos14")  # fmt: skip


@pytest.mark.parametrize("name", TUBE_SETS)
@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"a": {"b": 1}}', "a,b\n1,2\n", '[{"vid": "x"}]'])
def test_what_is_no_such_file_is_refused_in_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / "file.json", text)
    with pytest.raises(RecordError) as e:
        BENCHMARKS[name].read(path)
    assert str(tmp_path) in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("name", TUBE_SETS)
def test_what_is_not_there_and_an_empty_folder_are_refused(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(RecordError) as e:
            BENCHMARKS[name].read(path)
        assert str(tmp_path) in str(e.value)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    write(tmp_path / "dog-1.txt", "1,2,3,4\n1,2,x,4\n")
    with pytest.raises(RecordError, match="line 2"):
        BENCHMARKS["lasot"].read(tmp_path)


def test_a_zip_that_broke_off_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as z:
        z.writestr("dog-1.txt", "1,2,3,4\n")
    (tmp_path / "boxes.zip").write_bytes(whole.getvalue()[:40])
    with pytest.raises(RecordError, match=r"whole \.zip"):
        BENCHMARKS["lasot"].read(tmp_path / "boxes.zip")


def spoiled(value: Any) -> Iterator[Any]:
    """The value with one part taken out or replaced by something else, for every part of it."""
    yield from (None, "x", -3, [], {}, 10**400, float("nan"))
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield from (value | {key: v} for v in spoiled(value[key]))
    elif isinstance(value, list):
        for i in range(min(len(value), 1)):
            yield from ([*value[:i], v, *value[i + 1 :]] for v in spoiled(value[i]))


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("vidstg", [ENTRY]),
        ("vidor", VIDOR),
        ("hcstvg-v1", V1),
        ("hcstvg-v2", V2),
        ("v-star", [STAR]),
        ("st-align", [ALIGN]),
        ("activitynet", database(a="validation")),
    ],
)
def test_a_file_with_anything_wrong_in_it_gives_items_or_one_sentence(tmp_path: Path, name: str, whole: Any) -> None:
    path = tmp_path / "stvg.json"
    read = refused = 0
    for value in spoiled(whole):
        path.write_text(json.dumps(value))
        try:
            items = BENCHMARKS[name].read(path)
        except RecordError as e:
            assert str(path) in str(e), e
            refused += 1
            continue
        read += 1
        for item in items:
            assert np.isfinite(item.spans).all() and isinstance(item.query, str)
    assert refused > 20, (read, refused)
