"""Files that peers' codes wrote: known by their content, read without loss, written back as they were."""

import csv
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.item import Item
from whenwhere.evaluate.formats import FORMATS, read_predictions, sniff, write_predictions

sys.path.insert(0, str(Path(__file__).parent))
import stvg_style


def test_qvhighlights_submissions_come_back_number_for_number(real_data: Path, tmp_path: Path) -> None:
    items = BENCHMARKS["qvhighlights"].read(real_data / "annotations/qvhighlights/highlight_val_release.jsonl")
    for name in ("moment_detr/sample_val_preds.jsonl", "CGDETR/best_hl_val_preds.jsonl"):
        path = real_data / "predictions/qvhighlights" / name
        found = read_predictions(path, items)
        assert found.format == "qvhighlights" and len(found.by_id) == len(items) == 1550
        assert {f.kind for f in found.faults} <= {"reversed", "out of range"}
        again = write_predictions(tmp_path / "again.jsonl", found, items, "qvhighlights")
        keys = ("qid", "vid", "pred_relevant_windows", "pred_saliency_scores")
        rows = [[{k: json.loads(line)[k] for k in keys} for line in p.read_text().splitlines()] for p in (path, again)]
        assert sorted(rows[0], key=lambda r: r["qid"]) == sorted(rows[1], key=lambda r: r["qid"])


def test_detections_come_back_segment_for_segment(real_data: Path, tmp_path: Path) -> None:
    items = BENCHMARKS["activitynet"].read(real_data / "annotations/activitynet13/activitynet13_val_gt.json")
    path = real_data / "reference-scores/tal/activitynet13_val_jitter_seed7.json"
    found = read_predictions(path, items)
    assert found.format == "activitynet"
    written = json.loads(path.read_text())["results"]
    again = write_predictions(tmp_path / "again.json", found, items, "activitynet")
    assert json.loads(again.read_text())["results"] == {v: s for v, s in written.items() if s}
    unknown = {f.where.rpartition("results.")[2] for f in found.faults if f.kind == "unknown id"}
    assert unknown == written.keys() - {i.video for i in items}


