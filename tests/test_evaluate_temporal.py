"""Temporal scores against slow per-item counts, the definition in `overlap`, and what must hold for any input."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.multispan import curve_area, match_spans, score_vue_tr
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.ragged import Ragged, cross, highest, joined_spans, ragged, set_iou
from whenwhere.evaluate.temporal import TemporalCount, default_iou, score, threshold_curve
from whenwhere.overlap import t_iou
from whenwhere.spans import SpanSet

law = settings(max_examples=100, deadline=None, derandomize=True)

# A grid of eighths adds up without rounding, so "equal" can mean equal.
ticks = st.integers(-80, 400).map(lambda k: k / 8)
wild = st.floats(-1e3, 1e3, allow_nan=False)


def lists(time, low=0, high=5):
    return st.lists(st.tuples(time, time), min_size=low, max_size=high)


def proper(pairs):
    return [(min(a, b), max(a, b)) for a, b in pairs if a != b]


def one(spans, answer, **more):
    item = Item("a", "v", spans=span_array(spans))
    return item, Prediction("a", spans=span_array(answer), **more)


# --- ragged arrays -------------------------------------------------------------------------------------------------


@law
@given(st.lists(lists(wild), max_size=6), st.lists(lists(wild), max_size=6))
def test_cross_pairs_are_those_of_a_loop(left, right):
    n = min(len(left), len(right))
    a, b = ragged([span_array(x) for x in left[:n]]), ragged([span_array(x) for x in right[:n]])
    i, j, owner = cross(a, b)
    expected = [
        (a.starts[k] + p, b.starts[k] + q, k)
        for k in range(n)
        for p in range(len(left[k]))
        for q in range(len(right[k]))
    ]
    assert list(zip(i.tolist(), j.tolist(), owner.tolist(), strict=True)) == expected


@law
@given(st.lists(lists(wild), max_size=6))
def test_merged_lists_are_span_sets(parts):
    out = joined_spans(ragged([span_array(p) for p in parts]))
    for k, part in enumerate(parts):
        expected = SpanSet((s, e) for s, e in part if s < e)
        rows = out.rows[out.starts[k] : out.starts[k + 1]]
        assert rows.tolist() == [[s.start, s.end] for s in expected]


@law
@given(st.lists(st.tuples(st.integers(0, 4), wild), max_size=20))
def test_highest_of_each_owner(pairs):
    pairs.sort(key=lambda p: p[0])
    owner, values = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], float)
    assert highest(values, owner, 5, -7.0).tolist() == [
        max((v for o, v in pairs if o == k), default=-7.0) for k in range(5)
    ]


def test_head_and_keep_may_empty_a_list():
    spans = ragged([np.zeros((3, 2)), np.zeros((0, 2)), np.ones((1, 2))])
    assert spans.head(1).counts.tolist() == [1, 0, 1]
    assert spans.keep(np.array([False, False, False, True])).counts.tolist() == [0, 0, 1]
    assert Ragged(np.zeros((0, 2)), np.array([0])).head(1).counts.tolist() == []


# --- the definition ------------------------------------------------------------------------------------------------


@law
@given(lists(wild), lists(wild))
def test_set_iou_is_the_overlap_of_span_sets(a, b):
    fast = float(set_iou(ragged([span_array(a)]), ragged([span_array(b)]))[0])
    slow = t_iou(SpanSet(p for p in a if p[0] < p[1]), SpanSet(p for p in b if p[0] < p[1]))
    assert fast == pytest.approx(slow, abs=1e-12)
    assert 0 <= fast <= 1


@law
@given(lists(ticks), lists(ticks))
def test_symmetric_and_one_only_for_the_truth(a, b):
    x, y = ragged([span_array(a)]), ragged([span_array(b)])
    value = float(set_iou(x, y)[0])
    assert value == float(set_iou(y, x)[0])
    same = SpanSet(p for p in a if p[0] < p[1]) == SpanSet(p for p in b if p[0] < p[1])
    assert (value == 1.0) == same


@law
@given(lists(ticks), lists(ticks), st.integers(-64, 64), st.sampled_from([0.25, 0.5, 2.0, 16.0]))
def test_neither_shift_nor_scale_matters(a, b, shift, scale):
    def value(move):
        return float(set_iou(ragged([move(span_array(a))]), ragged([move(span_array(b))]))[0])

    assert value(lambda s: s) == value(lambda s: s * scale + shift)


@pytest.mark.parametrize(
    ("status", "answer", "truth", "expected"),
    [
        ("absent", [], [], 1.0),
        ("answered", [], [], 1.0),
        ("absent", [], [(0, 1)], 0.0),
        ("answered", [(0, 1)], [], 0.0),
        # A reversed or empty span is no claim that nothing is there.
        ("answered", [(3, 1)], [], 0.0),
        ("answered", [(1, 1)], [], 0.0),
        ("unsure", [], [], 0.0),
        ("unparsed", [], [], 0.0),
        ("failed", [], [], 0.0),
        ("failed", [(0, 1)], [(0, 1)], 0.0),
        ("absent", [(0, 1)], [], 1.0),
    ],
)
def test_empty_truths_and_empty_answers(status, answer, truth, expected):
    item, prediction = one(truth, answer, status=status)
    assert default_iou([item], [prediction])[0] == expected


def test_an_invalid_item_stays_in_the_denominator_and_cannot_be_right():
    items = [Item("a", "v", spans=span_array([(5, 3)]), status="invalid"), Item("b", "v", spans=span_array([(0, 1)]))]
    answers = {k: Prediction(k, spans=span_array(s)) for k, s in (("a", [(5, 3)]), ("b", [(0, 1)]))}
    out = PROTOCOLS["default"].score(items, answers)
    assert out.summary["mIoU"] == 0.5 and any("invalid" in note for note in out.notes)
    answers["a"] = Prediction("a", "absent")
    assert PROTOCOLS["default"].score(items, answers).summary["mIoU"] == 0.5


def test_time_outside_the_video_is_not_clipped_away():
    item = Item("a", "v", spans=span_array([(8, 10)]), duration=10.0)
    out = PROTOCOLS["default"].score([item], {"a": Prediction("a", spans=span_array([(8, 12)]))})
    assert out.summary["mIoU"] == 0.5


# --- the switches --------------------------------------------------------------------------------------------------


def slow(items, answers, count):
    """R@n and mIoU, item by item, written from the definitions in `TemporalCount`."""
    out, ious = {}, []
    kept = [i for i in items if i.id in answers or not count.drop]
    best = {k: [] for k in count.ranks}
    for item in kept:
        p = answers.get(item.id)
        readable = p is not None and p.status in ("answered", "absent")
        rows = [] if not readable else (p.spans if p.ranked is None else p.ranked[:, :2]).tolist()
        if count.swap:
            rows = [sorted(r) for r in rows]
        truths = item.spans.tolist()[:1] if count.truths == "first" else item.spans.tolist()

        def iou(a, b):
            hull = max(a[1], b[1]) - min(a[0], b[0])
            return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / hull if hull > 0 else 0.0

        each = [max((iou(r, t) for t in truths), default=0.0) for r in rows]
        ious.append(each[0] if each else 0.0)
        for k in count.ranks:
            best[k].append(max(each[:k], default=0.0))
    for k, m in itertools.product(count.ranks, count.thresholds):
        out[f"R{k}@{m:g}"] = np.mean([v > m if count.strict else v >= m for v in best[k]]) if kept else np.nan
    out["mIoU"] = np.mean(ious) if kept else np.nan
    return out


@st.composite
def benchmark(draw, time=ticks):
    items, answers = [], {}
    for k in range(draw(st.integers(1, 6))):
        items.append(Item(f"q{k}", f"v{k % 2}", spans=span_array(proper(draw(lists(time, 1, 3))) or [(0, 1)])))
        kind = draw(st.sampled_from(["spans", "ranked", "missing", "unparsed"]))
        rows = draw(lists(time, 1, 7))
        if kind == "spans":
            answers[f"q{k}"] = Prediction(f"q{k}", spans=span_array(rows))
        elif kind == "ranked":
            answers[f"q{k}"] = Prediction(f"q{k}", ranked=np.c_[span_array(rows), np.zeros(len(rows))])
        elif kind == "unparsed":
            answers[f"q{k}"] = Prediction(f"q{k}", "unparsed")
    return items, answers


@law
@given(benchmark(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["first", "best"]))
def test_every_switch_counts_as_a_loop_does(data, strict, swap, drop, truths):
    items, answers = data
    count = TemporalCount(truths, strict, swap, drop, (0.1, 0.3, 0.5, 0.7), (1, 5))
    fast, expected = score(items, answers, count).summary, slow(items, answers, count)
    for name, value in fast.items():
        assert value == pytest.approx(expected[name], abs=1e-12, nan_ok=True)
    if "R5@0.3" not in fast:  # left out only where no answer has an alternative
        assert expected["R5@0.3"] == pytest.approx(expected["R1@0.3"], nan_ok=True)


@law
@given(benchmark())
def test_more_candidates_and_lower_thresholds_never_cost(data):
    items, answers = data
    for name in ("default", "best-truth", "charades-sta"):
        s = PROTOCOLS[name].score(items, answers).summary
        assert s["R1@0.3"] >= s["R1@0.5"] >= s["R1@0.7"]
        if "R5@0.5" in s:
            assert s["R5@0.5"] >= s["R1@0.5"]


def test_the_same_answer_under_different_protocols():
    item, answer = one([(0, 10), (20, 30)], [(25, 20)])
    half, exactly = one([(0, 10)], [(0, 5)])
    assert PROTOCOLS["taro"].score([item], {"a": answer}).summary["mIoU"] == 0.5
    assert PROTOCOLS["timelens"].score([item], {"a": answer}).summary["mIoU"] == 0.0
    assert PROTOCOLS["timelens"].score([half], {"a": exactly}).summary["R1@0.5"] == 1.0
    assert PROTOCOLS["time-r1"].score([half], {"a": exactly}).summary["R1@0.5"] == 0.0
    assert PROTOCOLS["time-r1"].score([half], {"a": exactly}).summary["avg"] == pytest.approx((0.5 + 1 + 0 + 0) / 4)


@pytest.mark.parametrize("name", ["default", "best-truth", "charades-sta", "taro"])
def test_an_absent_thing_called_absent_is_right_under_every_count(name):
    items = [Item("a", "v", spans=span_array()), Item("b", "v", spans=span_array())]
    answers = {"a": Prediction("a", "absent"), "b": Prediction("b", spans=span_array([(0, 1)]))}
    assert PROTOCOLS[name].score(items, answers).items["mIoU"].tolist() == [1.0, 0.0]


def test_a_missing_answer_is_wrong_or_named():
    items = [Item("a", "v", spans=span_array([(0, 1)])), Item("b", "v", spans=span_array([(0, 1)]))]
    answers = {"a": Prediction("a", spans=span_array([(0, 1)]))}
    kept = PROTOCOLS["tvgbench"].score(items, answers)
    dropped = PROTOCOLS["time-r1"].score(items, answers)
    assert (kept.summary["mIoU"], dropped.summary["mIoU"]) == (0.5, 1.0)
    assert "1 of 2 items have no answer: counted as wrong" in kept.notes
    assert any("left out" in note for note in dropped.notes) and dropped.ids == ["a"]


def test_columns_are_means_of_the_summary_and_kinds_are_groups():
    items = [Item(f"{k}", f"v{k}", spans=span_array([(0, 10)]), type="ab"[k % 2]) for k in range(4)]
    answers = {f"{k}": Prediction(f"{k}", spans=span_array([(0, 4 + k)])) for k in range(4)}
    out = PROTOCOLS["charades-sta"].score(items, answers)
    assert out.ids == ["0", "1", "2", "3"] and out.videos == ["v0", "v1", "v2", "v3"]
    assert all(out.summary[name] == pytest.approx(column.mean()) for name, column in out.items.items())
    assert out.groups["a"]["mIoU"] == pytest.approx((0.4 + 0.6) / 2) and out.groups["b"]["n"] == 2


def test_no_items_and_no_answers():
    assert np.isnan(PROTOCOLS["default"].score([], {}).summary["mIoU"])
    assert PROTOCOLS["default"].score([Item("a", "v", spans=span_array([(0, 1)]))], {}).summary["mIoU"] == 0.0


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_protocol_can_be_listed_and_says_what_it_counts(name):
    protocol = PROTOCOLS[name]
    assert protocol.name == name and protocol.headline and protocol.source and protocol.counts
    assert protocol.standing != "ours" or "/" not in protocol.source.split()[0]


@pytest.mark.parametrize(
    "name",
    [n for n, p in PROTOCOLS.items() if {"spans", "highlights"} & set(p.tasks)],
)
def test_the_truth_as_answer_is_perfect(name):
    rng = np.random.default_rng(3)
    items, answers = [], {}
    for k in range(20):
        start = np.sort(rng.integers(0, 60, 1))
        spans = span_array([(s, s + float(rng.integers(1, 40))) for s in start])
        items.append(Item(f"{k}", "v", spans=spans, duration=150.0))
        answers[f"{k}"] = Prediction(f"{k}", spans=spans, ranked=np.c_[spans, np.ones(len(spans))])
    summary = PROTOCOLS[name].score(items, answers).summary
    for measure in ("mIoU", "R1@0.7", "MR-full-mAP", "G-mIoU@1", "F1@0.7", "Acc"):
        if measure in summary:
            assert summary[measure] == 1.0, (name, measure)


# --- several spans -------------------------------------------------------------------------------------------------


def best_assignment(table):
    """Highest sum of any one-to-one matching, by trying all."""
    a, b = table.shape
    if a > b:
        table, a, b = table.T, b, a
    return max((sum(table[k, p[k]] for k in range(a)) for p in itertools.permutations(range(b), a)), default=0.0)


@law
@given(lists(ticks, 0, 4), lists(ticks, 0, 4))
def test_matching_is_the_best_of_all_matchings(a, b):
    a, b = proper(a), proper(b)
    f1, mean = match_spans(ragged([span_array(a)]), ragged([span_array(b)]), [0.3, 0.6])
    if not a and not b:
        assert f1.tolist() == [[1.0, 1.0]] and mean.tolist() == [1.0]
        return
    table = np.array(
        [[max(0, min(x[1], y[1]) - max(x[0], y[0])) / (max(x[1], y[1]) - min(x[0], y[0])) for y in b] for x in a]
    ).reshape(len(a), len(b))
    assert mean[0] == pytest.approx(best_assignment(table) / max(len(a), len(b)))
    for k, t in enumerate((0.3, 0.6)):
        assert f1[0, k] == pytest.approx(2 * best_assignment((table >= t).astype(float)) / (len(a) + len(b)))


@law
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.booleans())
def test_threshold_curve_counts_each_threshold(values, strict):
    at = np.linspace(0, 1, 11)
    expected = [np.mean([v > t if strict else v >= t for v in values]) for t in at]
    assert threshold_curve(np.array(values), at, strict) == pytest.approx(expected)
    assert 0 <= curve_area(np.array(values), strict) <= 1


def test_vue_tr_rounds_answers_outwards_and_leaves_undefined_precision_out():
    items = [Item("a", "v", spans=span_array([(2, 4)])), Item("b", "v", spans=span_array([(2, 4)]))]
    answers = {"a": Prediction("a", spans=span_array([(2.4, 3.2)])), "b": Prediction("b", "absent")}
    out = score_vue_tr(items, answers)
    assert out.summary["Precision"] == pytest.approx(1.0)
    assert out.summary["Recall"] == pytest.approx(0.5, abs=0.01)
    assert any("no precision" in note for note in out.notes)
    assert out.items["IoU"].mean() == pytest.approx(out.summary["IoU"], abs=1e-12)


def test_multispan_measures_by_hand():
    items = [Item("a", "v", spans=span_array([(0, 4), (6, 8)]))]
    out = PROTOCOLS["multispan"].score(items, {"a": Prediction("a", spans=span_array([(6, 8), (0, 2), (10, 11)]))})
    assert out.summary["mIoU"] == pytest.approx(4 / 7)
    assert out.summary["best-mIoU"] == 1.0
    assert out.summary["F1@0.5"] == pytest.approx(2 * 2 / 5)
    assert out.summary["F1@0.7"] == pytest.approx(2 * 1 / 5)
    assert out.summary["matched-mIoU"] == pytest.approx(1.5 / 3)
    assert out.summary["right-count"] == 0.0
