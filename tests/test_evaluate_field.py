"""What files from the field hold: windows without scores, strange ids, videos without a length, odd rows of truth."""

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import whenwhere
from whenwhere.datasets import BENCHMARKS, read_items
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats import read_predictions, write_predictions
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.validate import validate_gold
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

sys.path.insert(0, str(Path(__file__).parent))
from browser import browser, visit

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


# -- further forms of files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"qid": 0, "timestamps": [[0, 20]]}, {"qid": "1", "timestamps": [10, 30]}]),
        '{"qid": 0, "timestamps": [[0, 20]]}\n{"qid": 1, "timestamps": [[10, 30]]}\n',
        json.dumps([{"qid": 0, "timestamps": [[0, 20]]}, {"qid": 1, "timestamps": [[10, 30]]}], indent=2),
    ],
)
def test_qid_and_timestamps_are_read(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    found = read_predictions(path, QUERIES, BENCHMARKS["manifest"])
    assert found.format == "spans" and [f.kind for f in found.faults] == ["missing"]
    assert {k: p.spans.tolist() for k, p in found.by_id.items()} == {"0": [[0, 20]], "1": [[10, 30]]}


TIMELENS = {
    "v0>>>one sentence>>>[0, 20]": {"timestamps": [[1, 21], [3, 4]], "answers": "1 to 21", "duration": 150},
    "v1.mp4>>>two >>> sentences>>>[10.0, 30.0]": {"timestamps": [], "answers": "I do not know"},
    "v1>>>the same>>>(5, 6)": {"answers": "The event happens in 5.0 - 6.5 seconds."},
    "v1>>>the same>>>(50, 60)": {"timestamps": [[50, 61]]},
}


@pytest.mark.parametrize("layout", ["one line", "indented", "lines"])
def test_results_of_timelens_are_read(tmp_path, layout):
    items = [
        Item("a", "v0", "one sentence", span_array([(0, 20)])),
        Item("b", "v1", "two >>> sentences", span_array([(10, 30)])),
        Item("c", "v1", "the same", span_array([(5, 6)])),
        Item("d", "v1", "the same", span_array([(50, 60)])),
    ]
    path = tmp_path / "results.json"
    if layout == "lines":
        lines(path, [{key: value} for key, value in TIMELENS.items()])
    else:
        path.write_text(json.dumps(TIMELENS, indent=2 if layout == "indented" else None))
    found = read_predictions(path, items, BENCHMARKS["timelens-bench"])
    assert found.format == "timelens" and found.faults == []
    assert {k: (p.status, p.spans.tolist()) for k, p in found.by_id.items()} == {
        "a": ("answered", [[1, 21]]),
        "b": ("unparsed", []),
        "c": ("answered", [[5, 6.5]]),
        "d": ("answered", [[50, 61]]),
    }
    back = write_predictions(tmp_path / "back.json", found, items, "timelens")
    again = read_predictions(back, items, BENCHMARKS["timelens-bench"])
    assert {k: p.spans.tolist() for k, p in again.by_id.items()} == {
        k: p.spans.tolist() for k, p in found.by_id.items()
    }


def test_the_certainty_of_an_empty_submission_is_that_something_is_there(tmp_path):
    items = [Item("0", "v", "s"), Item("1", "w", "s", span_array([(0, 5)]))]
    rows = [{"qid": 0, "pred_relevant_windows": [], "pred_exist_score": 0.3},
            {"qid": 1, "pred_relevant_windows": [[0, 5, 0.9]], "pred_exist_score": 0.8}]  # fmt: skip
    found = read_predictions(lines(tmp_path / "a.jsonl", rows), items)
    # nothing is there with a probability of 0.7
    assert found.by_id["0"].status == "absent" and found.by_id["0"].confidence == pytest.approx(0.7)
    scores = PROTOCOLS["gmr"].score(items, found.by_id).summary
    assert scores["AUROC"] == scores["Rej-F1@0.4"] == scores["G-mIoU@1"] == 1
    path = write_predictions(tmp_path / "b.jsonl", found, items, "qvhighlights")
    assert [json.loads(line)["pred_exist_score"] for line in path.read_text().splitlines()] == [0.3, 0.8]


# -- hostile files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("deep.jsonl", '{"id": "0", "spans": ' + "[" * 100_000 + "\n"),
        ("deep.json", "[" * 100_000),
        ("huge.jsonl", '{"qid": 0, "pred_relevant_windows": [[0, 1' + "0" * 400 + ", 1]]}\n"),
        ("sure.jsonl", '{"qid": 0, "pred_relevant_windows": [[0, 1, 1]], "pred_exist_score": 1' + "0" * 400 + "}\n"),
        ("conf.jsonl", '{"id": "0", "spans": [[0, 1]], "confidence": 1' + "0" * 400 + "}\n"),
        ("field.csv", "query_id,time_ms,x0,y0,x1,y1\n" + "9" * 200_000 + ",1,0,0,1,1\n"),
        ("id.jsonl", json.dumps({"id": "x" * 200_000, "spans": [[0, 1]]}) + "\n"),
        ("key.json", json.dumps({"v>>>" + "y" * 200_000 + ">>>[0, 1]": {"timestamps": [[0, 1]]}})),
        ("latin.jsonl", '{"id": "0", "spans": [[0, 1]], "query": "\udce9"}\n'),
    ],
)
def test_whatever_a_file_holds_ends_in_short_sentences(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, errors="surrogateescape")
    try:
        said = [fault.message for fault in read_predictions(path, QUERIES).faults]
    except RecordError as e:
        said = [str(e)]
    assert all(str(path) in message and len(message) < 1000 for message in said)


