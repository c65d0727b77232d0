"""V-STaR: what, when and where of one reasoning chain, and their means AM and LGM.

"When" is the hull IoU of seconds. "Where" looks at the annotated seconds alone: the mean over them of the box IoU at
exactly that time, 0 if no box was answered there, the best one of several objects. Extra boxes cost nothing and the
answered time does not matter, so its "m_vIoU" is not a v_IoU: the question tells the model the true seconds. AP@m is
the share of annotated seconds with IoU >= m.

AM is the mean of accuracy, m_tIoU and m_vIoU, LGM the mean of -ln(1 - x) of the three (infinite at 1). The original
has a 72-billion-parameter model judge whether a free answer is right; here an answer is right if it is the true one up
to case, spaces and a final stop, so accuracy, AM and LGM are comparable between our own runs, not with its paper. An
item without an answer to the question is skipped in "when" and "where" but counts in the accuracy, as in the original.
If no answer in the file has one, nothing is skipped and AM and LGM are not given. Each of the two chains of the
benchmark is a file of its own.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import hull_iou
from whenwhere.evaluate.temporal import look_up
from whenwhere.evaluate.tubes.boxes import Floats, blocks, boxed, clean_boxes, gather_hull, pack_keys, ratio, sums
from whenwhere.overlap import box_iou

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def answered_rightly(item: Item, prediction: Prediction | None) -> bool:
    """Whether the answer to the question is the true one, up to case, spaces and a final stop."""

    def plain(text: str) -> str:
        return " ".join(text.lower().split()).rstrip(". ")

    said = prediction.answer if prediction is not None else None
    return said is not None and item.answer is not None and plain(said) == plain(item.answer)


def spatial(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> tuple[Floats, dict[float, Floats]]:
    """Mean box IoU over the annotated seconds, and the share of them that reaches each level, shape (n,) each."""
    n = len(items)
    tables = [_annotated(i) for i in items]
    owner = np.repeat(np.arange(n), [len(t) for t in tables])
    table = np.concatenate(tables) if n else np.zeros((0, 5))
    order = np.argsort(key := pack_keys(owner, np.rint(table[:, 0] * 1000)), kind="stable")
    owner, table, key = owner[order], table[order], key[order]
    best = np.zeros(len(key))
    objects = [(i, b) for i, p in enumerate(predictions) if p is not None for b in p.boxes]
    flat = clean_boxes(boxed([b.times for _, b in objects], [b.boxes for _, b in objects]))
    item_of = np.array([i for i, _ in objects], np.int64)
    if len(flat.times) and len(key):
        asked = pack_keys(item_of[flat.owner], np.rint(flat.times * 1000))
        lo, hi = np.searchsorted(key, asked, "left"), np.searchsorted(key, asked, "right")
        given = np.repeat(np.arange(len(asked)), hi - lo)
        at = lo[given] + np.arange(len(given)) - np.repeat(np.cumsum(hi - lo) - (hi - lo), hi - lo)
        np.maximum.at(best, at, box_iou(table[at, 1:], flat.boxes[given]))
    count = sums(np.ones(len(key)), owner, n)
    levels = {m: ratio(sums((best >= m).astype(np.float64), owner, n), count) for m in LEVELS}
    return ratio(sums(best, owner, n), count), levels


def _annotated(item: Item) -> Floats:
    """Annotated second and box as released, else those of the true tube, shape (k, 5)."""
    if "boxes_at_seconds" in item.extra:
        return np.asarray(item.extra["boxes_at_seconds"], np.float64).reshape(-1, 5)
    tube = item.tubes[0] if item.tubes else None
    return np.zeros((0, 5)) if tube is None else np.concatenate([tube.times[:, None], tube.boxes], 1)


def _means(columns: Mapping[str, Floats], rows: NDArray[np.bool_], below: int) -> dict[str, float]:
    out = {}
    for name, column in columns.items():
        values = column[rows]
        if name == "Acc":
            out[name] = float(np.nansum(values) / below) if below else math.nan
        else:
            there = values[~np.isnan(values)]
            out[name] = float(there.mean()) if len(there) else math.nan
    if "Acc" in out:
        three = (out["Acc"], out["m_tIoU"], out["m_vIoU"])
        out["AM"] = sum(three) / 3
        out["LGM"] = math.inf if max(three) >= 1 else -sum(math.log(1 - x) for x in three) / 3
    return out


def _lengths(items: Sequence[Item]) -> list[str]:
    names = []
    for item in items:
        seconds = item.duration
        if item.frames and item.fps:
            seconds = round(item.frames / item.fps, 2)
        names.append("" if seconds is None else "Short" if seconds < 60 else "Medium" if seconds < 180 else "Long")
    return names


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as V-STaR does, with exact answers in place of its judge."""
    kept, predictions, notes = look_up(items, by_id)
    hull = gather_hull(predictions)
    spans = np.array([i.spans[0] if len(i.spans) else (0.0, 0.0) for i in kept]).reshape(-1, 2)
    t = np.where(np.isfinite(hull).all(1), hull_iou(spans, np.nan_to_num(hull)), 0.0)
    v, levels = np.zeros(len(kept)), {m: np.zeros(len(kept)) for m in LEVELS}
    sizes = [8 + (sum(len(b.times) for b in p.boxes) if p is not None else 0) for p in predictions]
    for block in blocks(sizes):
        v[block], part = spatial(kept[block], predictions[block])
        for m, column in part.items():
            levels[m][block] = column
    columns = {f"R1@{m}": (t >= m).astype(np.float64) for m in (0.3, 0.5, 0.7)} | {"m_tIoU": t}
    columns |= {f"AP@{m}": column for m, column in levels.items()} | {"m_vIoU": v}
    asked = np.fromiter((p is not None and bool(p.answer) for p in predictions), bool, len(kept))
    if asked.any():
        correct = np.fromiter(map(answered_rightly, kept, predictions), bool, len(kept))
        columns = {name: np.where(asked, column, np.nan) for name, column in columns.items()}
        columns = {"Acc": correct.astype(np.float64)} | columns
        notes.append("answers are compared as text: the original asks a model whether they are right")
        if number := int((~asked).sum()):
            notes.append(
                f"{number} items without an answer to the question are left out of time and space, as in the original"
            )
    else:
        notes.append("no answer to the question in this file, so Acc, AM and LGM are not given")
    everything = np.ones(len(kept), bool)
    lengths = np.array(_lengths(kept))
    groups = {}
    for name in ("Short", "Medium", "Long"):
        if (rows := lengths == name).any():
            below = int((rows & asked).sum())
            groups[name] = {"n": float(rows.sum())} | _means(columns, rows, below)
    return Scores(
        _means(columns, everything, len(kept)),
        [i.id for i in kept],
        [i.video for i in kept],
        columns,
        groups,
        notes,
    )


PROTOCOLS = (
    Protocol(
        "vstar",
        ("tubes", "qa"),
        score,
        "equal to the original",
        "V-STaR-Bench/V-STaR eval.py 1894682b15, except the judge of free answers",
        {
            "grid": "the annotated seconds",
            "truth": "the annotated boxes",
            "t": "hull, seconds",
            "v": "mean over the annotated seconds; no union in time",
            "hit": "IoU >= R",
            "missing answer": "counts 0; without an answer to the question left out of t and v",
            "missing box": "0",
            "boxes": "xyxy, no + 1; exactly at that time; the best of several",
            "objects": "the best at each second",
        },
        ("Acc", "R1@0.3", "R1@0.5", "R1@0.7", "m_tIoU", "m_vIoU", "AM", "LGM"),
        percent,
    ),
)
