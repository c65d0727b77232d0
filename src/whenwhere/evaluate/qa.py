"""Question answering with evidence in time: whether the choice is right, whether the time is right, and both.

IoP (intersection over prediction) measures how much of the answered time is evidence, IoU also how much of the evidence
was answered; several true spans are alternatives, and the best counts. `Acc@GQA` is NExT-GQA's measure: the choice is
right and IoP is at least 0.5. `Acc@IoU0.5` is ReXTime's: the choice is right and IoU is at least 0.5.

Choices are compared as options: "B", "(b)" and the text of the second option are the same answer. If an item has no
options, texts are compared without case and outer spaces. A zero-length answer inside the evidence has IoP 1 and IoU 0,
as in NExT-GQA's own code.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from whenwhere.datasets.choices import option
from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.qvhighlights import first_window
from whenwhere.evaluate.ragged import Floats, cross, highest, hull_iou, quotient, ragged, shared
from whenwhere.evaluate.temporal import choices, hits, look_up, means


def chosen_rightly(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> Floats:
    """1.0 where the chosen option is the true one, shape (n,); an item or answer without a choice is 0."""
    out = np.zeros(len(items))
    for row, (item, prediction) in enumerate(zip(items, predictions, strict=True)):
        if prediction is not None and prediction.status != "failed" and item.answer is not None:
            out[row] = option(prediction.answer, item.options) == option(item.answer, item.options)
    return out


def precision_and_iou(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> tuple[Floats, Floats]:
    """IoP and IoU of the first choice, each with the true span that is best for it, shape (n,) each."""
    top = ragged([choices(p) for p in predictions]).head(1)
    truth = ragged([i.spans for i in items])
    i, j, owner = cross(top, truth)
    a, b = top.rows[i], truth.rows[j]
    length = a[:, 1] - a[:, 0]
    inside = (length == 0) & (b[:, 0] <= a[:, 0]) & (a[:, 0] <= b[:, 1])
    iop = np.where(inside, 1.0, quotient(shared(a, b), length))
    return highest(iop, owner, len(items)), highest(hull_iou(a, b), owner, len(items))


def score(items: Sequence[Item], by_id: Mapping[str, Prediction], drop: bool = False) -> Scores:
    """Score accuracy, mIoP, mIoU, hits and the joint measures; accuracy only if the items have answers."""
    kept, predictions, notes = look_up(items, by_id, drop)
    iop, iou = precision_and_iou(kept, predictions)
    columns: dict[str, Floats] = {}
    if any(i.answer is not None for i in kept):
        correct = chosen_rightly(kept, predictions)
        columns |= {"Acc": correct, "Acc@GQA": correct * hits(iop, 0.5), "Acc@IoU0.5": correct * hits(iou, 0.5)}
        if unanswered := sum(i.answer is None for i in kept):
            notes.append(f"{unanswered} items have no right answer in the release and count as wrong")
        if silent := sum(p is not None and p.answer is None for p in predictions):
            notes.append(f"{silent} answers choose nothing and count as wrong")
    columns |= {"mIoP": iop, "IoP@0.3": hits(iop, 0.3), "IoP@0.5": hits(iop, 0.5)}
    columns |= {"mIoU": iou, "IoU@0.3": hits(iou, 0.3), "IoU@0.5": hits(iou, 0.5)}
    return means(kept, columns, notes)


def score_rextime(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as ReXTime does: R1@m and mIoU of the first window, accuracy, and accuracy with an IoU of 0.3, 0.5, 0.7."""
    kept, predictions, notes = look_up(items, by_id)
    iou = first_window(ragged([choices(p) for p in predictions]), ragged([i.spans for i in kept]))
    columns = {"mIoU": iou} | {f"R1@{m:g}": hits(iou, m) for m in (0.3, 0.5, 0.7)}
    if any(i.answer is not None for i in kept):
        correct = chosen_rightly(kept, predictions)
        columns |= {"Acc": correct} | {f"Acc@IoU{m:g}": correct * hits(iou, m) for m in (0.3, 0.5, 0.7)}
    return means(kept, columns, notes)


def one_digit(name: str, value: float) -> float:
    """The value in percent with one digit, as NExT-GQA's code prints it."""
    return float(f"{100 * value:.1f}")


def rextime_digits(name: str, value: float) -> float:
    """The value in percent with two digits; accuracies are printed as unrounded fractions."""
    return value if name.startswith("Acc") else percent(name, value)


def _counts(missing: str, iou: str = "IoU >= m; IoP >= m") -> dict[str, str]:
    return {
        "hit": iou,
        "truths": "the best of several",
        "answer": "first choice, and the chosen option",
        "reversed answer": "counts 0",
        "clipping": "none",
        "missing answer": missing,
    }


HEADLINE = ("Acc@GQA", "Acc", "mIoP", "IoP@0.3", "IoP@0.5", "mIoU", "IoU@0.3", "IoU@0.5")

PROTOCOLS = (
    Protocol("qa", ("qa",), score, "ours", "NExT-GQA's and ReXTime's measures", _counts("counts 0"), HEADLINE, percent),
    Protocol(
        "next-gqa",
        ("qa",),
        partial(score, drop=True),
        "equal to the original",
        "doc-doc/NExT-GQA code/TempGQA/eval_ground.py 63772e0256",
        _counts("left out"),
        HEADLINE,
        one_digit,
        decimals=1,
    ),
    Protocol(
        "rextime",
        ("qa",),
        score_rextime,
        "equal to the original",
        "ReXTime/ReXTime evaluation/rextime_eval.py cb9f484110",
        _counts("0 (the original refuses the file)", "IoU >= m"),
        ("R1@0.3", "R1@0.5", "mIoU", "Acc", "Acc@IoU0.5"),
        rextime_digits,
    ),
)