@pytest.mark.parametrize("what", [{"duration": 1e12}, {"fps": 1e12}, {"frames": 10**13, "fps": 25.0}])
def test_a_video_is_not_as_long_as_it_claims(what):
    item = Item("0", "v", "s", span_array([(0, 5)]), **({"duration": 100.0} | what))
    with pytest.raises(RecordError, match="item '0' claims"):
        whenwhere.evaluate("manifest-tubes", [item], {"0": "0 to 5 seconds"}, protocol="tubedetr")


def test_one_long_video_does_not_widen_all():
    """A thousand short videos beside one of eleven days would take 5 GB if each had a column for each of its clips."""
    rng = np.random.default_rng(0)
    items, answers = [], {}
    for n in range(1000):
        long = n == 500
        extra = {"relevant_clip_ids": [0, 1], "saliency_scores": [[4, 3, 2], [1, 2, 4]]}
        items.append(Item(str(n), f"v{n}", "s", span_array([(0, 4)]), duration=1e6 if long else 10.0, extra=extra))
        answers[str(n)] = Prediction(str(n), "absent", curve=(1.0, 2.0, rng.random(5)))
    found = PROTOCOLS["qvhighlights"].score(items, answers)
    alone = PROTOCOLS["qvhighlights"].score(items[:500] + items[501:], answers)
    column = found.items["HL-min-Good-mAP"]
    np.testing.assert_array_equal(np.delete(column, 500), alone.items["HL-min-Good-mAP"])


@pytest.mark.parametrize("protocol", [p.name for p in PROTOCOLS.values() if "tubes" in p.tasks])
def test_far_and_dense_answers_take_no_memory(protocol):
    box = [[0.0, 0.0, 5.0, 5.0]]
    item = Item("0", "v", "s", span_array([(0, 5)]), [Tube(SpanSet([(0, 5)]), [1.0], box)], 9.0, fps=25.0, frames=225)
    item.extra["boxes_at_seconds"] = [[1, 0.0, 0.0, 5.0, 5.0]]
    for end, rate in ((1e15, 1.0), (5.0, 1e12), (1e15, 1e12)):
        given = Prediction("0", spans=span_array([(-end, end)]), rate=rate)
        given.boxes = [Boxes(np.array([-end, 1.0, end]), np.array(box * 3))]
        tracemalloc.start()
        PROTOCOLS[protocol].score([item], {"0": given})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6, (end, rate)


# -- the worst items ---------------------------------------------------------------------------------------------------


def test_the_worst_items_of_one_kind(tmp_path):
    """A rare kind is found although a frequent one fills the list, and each item is shown where it belongs."""
    pytest.importorskip("matplotlib")
    ids = [f"q{k}" for k in range(70)]
    rows = [{"id": i, "video": "v.mp4", "query": f"said {i}", "spans": [[10, 20]], "duration": 60} for i in ids]
    given = {key: [[0, 5]] for key in ids} | {"q3": [[10, 14]], "q4": [[10, 19]], "q5": []}
    path = lines(tmp_path / "a.jsonl", [{"id": k, "spans": v} for k, v in given.items()])
    truth = lines(tmp_path / "truth.jsonl", rows)
    whenwhere.evaluate("manifest", truth, path, resamples=50, out=tmp_path / "out", export="html")
    page = tmp_path / "out" / "report.html"
    visible = "li => li.filter(e => e.checkVisibility()).map(e => e.querySelector('.said').textContent)"
    with browser() as running:
        window, seen = visit(running, page)
        shown = window.locator(".worst li")
        assert len(shown.evaluate_all(visible)) == 30
        for kind, wanted in (("partly", ["q3"]), ("better", ["q4"]), ("absent", ["q5"])):
            window.locator(f"#worst-{kind}").check()
            assert shown.evaluate_all(visible) == [f"said {id}" for id in wanted]
        window.locator("#worst-missed").check()
        assert len(shown.evaluate_all(visible)) == 30
        window.locator("#worst-all").check()
        assert len(shown.evaluate_all(visible)) == 30 and seen.errors == []


def test_the_page_shows_the_worst_items_with_video_truth_and_answer(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "a b.mp4").write_bytes(b"a file of that name is all that is looked for")
    rows = [
        {"id": "right", "video": "a b.mp4", "query": "one", "spans": [[1, 2]], "duration": 10},
        {"id": "wrong", "video": "a b.mp4", "query": "two <b>", "spans": [[5, 6]], "duration": 10},
        {"id": "gone", "video": "gone.mp4", "query": "three", "spans": [], "duration": 10},
    ]
    truth = lines(tmp_path / "truth.jsonl", rows)
    answers = {"right": [[1, 2]], "wrong": [[8, 9.5]], "gone": [[0, 1]]}
    path = lines(tmp_path / "a.jsonl", [{"id": k, "spans": v} for k, v in answers.items()])
    whenwhere.evaluate("manifest", truth, path, resamples=50, out=tmp_path / "out", export="html")
    page = (tmp_path / "out" / "report.html").read_text()
    worst = page[page.index("Worst items") :]
    assert worst.index("two &lt;b&gt;") < worst.index("three") < worst.index(">one<")
    assert worst.count("<video") == 2 and 'src="../a%20b.mp4#t=5.00"' in worst and "gone.mp4 ·" in worst
    assert "left:50.00%;width:10.00%" in worst and "left:80.00%;width:15.00%" in worst
    assert "5.00 – 6.00 s" in worst and "8.00 – 9.50 s" in worst and "not in the video" in worst
    assert "<script" not in page
