"""Several true spans and several answered spans, compared together or one to one.

`multispan` is this project's count: the answered against the true set of time, the first choice against its best true
span, and one-to-one matching (Hungarian, so the order of the answers does not matter): F1 of the largest matching at a
threshold, and the mean IoU of the best matching, in which spans left over on either side count 0.

`vue-tr` and `qv-m2` count as those benchmarks' own scripts do. VUE-TR rounds answers outwards to whole seconds and
gives areas under curves over 101 thresholds instead of means; its precision and recall leave out items for which they
are not defined. QV-M2 matches the first 1, 2, 3 windows greedily, R@2 and R@3 only on items that have as many true and
answered windows, and averages percentages that were rounded before.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.average_precision import greedy_iou
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.qvhighlights import (
    WINDOWS,
    answered_windows,
    average_precision,
    by_score,
    unscored,
    without_precision,
)
from whenwhere.evaluate.ragged import Floats, Ragged, cross, highest, hull_iou, ragged
from whenwhere.evaluate.temporal import claims, default_iou, hits, look_up, means, threshold_curve

#: Thresholds of this project's count.
AT = (0.3, 0.5, 0.7)
#: Thresholds of MUSEG's F1.
MUSEG_AT = (0.1, 0.3, 0.5, 0.7)
#: Thresholds of VUE-TR's curves.
VUE_TR_AT = np.linspace(0, 1, 101)
#: Thresholds of QV-M2's recalls.
QV_M2_AT = np.array([float(f"{t:.2f}") for t in np.linspace(0.3, 0.95, 14)])


def match_spans(answers: Ragged, truth: Ragged, thresholds: Sequence[float] = AT) -> tuple[Floats, Floats]:
    """Match each item's answers with its true spans one to one.

    Returns:
        F1 of the largest matching of pairs that reach each threshold, shape (n, t), and the highest sum of IoU of any
        matching, divided by the larger number of spans, shape (n,). Nothing against nothing is 1.

    >>> one = ragged([np.array([[0., 4], [6, 8]])])
    >>> f1, mean = match_spans(one, ragged([np.array([[6., 8], [0, 2]])]), [.5, .7])
    >>> f1.tolist(), mean.tolist()
    ([[1.0, 0.5]], [0.75])
    """
    i, j, owner = cross(answers, truth)
    iou = hull_iou(answers.rows[i], truth.rows[j])
    a, b = answers.counts, truth.counts
    n, steps = len(a), np.asarray(thresholds, float)
    # With one span on a side the best pair is the matching; only the others need the Hungarian method.
    pairs = np.stack([highest((iou >= t).astype(float), owner, n) for t in steps], 1)
    sums = highest(iou, owner, n)
    edges = np.searchsorted(owner, np.arange(n + 1))
    many = np.flatnonzero((a > 1) & (b > 1))
    if len(many):
        from scipy.optimize import linear_sum_assignment

        for k in many:
            table = iou[edges[k] : edges[k + 1]].reshape(a[k], b[k])
            sums[k] = table[linear_sum_assignment(table, maximize=True)].sum()
            for column, t in enumerate(steps):
                reach = (table >= t).astype(float)
                pairs[k, column] = reach[linear_sum_assignment(reach, maximize=True)].sum()
    f1 = 2 * pairs / np.maximum(a + b, 1)[:, None]
    mean = sums / np.maximum(np.maximum(a, b), 1)
    nothing = (a == 0) & (b == 0)
    f1[nothing], mean[nothing] = 1.0, 1.0
    return f1, mean


def museg_f1(answers: Ragged, truth: Ragged) -> dict[str, Floats]:
    """F1 as MUSEG counts it on temporal action localisation, per item, and its mean over the four thresholds.

    The matching is not one to one: an answer is right if any true span reaches the threshold with it, and a true span
    is found if any answer does, so that one answer may find several spans and repeated answers cost nothing (from
    reading THUNLP-MT/MUSEG data/eval/et_bench/compute_metrics.py `tal_eval` 889565e78b; its `F1` on a single span is
    R1).

    >>> one, two = ragged([np.array([[0., 4.], [0., 4.]])]), ragged([np.array([[0., 4.], [6., 9.]])])
    >>> museg_f1(one, two)["MUSEG-F1"].round(3).tolist()
    [0.667]
    """
    i, j, _ = cross(answers, truth)
    iou = hull_iou(answers.rows[i], truth.rows[j])
    right, found = np.zeros(len(answers.rows)), np.zeros(len(truth.rows))
    np.maximum.at(right, i, iou)
    np.maximum.at(found, j, iou)
    n = len(answers.counts)
    nothing = (answers.counts == 0) & (truth.counts == 0)
    out = {}
    for m in MUSEG_AT:
        precision = np.bincount(answers.owner, right >= m, n) / np.maximum(answers.counts, 1)
        recall = np.bincount(truth.owner, found >= m, n) / np.maximum(truth.counts, 1)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros(n), where=both > 0)
        out[f"MUSEG-F1@{m:g}"] = np.where(nothing, 1.0, f1)
    return {"MUSEG-F1": np.mean(list(out.values()), axis=0)} | out


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score by mIoU of sets, IoU of the first choice, F1 and mean IoU of the one-to-one matching, and right counts."""
    kept, predictions, notes = look_up(items, by_id)
    answers = ragged([_answers(p) for p in predictions])
    truth = ragged([i.spans for i in kept])
    n = len(kept)
    real = np.fromiter((i.status == "valid" for i in kept), bool, n)
    real &= claims(predictions, answers)
    f1, mean = match_spans(answers, truth)
    top = answers.head(1)
    i, j, owner = cross(top, truth)
    best = highest(hull_iou(top.rows[i], truth.rows[j]), owner, n)
    best[(answers.counts == 0) & (truth.counts == 0)] = 1.0
    columns = {"mIoU": default_iou(kept, predictions), "best-mIoU": best * real}
    columns |= {f"R1@{m:g}": hits(best * real, m) for m in AT}
    columns |= {f"F1@{m:g}": f1[:, k] * real for k, m in enumerate(AT)}
    columns |= {name: column * real for name, column in museg_f1(answers, truth).items()}
    columns |= {"matched-mIoU": mean * real, "right-count": ((answers.counts == truth.counts) & real).astype(float)}
    return means(kept, columns, notes)


