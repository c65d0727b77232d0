"""What files from the field hold: windows without scores, strange ids, videos without a length, odd rows of truth."""

import json
from pathlib import Path

import numpy as np
import pytest

import whenwhere
from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats import read_predictions, write_predictions
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.validate import validate_gold

#: Two windows of truth each, on videos of 150 s.
QUERIES = [
    Item(str(n), f"v{n}", "a sentence", span_array([(10 * n, 10 * n + 20), (100, 120)]), duration=150.0)
    for n in range(4)
]
#: The first of two windows is right for two of four queries.
WINDOWS = {str(n): [[10.0 * n + 2 * (n > 1) * 20, 10.0 * n + 20 + 2 * (n > 1) * 20], [0.0, 5.0]] for n in range(4)}


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def submission(path: Path, *scores: float) -> Path:
    rows = [[[*w, *scores] for w in windows] for windows in WINDOWS.values()]
    return lines(path, [{"qid": int(k), "pred_relevant_windows": r} for k, r in zip(WINDOWS, rows, strict=True)])


# -- windows without a score -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", ["qvhighlights", "qv-m2"])
def test_windows_without_a_score_have_recall_and_no_precision(tmp_path, benchmark):
    scored = whenwhere.evaluate(benchmark, QUERIES, submission(tmp_path / "a.jsonl", 0.5), resamples=50)
    bare = whenwhere.evaluate(benchmark, QUERIES, submission(tmp_path / "b.jsonl"), resamples=50)
    spans = lines(tmp_path / "c.jsonl", [{"id": k, "spans": w} for k, w in WINDOWS.items()])
    same = whenwhere.evaluate(benchmark, QUERIES, spans, resamples=50)
    assert any("mAP" in name for name in scored.metrics)
    for found in (bare, same):
        # what does not need scores is counted as for the same windows with scores
        left = {name: v for name, v in scored.metrics.items() if "mAP" not in name}
        assert found.metrics == pytest.approx(left, nan_ok=True)
        assert not any("mAP" in name for name in found.report.headline)
        assert any("4 answers have windows without a score" in note for note in found.report.notes)
        assert not [f for f in found.report.faults if f.kind != "missing"]


def test_recall_of_windows_without_a_score_is_that_of_the_first(tmp_path):
    found = whenwhere.evaluate("qvhighlights", QUERIES, submission(tmp_path / "a.jsonl"), resamples=50).metrics
    assert found["MR-full-R1@0.7"] == 0.5 and found["MR-full-mIoU"] == 0.5
    assert found["MR-full-R1@0.3"] == 0.5


def test_one_window_without_a_score_is_enough_for_no_precision():
    half = {
        k: Prediction(k, spans=np.array(w[:1]), ranked=np.array([[*w[0], 1.0]])) for k, w in WINDOWS.items() if k != "3"
    }
    half["3"] = Prediction("3", spans=np.array(WINDOWS["3"]))
    assert "MR-full-mAP" not in PROTOCOLS["qvhighlights"].score(QUERIES, half).summary
    half["3"] = Prediction("3", "absent")
    assert "MR-full-mAP" in PROTOCOLS["qvhighlights"].score(QUERIES, half).summary


@pytest.mark.parametrize("form", ["qvhighlights", "spans", "whenwhere"])
def test_windows_without_a_score_stay_without_when_written(tmp_path, form):
    items = [Item(i.id, i.video, i.query, i.spans, duration=150.0) for i in QUERIES]
    given = read_predictions(submission(tmp_path / "a.jsonl"), items, BENCHMARKS["qvhighlights"])
    path = write_predictions(tmp_path / f"{form}.jsonl", given, items, form)
    back = read_predictions(path, items, BENCHMARKS["qvhighlights"])
    assert not back.faults and "NaN" not in path.read_text()
    for id, answer in given.by_id.items():
        np.testing.assert_array_equal(back.by_id[id].ranked, answer.ranked)


# -- ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("benchmark", "rows"),
    [
        ("qvhighlights", [{"qid": 99, "pred_relevant_windows": [[0, 5, 1]]}, {"qid": 98, "pred_relevant_windows": []}]),
        ("manifest", [{"id": "x", "spans": [[0, 5]]}]),
        ("manifest", [{"id": "x", "text": "From 0 to 5 seconds."}]),
        ("manifest", [{"video": "other.mp4", "query": "another", "spans": [[0, 5]]}]),
    ],
)
def test_a_file_that_answers_other_items_is_refused(tmp_path, benchmark, rows):
    path = lines(tmp_path / "answers.jsonl", rows)
    with pytest.raises(RecordError, match=r"answers none of the 4 items \('0', '1', '2', \.\.\.\).*answers\.jsonl:1"):
        whenwhere.evaluate(benchmark, QUERIES, path)


