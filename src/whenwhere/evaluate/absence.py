"""Null queries: how well absences are recognised, and the score over all items.

`absence` is this project's count. Rejecting is the positive decision: precision, recall (`rejection-rate`) and F1 of
the answer "absent" on items whose truth is empty, `false-rejection` on the others, the AUROC of the confidence that
something is there (ties count half), and `mIoU` over all items, where an absent thing answered as absent is 1.

`gmr` (Soccer-GMR) and `na-vmr` (Moment of Untruth) decide not by the answer but by a threshold on the score that
something is there, which is `existence` below. Both count an item as empty if it has no true span.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.average_precision import greedy_iou
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.qvhighlights import WINDOWS, answered_windows, average_precision, by_score
from whenwhere.evaluate.ragged import Floats, Ragged, cross, highest, hull_iou, quotient, ragged, total
from whenwhere.evaluate.temporal import answered, default_iou, hits, look_up, means

Mask = NDArray[np.bool_]
AT = np.array([float(f"{t:.2f}") for t in np.linspace(0.5, 0.95, 10)])


def auroc(scores: Floats, positive: Mask) -> float:
    """The probability that a positive scores higher than a negative, a tie counting half; NaN without both kinds.

    >>> auroc(np.array([.9, .5, .5, .1]), np.array([True, True, False, False]))
    0.875
    """
    yes, no = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(yes) or not len(no):
        return float("nan")
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.sum() / (2 * len(yes) * len(no)))


def existence(prediction: Prediction | None) -> float:
    """How certainly an answer claims that something is there, as a number that grows with it.

    It is the confidence of an answer, or 1 minus that of an "absent" one; without confidence the best window's score,
    else 1 for an answer and 0 for "absent". An answer that claims nothing is 0.5.
    """
    if prediction is None or prediction.status in ("unsure", "unparsed", "failed"):
        return 0.5
    if prediction.status == "absent":
        # rounded, so that a score that a file gave as 0.4 is 0.4 again and ties stay ties
        return round(1 - prediction.confidence, 12) if prediction.confidence is not None else 0.0
    if prediction.confidence is not None:
        return prediction.confidence
    if prediction.ranked is not None and len(prediction.ranked) and np.isfinite(prediction.ranked[:, 2]).any():
        return float(np.nanmax(prediction.ranked[:, 2]))
    return 1.0


def rejection(rejected: Mask, empty: Mask) -> dict[str, float]:
    """Precision, rate (recall) and F1 of rejecting, and the share of present things rejected; 0 if undefined."""
    right = float((rejected & empty).sum())
    precision = right / max(1, int(rejected.sum()))
    rate = right / max(1, int(empty.sum()))
    return {
        "rejection-rate": rate,
        "rejection-precision": precision,
        "rejection-F1": 2 * precision * rate / (precision + rate) if right else 0.0,
        "false-rejection": float((rejected & ~empty).sum()) / max(1, int((~empty).sum())),
    }


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score rejection by the answer itself, the AUROC of the confidence, and t_IoU over all items."""
    kept, predictions, notes = look_up(items, by_id)
    empty = np.array([not len(i.spans) for i in kept], bool)
    rejected = np.array([_rejects(p) for p in predictions], bool)
    iou = default_iou(kept, predictions)
    columns = {"mIoU": iou} | {f"R1@{m:g}": hits(iou, m) for m in (0.3, 0.5, 0.7)}
    out = means(kept, columns | {"right-decision": (rejected == empty) * _says(predictions)}, notes)
    out.summary |= rejection(rejected, empty)
    out.summary["AUROC"] = auroc(np.array([existence(p) for p in predictions], float), ~empty)
    for name, rows in (("present", ~empty), ("empty", empty)):
        if rows.any():
            out.groups[name] = {"n": float(rows.sum())} | {k: float(v[rows].mean()) for k, v in columns.items()}
    if not empty.any() or empty.all():
        out.notes.append("the truth is empty for all items or for none: rejection and AUROC say nothing")
    return out


def _says(predictions: Sequence[Prediction | None]) -> Floats:
    return np.array([p is not None and p.status in ("answered", "absent") for p in predictions], float)


def _rejects(prediction: Prediction | None) -> bool:
    if prediction is None or prediction.status not in ("answered", "absent"):
        return False
    return prediction.status == "absent" or not len(answered(prediction))


