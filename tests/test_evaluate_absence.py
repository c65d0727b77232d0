"""Recognising that something is not there: rejection, AUROC with ties, the whole, and two benchmarks' own counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.absence import auroc, existence, rejection
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS

law = settings(max_examples=100, deadline=None, derandomize=True)

PRESENT = [(2.0, 6.0)]


def items(*truths):
    return [Item(f"{k}", f"v{k}", spans=span_array(t)) for k, t in enumerate(truths)]


@law
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=25))
def test_auroc_is_the_share_of_pairs_in_order(rows):
    scores, positive = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], bool)
    yes, no = scores[positive], scores[~positive]
    value = auroc(scores, positive)
    if not len(yes) or not len(no):
        assert np.isnan(value)
        return
    assert value == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in itertools.product(yes, no)]))
    assert value + auroc(-scores, positive) == pytest.approx(1)


@law
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_rejection_is_bounded_and_one_only_for_the_right_decisions(rows):
    rejected, empty = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    out = rejection(rejected, empty)
    assert all(0 <= v <= 1 for v in out.values())
    assert (out["rejection-F1"] == 1) == bool(empty.any() and (rejected == empty).all())


def test_by_hand():
    truth = items([], [], PRESENT, PRESENT, PRESENT)
    answers = {
        "0": Prediction("0", "absent", confidence=0.9),
        "1": Prediction("1", spans=span_array([(0, 1)]), confidence=0.3),
        "2": Prediction("2", spans=span_array([(2, 6)]), confidence=0.8),
        "3": Prediction("3", "absent", confidence=0.6),
        "4": Prediction("4", "unsure"),
    }
    out = PROTOCOLS["absence"].score(truth, answers)
    s = out.summary
    assert s["rejection-rate"] == 0.5 and s["rejection-precision"] == 0.5 and s["rejection-F1"] == 0.5
    assert s["false-rejection"] == pytest.approx(1 / 3)
    assert s["mIoU"] == pytest.approx(2 / 5)
    # There: 0.8, 0.4, 0.5 against not there: 0.1, 0.3.
    assert s["AUROC"] == 1.0
    assert out.groups["empty"]["mIoU"] == 0.5 and out.groups["present"]["n"] == 3
    assert out.items["right-decision"].tolist() == [1, 0, 1, 0, 0]


def test_saying_absent_always_or_never_is_worth_nothing_alone():
    truth = items([], PRESENT)
    always = {k: Prediction(k, "absent") for k in "01"}
    never = {k: Prediction(k, spans=span_array(PRESENT)) for k in "01"}
    for answers in (always, never):
        s = PROTOCOLS["absence"].score(truth, answers).summary
        assert s["AUROC"] == 0.5 and s["mIoU"] == 0.5
    assert any("say nothing" in n for n in PROTOCOLS["absence"].score(items(PRESENT), always).notes)


def test_lost_answers_reject_nothing():
    s = PROTOCOLS["absence"].score(items([], []), {"0": Prediction("0", "failed")}).summary
    assert s["rejection-rate"] == 0.0 and s["mIoU"] == 0.0


def test_existence_grows_with_the_claim_that_it_is_there():
    ranked = np.array([[0, 1, 0.2], [3, 4, 0.7]])
    assert existence(Prediction("a", ranked=ranked)) == 0.7
    assert existence(Prediction("a", ranked=ranked, confidence=0.4)) == 0.4
    assert existence(Prediction("a", "absent", confidence=0.9)) == pytest.approx(0.1)
    assert existence(Prediction("a", "absent")) == 0.0 and existence(None) == 0.5
    assert existence(Prediction("a", spans=span_array([(0, 1)]))) == 1.0


# --- Soccer-GMR ------------------------------------------------------------------------------------------------------

span = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda p: (float(p[0]), float(p[0] + p[1])))


def iou(a, b):
    common = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return common / ((a[1] - a[0]) + (b[1] - b[0]) - common)


def greedy(answers, truths, threshold):
    """IoUs of answers matched in written order, each with the best free true window."""
    free, out = list(range(len(truths))), []
    for a in answers:
        if not free:
            break
        best = max(free, key=lambda k: (iou(a, truths[k]), -k))
        if iou(a, truths[best]) >= threshold:
            free.remove(best)
            out.append(iou(a, truths[best]))
    return out


def mean(values):
    return sum(values) / len(values) if len(values) else 0.0


@law
@given(
    st.lists(
        st.tuples(
            st.lists(span, max_size=3, unique=True),
            st.lists(st.tuples(span, st.integers(0, 10)), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_gmr_is_that_of_a_loop(data):
    truth = items(*[t for t, _ in data])
    answers = {
        f"{k}": Prediction(f"{k}", ranked=np.array([[*s, v / 10] for s, v in rows])) for k, (_, rows) in enumerate(data)
    }
    s = PROTOCOLS["gmr"].score(truth, answers).summary
    spans = [([w for w, _ in rows], max(v for _, v in rows) / 10, t) for t, rows in data]
    at = [0.5 + 0.05 * k for k in range(10)]
    for k in (1, 3, 5):
        whole = []
        for a, exists, t in spans:
            kept = a[:k] if exists > 0.4 else []
            pairs = greedy(kept, t, 0.0)
            whole.append(1.0 if not kept and not t else mean([sum(pairs) / (len(kept) + len(t) - len(pairs))]))
        assert s[f"G-mIoU@{k}"] == pytest.approx(mean(whole))
        there, several = [x for x in spans if x[2]], [x for x in spans if len(x[2]) > 1]
        recall = [mean([len(greedy(a[:k], t, round(m, 2))) / len(t) for m in at]) for a, _, t in there]
        more = [
            mean([max(0, len(greedy(a[:k], t, round(m, 2))) - 1) / (len(t) - 1) for m in at]) for a, _, t in several
        ]
        assert s[f"mR@{k}"] == pytest.approx(mean(recall)) and s[f"mR+@{k}"] == pytest.approx(mean(more))
        assert s[f"mIoU@{k}"] == pytest.approx(mean([mean(greedy(a[:k], t, -1)) for a, _, t in there]))
        rest = [mean(sorted(greedy(a[:k], t, -1))[:-1]) for a, _, t in several]
        assert s[f"mIoU+@{k}"] == pytest.approx(mean(rest))


def test_na_vmr_counts_a_rejected_present_thing_as_a_miss():
    truth = items([], [], PRESENT, PRESENT)
    rows = np.array([[2.0, 6.0, 1.0]])
    scores = [0.4, 0.5, 0.5, 0.4]
    answers = {f"{k}": Prediction(f"{k}", ranked=rows, confidence=c) for k, c in enumerate(scores)}
    s = PROTOCOLS["na-vmr"].score(truth, answers).summary
    assert s["rejection-rate"] == 0.5 and s["R1@0.7"] == 0.5
    # Its hits are strict: half of the truth is no hit at 0.5.
    half = {"0": Prediction("0", ranked=np.array([[2.0, 4.0, 1.0]]))}
    assert PROTOCOLS["na-vmr"].score(items(PRESENT), half).summary["R1@0.5"] == 0.0