def test_detections_in_other_videos_are_refused(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": {"zz": [{"label": "a", "segment": [0, 1], "score": 1}]}}))
    with pytest.raises(RecordError, match="answers none of the 4 items"):
        whenwhere.evaluate("activitynet", QUERIES, path)


def test_answers_in_memory_to_other_items_are_refused():
    with pytest.raises(RecordError, match="answers none"):
        whenwhere.evaluate("manifest", QUERIES, {"x": "0 to 5 seconds"})


def test_the_share_of_strangers_is_said(tmp_path):
    rows = [{"id": k, "spans": w} for k, w in WINDOWS.items()] + [{"id": "x", "spans": [[0, 1]]}]
    found = whenwhere.evaluate("manifest", QUERIES, lines(tmp_path / "a.jsonl", rows), resamples=50)
    assert "1 of the 5 answers" in found.report.notes[0] and "(20.0%)" in found.report.notes[0]
    clean = whenwhere.evaluate("manifest", QUERIES, lines(tmp_path / "b.jsonl", rows[:4]), resamples=50)
    assert not any("belong to no item" in note for note in clean.report.notes)


# -- lengths that are not known ----------------------------------------------------------------------------------------


def test_a_baseline_that_needs_a_length_has_a_dash_where_none_is_known():
    items = [Item(i.id, i.video, i.query, i.spans[:1]) for i in QUERIES]
    found = whenwhere.evaluate("manifest", items, {"0": "0 to 20 seconds"}, resamples=50)
    whole = next(row for row in found.report.rows if row.name == "whole video")
    assert whole.items == 0 and all(np.isnan(value) for value in whole.summary.values())
    assert "0 of 4 items" in whole.how
    assert found.data()[0]["rows"][1]["summary"]["mIoU"] is None
    # where some are known, the constant is scored on those
    items[0].duration = 20.0
    found = whenwhere.evaluate("manifest", items, {"0": "0 to 20 seconds"}, resamples=50)
    whole = next(row for row in found.report.rows if row.name == "whole video")
    assert whole.items == 1 and whole.summary["mIoU"] == 1.0


# -- truth -------------------------------------------------------------------------------------------------------------

MOT = [[1, 1, 10, 10, 5, 5, 1, -1, -1, -1], [1, 2, 30, 10, 5, 5, 1, -1, -1, -1], [2, 1, 11, 10, 5, 5, 1, -1, -1, -1]]


def mot(path: Path, rows: list[list[float]]) -> Path:
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([2, 1, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has a second box of id 1 in frame 2 (the first is in line 3)"),
        ([3, -1, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has id -1"),
        ([0, 3, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has frame 0: MOT counts frames from 1"),
        ([2.5, 3, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has frame 2.5"),
        (["inf", 3, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has frame inf"),
        ([1e15, 3, 12, 10, 5, 5, 1, -1, -1, -1], "line 4 has frame 1e+15"),
        ([3, "x", 12, 10, 5, 5, 1, -1, -1, -1], "line 4 is no row"),
        ([3, 3, 12], "line 4 is no row"),
    ],
)
def test_a_row_that_cannot_be_ground_truth_is_refused_with_its_line(tmp_path, row, said):
    path = mot(tmp_path / "gt.txt", [*MOT, row])
    with pytest.raises(RecordError) as error:
        read_items(BENCHMARKS["mot"], path)
    assert said in str(error.value) and str(path) in str(error.value)


def test_rows_that_are_not_considered_may_repeat(tmp_path):
    ignored = [[2, 1, 11, 10, 5, 5, 0, -1, -1, -1]] * 2
    (item,) = read_items(BENCHMARKS["mot"], mot(tmp_path / "gt.txt", [*MOT, *ignored]))
    assert [len(tube) for tube in item.tubes] == [2, 1] and item.provenance["rows_left_out"] == 2


def test_odd_truth_is_mentioned(tmp_path):
    path = tmp_path / "val_2.json"
    entry = {"duration": 9.5, "timestamps": [[-1.5, 3.0], [2.0, 4.0], [1.0, 2.0]], "sentences": [" ", "b", "c"]}
    path.write_text(json.dumps({"v_1": entry}))
    items = read_items(BENCHMARKS["activitynet-captions"], path)
    found = validate_gold(BENCHMARKS["activitynet-captions"], items)
    assert (found.early, found.blank) == (1, 1)
    notes = whenwhere.evaluate("activitynet-captions", path, {"v_1#1": "2 to 4 seconds"}, resamples=50).report.notes
    assert any("1 items have an empty sentence" in note for note in notes)
    assert any("start before their video's start" in note and "v_1#0" in note for note in notes)
