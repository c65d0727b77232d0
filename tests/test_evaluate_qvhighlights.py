"""QVHighlights against per-query loops, edge cases, and the authors' own digits where the data is at hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.average_precision import greedy_iou, interpolated, true_positives
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.qvhighlights import THRESHOLDS, average_precision, highlight_precision
from whenwhere.evaluate.ragged import ragged

law = settings(max_examples=100, deadline=None, derandomize=True)

PROTOCOL = PROTOCOLS["qvhighlights"]
spans = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda p: (2.0 * p[0], 2.0 * (p[0] + p[1])))


def slow_ap(answers, truth, threshold):
    """AP of one query: greedy, best score first, area under the interpolated curve."""
    found, hits = set(), []
    for s, e in answers:
        best, place = 0.0, None
        for k, (a, b) in enumerate(truth):
            common = max(0.0, min(e, b) - max(s, a))
            iou = common / ((e - s) + (b - a) - common)
            # The later of equal ones, as the original's reversed sort has it.
            if k not in found and iou >= threshold and iou >= best:
                best, place = iou, k
        hits.append(place is not None)
        if place is not None:
            found.add(place)
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) / len(truth) for k, hit in enumerate(hits) if hit)


@law
@given(st.lists(st.tuples(st.lists(spans, max_size=6), st.lists(spans, min_size=1, max_size=4)), max_size=5))
def test_average_precision_is_that_of_a_loop(queries):
    answers = ragged([span_array(a) for a, _ in queries])
    truth = ragged([span_array(t) for _, t in queries])
    fast = average_precision(answers, truth)
    for row, (a, t) in zip(fast, queries, strict=True):
        assert row == pytest.approx([slow_ap(a, t, m) for m in THRESHOLDS])


def slow_highlights(scores, liked):
    """Mean precision over the steps of equal scores at which something liked is found."""
    order = sorted(set(scores), reverse=True)
    steps, seen, found, before = [], 0, 0, 0
    for value in order:
        block = [k for k, s in enumerate(scores) if s == value]
        seen += len(block)
        found += sum(liked[k] for k in block)
        steps.append((found / seen, found > before))
        before = found
    best = [max(p for p, _ in steps[k:]) for k in range(len(steps))]
    chosen = [b for b, (_, new) in zip(best, steps, strict=True) if new]
    return sum(chosen) / len(chosen) if chosen else 0.0


@law
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=12), st.integers(0, 4))
def test_highlight_precision_is_that_of_a_loop(clips, padding):
    scores = np.array([[float(s) for s, _ in clips] + [-np.inf] * padding])
    liked = np.array([[like for _, like in clips] + [False] * padding])
    assert highlight_precision(scores, liked)[0] == pytest.approx(slow_highlights(*map(list, zip(*clips, strict=True))))


def query(name="a", windows=((0, 10),), clips=(0, 1), votes=((4, 2, 0), (3, 3, 3)), duration=20):
    extra = {"relevant_clip_ids": list(clips), "saliency_scores": [list(v) for v in votes]}
    return Item(name, "v", spans=span_array(windows), duration=float(duration), extra=extra)


def test_by_hand():
    item = query()
    # Clip 1 first, then 0: at Fair both are liked by annotators 1 and 2, clip 1 alone by the third.
    answer = Prediction("a", ranked=np.array([[0, 8, 0.1], [0, 10, 0.9]]), curve=(1.0, 2.0, np.array([0.5, 0.9, 0, 0])))
    s = PROTOCOL.score([item], {"a": answer}).summary
    assert s["MR-full-R1@0.7"] == 1.0 and s["MR-full-R1@0.85"] == 0.0  # first as written, not the best scored
    assert s["MR-full-mAP@0.95"] == 1.0  # by score
    assert s["MR-short-mAP"] == 1.0 and np.isnan(s["MR-middle-mAP"])
    assert s["HL-min-Fair-Hit1"] == 1.0 and s["HL-min-VeryGood-Hit1"] == 0.0
    assert s["HL-min-Fair-mAP"] == 1.0
    assert s["HL-min-VeryGood-mAP"] == pytest.approx((0.5 + 0 + 0) / 3)


def test_only_ten_windows_count_and_equal_scores_keep_their_order():
    item = query()
    rows = [[50, 60, 0.5]] * 10 + [[0, 10, 0.9]]
    s = PROTOCOL.score([item], {"a": Prediction("a", ranked=np.array(rows, float))}).summary
    assert s["MR-full-mAP"] == 0.0
    tied = np.array([[0, 10, 0.5], [50, 60, 0.5]], float)
    assert PROTOCOL.score([item], {"a": Prediction("a", ranked=tied)}).summary["MR-full-mAP"] == 1.0
    assert PROTOCOL.score([item], {"a": Prediction("a", ranked=tied[::-1])}).summary["MR-full-mAP"] == 0.5


def test_a_duplicate_window_is_a_false_positive():
    item = query(windows=((0, 10), (12, 20)))
    rows = np.array([[0, 10, 0.9], [0, 10, 0.8], [12, 20, 0.7]], float)
    s = PROTOCOL.score([item], {"a": Prediction("a", ranked=rows)}).summary
    assert s["MR-full-mAP"] == pytest.approx((1 + 2 / 3) / 2)


def test_missing_and_empty_answers_count_nothing_and_are_named():
    items = [query("a"), query("b"), query("c")]
    perfect = Prediction("a", ranked=np.array([[0, 10, 1.0]]), curve=(1.0, 2.0, np.array([1.0, 1.0])))
    empty = Prediction("b", "absent", ranked=np.zeros((0, 3)))
    out = PROTOCOL.score(items, {"a": perfect, "b": empty})
    assert out.summary["MR-full-R1@0.5"] == pytest.approx(1 / 3)
    assert out.summary["HL-min-Fair-Hit1"] == pytest.approx(1 / 3)
    assert any(note.startswith("1 of 3 items have no answer") for note in out.notes)
    assert any("no clip scores" in note for note in out.notes)


def test_queries_without_windows_reward_absence_and_say_so():
    items = [query("a", windows=()), query("b", windows=())]
    scored = Prediction("b", spans=span_array([(0, 4)]), ranked=np.array([[0, 4, 1.0]]))
    out = PROTOCOL.score(items, {"a": Prediction("a", "absent"), "b": scored})
    assert out.summary["MR-full-R1@0.5"] == 0.5 and out.summary["MR-full-mAP"] == 0.5
    assert any("no true window" in note for note in out.notes)


def test_clip_scores_may_be_fewer_or_more_than_clips():
    item = query(clips=(0,), votes=((4, 4, 4),))
    beyond = np.r_[0.1, np.zeros(9), 5.0]
    s = PROTOCOL.score([item], {"a": Prediction("a", "absent", curve=(1.0, 2.0, beyond))}).summary
    assert s["HL-min-Fair-Hit1"] == 0.0 and s["HL-min-Fair-mAP"] == 1.0
    # Clips without a score have 0, so a negative score comes after them.
    s = PROTOCOL.score([item], {"a": Prediction("a", "absent", curve=(1.0, 2.0, np.array([-1.0])))}).summary
    assert s["HL-min-Fair-mAP"] == pytest.approx(1 / 10)


def test_spans_without_length_match_as_in_the_originals_only_where_asked():
    point = ragged([np.array([[3.0, 3.0]])])
    elsewhere = ragged([np.array([[9.0, 9.0]])])
    assert true_positives(point, elsewhere, np.array([0.5]))[0].all()
    assert greedy_iou(point, elsewhere, np.array([0.5]), first=True)[0].tolist() == [[-1.0]]


def test_interpolation_fills_dips_only():
    hit = np.array([[True], [False], [False], [True], [True]])
    # Precision 1, 1/2, 1/3, 2/4, 3/5 at recalls 1/4 .. 3/4: the dip at the fourth is filled from the fifth.
    assert interpolated(hit, 4)[0] == pytest.approx((1 + 0.6 + 0.6) / 4)


@law
@given(st.lists(st.lists(spans, min_size=1, max_size=3), min_size=1, max_size=4))
def test_all_true_windows_and_nothing_else_is_perfect(truths):
    items, answers = [], {}
    for k, windows in enumerate(truths):
        windows = list(dict.fromkeys(windows))
        items.append(query(f"{k}", windows=windows, duration=150))
        answers[f"{k}"] = Prediction(f"{k}", ranked=np.c_[span_array(windows), np.linspace(1, 0.5, len(windows))])
    s = PROTOCOL.score(items, answers).summary
    assert s["MR-full-mAP"] == pytest.approx(1.0) and s["MR-full-R1@0.95"] == 1.0


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("moment_detr", "predictions/qvhighlights/moment_detr/sample_val_preds.jsonl"),
        ("CGDETR", "predictions/qvhighlights/CGDETR/best_hl_val_preds.jsonl"),
    ],
)
def test_every_printed_digit_of_the_authors_evaluator(real_data, name, file):
    reference = json.loads((real_data / "reference-scores/qvhighlights" / f"{name}.json").read_text())["metrics"]
    lines = (real_data / "annotations/qvhighlights/highlight_val_release.jsonl").read_text().splitlines()
    items = [
        Item(
            str(g["qid"]),
            g["vid"],
            spans=span_array(g["relevant_windows"]),
            duration=g["duration"],
            extra={k: g[k] for k in ("relevant_clip_ids", "saliency_scores")},
        )
        for g in map(json.loads, lines)
    ]
    answers = {
        str(p["qid"]): Prediction(
            str(p["qid"]),
            ranked=np.array(p["pred_relevant_windows"], float).reshape(-1, 3),
            curve=(1.0, 2.0, np.array(p["pred_saliency_scores"], float)),
        )
        for p in map(json.loads, (real_data / file).read_text().splitlines())
    }
    out = PROTOCOL.score(items, answers)
    expected = dict(reference["brief"])
    for part in ("full", "short", "middle", "long"):
        for measure, table in reference[part].items():
            for at, value in table.items():
                expected[f"MR-{part}-{measure[3:]}" + ("" if at == "average" else f"@{at}")] = value
    assert {name: PROTOCOL.printed(name, out.summary[name]) for name in expected} == expected
    assert all(out.summary[k] == pytest.approx(np.nanmean(v), abs=1e-12) for k, v in out.items.items())