def test_vidis_tables_hold_every_query_and_the_seconds_it_has(real_data: Path, tmp_path: Path) -> None:
    items = BENCHMARKS["vue-stg"].read(real_data / "annotations/vue_stg")
    for model, answered in (("vidi2", 1598), ("gpt-5", 1381)):
        path = real_data / f"predictions/vue_stg/{model}.tubes.csv"
        with open(path, newline="") as f:
            rows = list(csv.DictReader(f))
        found = read_predictions(path, items)
        assert found.format == "vidi" and len(found.by_id) == answered == len({r["query_id"] for r in rows})
        seconds = {(r["query_id"], (2 * int(r["time_ms"]) + 1000) // 2000) for r in rows}
        assert seconds == {(id, round(t)) for id, p in found.by_id.items() for t in p.boxes[0].times}
        assert sum(p.span_set.duration for p in found.by_id.values()) == len(seconds)
        again = read_predictions(write_predictions(tmp_path / "x.csv", found, items, "vidi"), items)
        for id, p in found.by_id.items():
            np.testing.assert_array_equal(p.boxes[0].boxes, again.by_id[id].boxes[0].boxes)
            np.testing.assert_array_equal(p.spans, again.by_id[id].spans)


def test_didemo_rankings_come_back(real_data: Path, tmp_path: Path) -> None:
    items = BENCHMARKS["didemo"].read(real_data / "annotations/didemo/val_data.json")
    path = real_data / "reference-scores/didemo/val_seeded_rankings.json"
    found = read_predictions(path, items)
    assert found.format == "didemo" and not found.faults and len(found.by_id) == 4180
    again = write_predictions(tmp_path / "again.json", found, items, "didemo")
    assert json.loads(again.read_text()) == json.loads(path.read_text())


@pytest.mark.parametrize("style", ["hcstvg", "vidstg"])
def test_tubes_are_the_same_in_every_code_that_dumps_them(real_data: Path, tmp_path: Path, style: str) -> None:
    items = BENCHMARKS["vidstg" if style == "vidstg" else "hcstvg-v1"].read(stvg_style.annotations(real_data, style))
    files = {"stcat": stvg_style.write_stcat(real_data, style, tmp_path / "stcat.json")}
    if style == "hcstvg":
        files["hcstvg"] = stvg_style.write_hcstvg(real_data, tmp_path / "hcstvg.json")
    else:
        files["tubedetr"] = stvg_style.write_tubedetr(real_data, style, tmp_path / "tubedetr.json")
    read = {form: read_predictions(path, items) for form, path in files.items()}
    assert {form: p.format for form, p in read.items()} == {form: form for form in files}
    one, other = read.values()
    for item in items:
        a, b = one.by_id[item.id], other.by_id[item.id]
        np.testing.assert_array_equal(a.spans, b.spans)
        np.testing.assert_array_equal(a.boxes[0].times, b.boxes[0].times)
        np.testing.assert_array_equal(a.boxes[0].boxes, b.boxes[0].boxes)


def test_every_file_of_the_field_is_known_by_its_content(real_data: Path, tmp_path: Path) -> None:
    known = {
        "predictions/qvhighlights/CGDETR/best_hl_val_preds.jsonl": "qvhighlights",
        "predictions/activitynet_detection/sample_detection_prediction.json": "activitynet",
        "predictions/vue_stg/gpt-5.tubes.csv": "vidi",
        "reference-scores/didemo/val_seeded_rankings.json": "didemo",
    }
    assert {path: sniff(real_data / path).name for path in known} == known


LINES = {
    "whenwhere": '{"version": 1, "id": "a", "query": "x", "status": "absent"}',
    "spans": '{"id": "a", "spans": [], "answer": "B"}',
    "timelens": '{"v>>>x>>>[0, 1]": {"timestamps": [[0, 1]]}}',
    "text": '{"video": "v", "query": "x", "answer": "from 1 to 2"}',
    "qvhighlights": '{"qid": 1, "pred_saliency_scores": [1.0]}',
    "activitynet": '{"version": "VERSION 1.3", "results": {}}',
    "tubedetr": '{"test_hcstvg_predictions": {"0_1": {"boxes": [[0, 0, 1, 1]]}}, "test_hcstvg_video_predictions": {}}',
    "stcat": '{"predictions": {"0": {"1": [[0, 0, 1, 1]]}}, "video_predictions": {}}',
    "hcstvg": '{"a.mp4": {"st_frame": 1, "ed_frame": 2, "bbox": {}}}',
    "didemo": "[[], [[0, 1]]]",
    "vidi": '"query_id","time_ms","x0","y0","x1","y1"',
    "answers": '{"id": "a", "answer": "red"}',
}


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].layout != "arrays"])
def test_a_format_is_known_in_one_line_indented_and_after_a_torn_line(tmp_path: Path, name: str) -> None:
    texts = [LINES[name], "\ufeff" + LINES[name], "\n" * 50 + LINES[name]]
    if FORMATS[name].layout == "json":
        texts.append(json.dumps(json.loads(LINES[name]), indent=1))
    if FORMATS[name].layout == "lines":
        texts += [f'{{"id": "to\n{LINES[name]}\n', f"[\n{LINES[name]}\n]"]
    for text in texts:
        (tmp_path / "file").write_text(text, encoding="utf-8")
        assert sniff(tmp_path / "file", next(iter(FORMATS[name].tasks), None)).name == name


def test_many_lines_are_read_in_linear_time(tmp_path: Path) -> None:
    items = [Item(str(i), "v", "q", duration=60.0) for i in range(40_000)]
    path = tmp_path / "many.jsonl"
    lines = [f'{{"id": "{i}", "spans": [[{i % 50}.5, {i % 50 + 3}.25]]}}\n' for i in range(len(items))]
    took = []
    for n in (4_000, 40_000):
        path.write_text("".join(lines[:n]))
        best = float("inf")
        for _ in range(2):
            start = time.process_time()
            found = read_predictions(path, items[:n])
            best = min(best, time.process_time() - start)
        took.append(best)
        assert len(found.by_id) == n and not found.faults
    assert took[1] < 30 * took[0] and took[1] < 4, took


def test_the_document_has_an_id_and_an_example_for_everything(tmp_path: Path) -> None:
    """docs/own-benchmark.md names every benchmark, every format and every key, and its examples are read as it says."""
    from whenwhere.datasets import BENCHMARKS
    from whenwhere.datasets.schema import KEYS

    text = (Path(__file__).parent.parent / "docs" / "own-benchmark.md").read_text(encoding="utf-8")
    manifest, ids, examples = re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]

    def named(part: str) -> set[str]:
        rows = [line for line in part.splitlines() if line.startswith("| `")]
        return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}

    assert named(manifest) == set(KEYS) and named(ids) == set(BENCHMARKS) and named(examples) == set(FORMATS)
    for name, example in re.findall(r"^\| `([\w-]+)`[^|]*\| `([^`]+)`", examples, re.MULTILINE):
        (tmp_path / "file").write_text(f"{example}\n", encoding="utf-8")
        assert sniff(tmp_path / "file", next(iter(FORMATS[name].tasks), None)).name == name