def score_gmr(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as Soccer-GMR does.

    Rejection at 0.4 and 0.6, AUROC and G-mIoU@k are of all items; mAP, mR@k, mR+@k, mIoU@k and mIoU+@k of present ones.
    """
    kept, found, notes = look_up(items, by_id, drop=True)
    predictions = [p for p in found if p is not None]
    truth = ragged([i.spans for i in kept])
    there = truth.counts > 0
    exists = np.array([existence(p) for p in predictions], float)
    # the original takes windows without any score for the claim that nothing is there
    silent = np.array(
        [p.confidence is None and len(w := answered_windows(p)) and np.isnan(w[:, 2]).all() for p in predictions]
    )
    if silent.any():
        exists[silent.astype(bool)] = 0.0
        notes.append(
            f"{int(silent.sum())} answers have neither a confidence nor scores: they count as 'not there', as there"
        )
    area = auroc(exists, there)
    summary = {"AUROC": 0.5 if np.isnan(area) else area}
    for tau in (0.4, 0.6):
        rates = rejection(exists <= tau, ~there)
        summary |= {
            f"Rej-F1@{tau:g}": rates["rejection-F1"],
            f"Acc@{tau:g}": float(((exists > tau) == there).mean()) if len(kept) else float("nan"),
        }
    columns: dict[str, Floats] = {}
    ranked = ragged([answered_windows(p) for p in predictions], 3)
    spans = Ragged(ranked.rows[:, :2], ranked.starts)
    # Only the end-to-end score drops windows without length and everything below the threshold.
    good = (ranked.rows[:, 1] > ranked.rows[:, 0]) & (exists > 0.4)[ranked.owner]
    gated = spans.keep(good).head(WINDOWS)
    for k in (1, 3, 5):
        head = gated.head(k)
        value, _ = greedy_iou(head, truth, np.array([0.0]), first=True)
        pairs = total((value[:, 0] >= 0).astype(float), head.owner, len(kept))
        iou = total(value[:, 0].clip(0), head.owner, len(kept))
        whole = head.counts + truth.counts - pairs
        columns[f"G-mIoU@{k}"] = np.where((head.counts == 0) & ~there, 1.0, quotient(iou, whole))
    out = means(kept, columns, notes)
    mine, theirs = spans.keep(there[spans.owner]), truth
    first_ten = by_score(ranked.head(WINDOWS))
    summary["mAP"] = _mean(average_precision(first_ten, truth)[there])
    several = truth.counts >= 2
    for k in (1, 3, 5):
        head = mine.head(k)
        value, _ = greedy_iou(head, theirs, AT, first=True)
        pairs = np.stack([total((v >= 0).astype(float), head.owner, len(kept)) for v in value.T], 1)
        forced = greedy_iou(head, theirs, np.array([-1.0]), first=True)[0][:, 0]
        count = total((forced >= 0).astype(float), head.owner, len(kept))
        sums = total(forced.clip(0), head.owner, len(kept))
        best = highest(forced.clip(0), head.owner, len(kept))
        size = truth.counts[:, None]
        summary |= {
            f"mR@{k}": _mean((pairs / np.maximum(size, 1))[there]),
            f"mR+@{k}": _mean(((pairs - 1).clip(0) / np.maximum(size - 1, 1))[several]),
            f"mIoU@{k}": _mean((sums / np.maximum(count, 1))[there]),
            f"mIoU+@{k}": _mean(((sums - best) / np.maximum(count - 1, 1) * (count > 1))[several]),
        }
    out.summary = summary | out.summary
    return out


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0


def score_na_vmr(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as Moment of Untruth does: rejection at 0.5, and R1@m, where a rejected present thing is a miss."""
    kept, predictions, notes = look_up(items, by_id, drop=True)
    # The original writes the empty truth as one window [0, 0].
    empty = np.array([not len(i.spans) or bool((i.spans == 0).all()) for i in kept], bool)
    accepted = np.array([existence(p) >= 0.5 for p in predictions], bool)
    top, truth = ragged([answered_windows(p)[:1, :2] for p in predictions]), ragged([i.spans for i in kept])
    i, j, owner = cross(top, truth)
    iou = highest(hull_iou(top.rows[i], truth.rows[j]), owner, len(kept)) * accepted
    out = Scores({}, [i.id for i in kept], [i.video for i in kept], {}, notes=notes)
    out.summary = {f"R1@{m:g}": _mean(hits(iou, m, strict=True)[~empty]) for m in (0.3, 0.5, 0.7)}
    out.summary["rejection-rate"] = _mean((~accepted[empty]).astype(float))
    return out


def _words(hit: str, decision: str, missing: str) -> dict[str, str]:
    return {
        "hit": hit,
        "truths": "all",
        "answer": decision,
        "reversed answer": "counts 0",
        "clipping": "none",
        "missing answer": missing,
    }


TASKS = ("spans", "highlights", "qa")

PROTOCOLS = (
    Protocol(
        "absence",
        TASKS,
        score,
        "ours",
        "rejection by the answer, AUROC, t_IoU with empty sets",
        _words("IoU >= m", "absent, or spans as a set", "0; rejects nothing"),
        ("R1@0.3", "R1@0.5", "R1@0.7", "mIoU", "rejection-rate", "rejection-F1", "false-rejection", "AUROC"),
        percent,
    ),
    Protocol(
        "gmr",
        TASKS,
        score_gmr,
        "equal to the original",
        "dymm9977/generalized-moment-retrieval eval/ 922515c4fe",
        _words("IoU >= m, one to one, greedily", "there if the score > 0.4; windows as written", "left out"),
        ("AUROC", "Rej-F1@0.4", "G-mIoU@1", "G-mIoU@3", "mAP", "mR@1", "mR@3", "mIoU@1"),
        percent,
    ),
    Protocol(
        "na-vmr",
        TASKS,
        score_na_vmr,
        "equal to the original",
        "keflanagan/MomentofUntruth UniVTG-NA/negative_aware_results.py ac2adcdd56",
        _words("IoU > m with the best", "there if the score >= 0.5; first window", "left out"),
        ("rejection-rate", "R1@0.3", "R1@0.5", "R1@0.7"),
        percent,
    ),
)