def _answers(prediction: Prediction | None) -> Floats:
    """The spans that are answered together, shape (k, 2): the set, or the whole ranking if there is no set."""
    if prediction is None or prediction.status != "answered":
        return span_array()
    if len(prediction.spans) > 1 or prediction.ranked is None or not len(prediction.ranked):
        return prediction.spans
    return prediction.ranked[:, :2]


def outwards(spans: Floats) -> Floats:
    """The spans with starts rounded down and ends rounded up to whole seconds."""
    return np.stack([np.floor(spans[:, 0]), np.ceil(spans[:, 1])], 1)


def _joined(spans: list[list[float]]) -> list[list[float]]:
    out: list[list[float]] = []
    for start, end in sorted(spans, key=lambda s: s[0]):
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def vue_tr_iou(answer: Floats, truth: Floats) -> float:
    """The IoU of one item, with the answer's spans joined and the truth's as released.

    >>> vue_tr_iou(np.array([[0., 4.], [3., 6.]]), np.array([[0., 3.]]))
    0.5
    """
    if not len(truth) or not len(answer):
        return float(len(truth) == len(answer))
    spans = [s for s in _joined(answer.tolist()) if s[0] <= s[1]]
    common = sum(max(0.0, min(e, v) - max(s, u)) for s, e in spans for u, v in truth.tolist())
    whole = sum(e - s for s, e in spans) + float((truth[:, 1] - truth[:, 0]).sum()) - common
    return min(1.0, max(0.0, common / (whole + 1e-16)))


def _walked(truth: list[list[float]], answer: list[list[float]]) -> float:
    # The original walks both lists once in written order, so spans that are not sorted lose some of the intersection.
    i = j = 0
    common = 0.0
    while i < len(truth) and j < len(answer):
        (a, b), (c, d) = truth[i], answer[j]
        if a <= d and c <= b:
            common += min(b, d) - max(a, c)
        if b < d:
            i += 1
        else:
            j += 1
    return common


def curve_area(values: Floats, strict: bool = False) -> float:
    """The area under the share of values that reach (exceed if `strict`) each of 101 thresholds."""
    return float(np.trapezoid(threshold_curve(values, VUE_TR_AT, strict), VUE_TR_AT)) if len(values) else float("nan")


def score_vue_tr(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score IoU, precision and recall as VUE-TR does, as areas under curves."""
    kept, predictions, notes = look_up(items, by_id, drop=True)
    answers = [outwards(_answers(p)) for p in predictions]
    iou = np.array([vue_tr_iou(a, i.spans) for a, i in zip(answers, kept, strict=True)], float)
    common, length, size = (np.zeros(len(kept)) for _ in range(3))
    for row, (item, answer) in enumerate(zip(kept, answers, strict=True)):
        truth, spans = np.sort(item.spans, 1), np.sort(answer, 1)
        common[row] = _walked(truth.tolist(), spans.tolist())
        length[row], size[row] = (truth[:, 1] - truth[:, 0]).sum(), (spans[:, 1] - spans[:, 0]).sum()
    above = np.searchsorted(VUE_TR_AT, iou, side="left")
    area = np.concatenate([[0.0], np.cumsum(np.r_[np.diff(VUE_TR_AT) / 2, 0] + np.r_[0, np.diff(VUE_TR_AT) / 2])])
    out = means(kept, {"IoU": area[above]}, notes)
    out.summary["IoU"] = curve_area(iou, strict=True)
    out.summary["Precision"] = curve_area((common / np.where(size > 0, size, 1))[size > 0])
    out.summary["Recall"] = curve_area((common / np.where(length > 0, length, 1))[length > 0])
    if silent := int((size == 0).sum()):
        out.notes.append(
            f"{silent} answers hold no time: they have no precision and are left out of it, as in the original"
        )
    return out


def score_qv_m2(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as QV-M2 does: mAP by the number of true windows, R@k and mIoU@k of the first k = 1, 2, 3 windows."""
    kept, predictions, notes = look_up(items, by_id)
    answers = ragged([answered_windows(p)[:WINDOWS] for p in predictions], 3)
    truth = ragged([i.spans for i in kept])
    precision = average_precision(by_score(answers), truth).mean(1)
    summary = {"MR-full-mAP": float(precision.mean()) if len(kept) else float("nan")}
    sizes = {int(k): float(precision[truth.counts == k].mean()) for k in np.unique(truth.counts)}
    summary |= {f"MR-full-mAP@{k}_tgt": sizes.get(k, float("nan")) for k in (1, 2)}
    several = [value for k, value in sizes.items() if k >= 3]
    summary["MR-full-mAP@3+tgt"] = float(np.mean(several)) if several else 0.0
    spans = Ragged(answers.rows[:, :2], answers.starts)
    for k in (1, 2, 3):
        able = (truth.counts >= k) & (answers.counts >= k)
        head = spans.head(k)
        mine, theirs = head.keep(able[head.owner]), truth.keep(able[truth.owner])
        value, _ = greedy_iou(mine, theirs, QV_M2_AT, first=True)
        recall = (value >= 0).sum(0) / max(1, k * int(able.sum()))
        summary |= {f"MR-full-R{k}@{t:g}": float(r) for t, r in zip(QV_M2_AT, recall, strict=True)}
        # The original averages percentages after rounding them to two digits; if that mean lies half way between two
        # digits, ours may print the other one.
        summary[f"MR-full-mR{k}"] = float(np.mean([percent("", r) for r in recall])) / 100
        forced, _ = greedy_iou(mine, theirs, np.array([-1.0]), first=True)
        forced = forced[forced >= 0]
        summary[f"MR-full-mIoU@{k}"] = float(forced.mean()) if len(forced) else 0.0
    columns = {"MR-full-mAP": precision}
    out = Scores(summary, [i.id for i in kept], [i.video for i in kept], columns, notes=notes)
    return without_precision(out, unscored(predictions))


def _words(hit: str, truths: str, answer: str, missing: str) -> dict[str, str]:
    return {
        "hit": hit,
        "truths": truths,
        "answer": answer,
        "reversed answer": "counts 0",
        "clipping": "none",
        "missing answer": missing,
    }


PROTOCOLS = (
    Protocol(
        "multispan",
        ("spans", "highlights", "moments", "qa"),
        score,
        "ours",
        "sets of time and one-to-one matching",
        _words("IoU >= m", "all, as a set and one to one", "all spans", "counts 0"),
        ("R1@0.3", "R1@0.5", "R1@0.7", "mIoU", "best-mIoU", "F1@0.5", "F1@0.7", "matched-mIoU"),
        percent,
    ),
    Protocol(
        "vue-tr",
        ("spans",),
        score_vue_tr,
        "equal to the original",
        "bytedance/vidi VUE_TR/qa_eval.py fc30c87084",
        _words("IoU > m; precision and recall >= m", "all, as released", "all spans, in whole seconds", "left out"),
        ("IoU", "Precision", "Recall"),
        lambda name, value: float(f"{100 * value:.1f}"),
        decimals=1,
    ),
    Protocol(
        "qv-m2",
        ("spans", "highlights"),
        score_qv_m2,
        "equal to the original",
        "Zhuo-Cao/QV-M2 standalone_eval/eval.py d5d40388a5",
        _words(
            "IoU >= m", "one to one, greedily", "first 1, 2, 3 windows; mAP: ten", "0 (the original refuses the file)"
        )
        | {"rounding": "averages of percentages already rounded to two digits, as printed there: up to 0.005 off"},
        (
            "MR-full-R1@0.3",
            "MR-full-R1@0.5",
            "MR-full-R1@0.7",
            "MR-full-mIoU@1",
            "MR-full-mAP",
            "MR-full-mAP@1_tgt",
            "MR-full-mAP@2_tgt",
            "MR-full-mAP@3+tgt",
            "MR-full-mR1",
            "MR-full-mR2",
        ),
        percent,
    ),
)
