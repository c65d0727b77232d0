"""QVHighlights: moments (MR) and highlights (HL) as the authors' `standalone_eval` counts them.

MR-R1 takes the first window as written against the true window with the highest IoU. MR-mAP takes the first ten
windows, sorts them by score and averages a per-query AP. `short`, `middle` and `long` keep only the true windows of
up to 10, 30 and more seconds, and the queries that have such a window. HL compares clip scores with three
annotators' votes at three levels: AP per annotator, and whether the clip with the highest score is liked by any.

The names of measures and the two printed digits are the original's; R1@0.3 and mIoU of the same first windows, which
the original does not print and later papers do, are added under names of its kind. A missing answer counts 0 here,
where the original stops with an assertion; queries without any true window, which the original cannot score, count 1
for the answer "absent" (`null-query` benchmarks), and the notes say so. Windows without scores have an R1 and no mAP:
the original sorts by score and stops at a window that has none.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.average_precision import interpolated, sum_iou, true_positives
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import Floats, Ragged, cross, highest, hull_iou, ragged
from whenwhere.evaluate.temporal import look_up

THRESHOLDS = np.array([float(f"{t:.2f}") for t in np.linspace(0.5, 0.95, 10)])
#: Name → (shortest excluded, longest included) length of a true window in seconds.
LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0)}
#: Name of the level → lowest vote of a positive clip.
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}
CLIP = 2
WINDOWS = 10
#: Clips that are compared at a time, each with a few hundred bytes of working memory.
CLIPS = 1_000_000
NOTHING = np.zeros((0, 3))


def answered_windows(prediction: Prediction | None) -> Floats:
    """The windows of an answer as written: start, end, score, shape (k, 3); the scores are NaN if there are none."""
    if prediction is None or prediction.status != "answered":
        return NOTHING
    if prediction.ranked is not None:
        return prediction.ranked
    return np.concatenate([prediction.spans, np.full((len(prediction.spans), 1), np.nan)], 1)


def unscored(predictions: Sequence[Prediction | None]) -> int:
    """The number of answers with a window that has no score; with one of them there is no average precision."""
    return sum(not np.isfinite(answered_windows(p)[:, 2]).all() for p in predictions)


def without_precision(scores: Scores, number: int) -> Scores:
    """The scores without their average precisions, with a note that says why.

    Args:
        scores: The scores of answers, whose average precisions have `-mAP` in their names.
        number: The number of answers that have windows without a score; the scores are unchanged if it is 0.
    """
    if not number:
        return scores
    scores.summary = {name: value for name, value in scores.summary.items() if "-mAP" not in name}
    scores.items = {name: column for name, column in scores.items.items() if "-mAP" not in name}
    for group, found in scores.groups.items():
        scores.groups[group] = {name: value for name, value in found.items() if "-mAP" not in name}
    scores.notes.append(
        f"{number} answers have windows without a score, so there is no mAP: it needs [start, end, score]"
    )
    return scores


def by_score(answers: Ragged) -> Ragged:
    """Start and end of each window, best score first in each list; equal scores stay in written order."""
    order = np.lexsort((-answers.rows[:, 2], answers.owner))
    return Ragged(answers.rows[order, :2], answers.starts)


def average_precision(answers: Ragged, truth: Ragged, thresholds: Floats = THRESHOLDS) -> Floats:
    """AP of each query's ranked windows, shape (n, t); 0 without a true window."""
    hit, _ = true_positives(answers, truth, thresholds)
    n, deep = len(truth.starts) - 1, max(1, int(answers.counts.max(initial=0)))
    dense = np.zeros((n, deep, len(thresholds)), bool)
    owner = answers.owner
    dense[owner, np.arange(len(owner)) - answers.starts[:-1][owner]] = hit
    return interpolated(dense, np.maximum(truth.counts, 1))


def first_window(answers: Ragged, truth: Ragged) -> Floats:
    """IoU of the first window with the true window that it overlaps most, shape (n,); 0 without one."""
    top = answers.head(1)
    i, j, owner = cross(top, truth)
    a, b = top.rows[i, :2], truth.rows[j]
    overlap = sum_iou(a, b)
    # The true window is chosen by one formula of IoU and scored by another, as in the original; they differ in
    # the last bit only.
    n = len(truth.starts) - 1
    best = overlap >= highest(overlap, owner, n, -1.0)[owner]
    place = np.where(best, np.arange(len(i)), len(i))
    out = np.zeros(n)
    if len(i):
        starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
        chosen = np.minimum.reduceat(place, starts)
        out[owner[chosen]] = hull_iou(a[chosen], b[chosen])
    return out


def votes(items: Sequence[Item]) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Votes 0-4 of three annotators for each two-second clip, shape (n, c, 3), and the number of clips, shape (n,)."""
    clips = np.array([int((i.duration or 0) / CLIP) for i in items], np.intp)
    out = np.zeros((len(items), int(clips.max(initial=0)), 3), np.int8)
    for row, item in enumerate(items):
        ids = item.extra.get("relevant_clip_ids")
        if ids is not None and len(ids):
            out[row, np.asarray(ids, np.intp)] = item.extra["saliency_scores"]
    return out, clips


def clip_scores(
    predictions: Sequence[Prediction | None], clips: NDArray[np.intp], width: int
) -> tuple[Floats, NDArray[np.intp]]:
    """Scores of the clips, shape (n, width), and the clip with the highest of all answered scores, shape (n,).

    Clips without a score have 0, columns after the last clip -inf; an answer without scores has NaN and clip -1.
    """
    out = np.zeros((len(predictions), width))
    top = np.full(len(predictions), -1, np.intp)
    for row, prediction in enumerate(predictions):
        if prediction is None or prediction.curve is None or not len(prediction.curve[2]):
            out[row] = np.nan
            continue
        values = prediction.curve[2]
        top[row] = int(np.argmax(values))
        out[row, : len(values)] = values[:width]
    out[np.arange(width) >= clips[:, None]] = -np.inf
    return out, top


def highlight_precision(scores: Floats, liked: NDArray[np.bool_]) -> Floats:
    """AP of clips sorted by score, per annotator and level, shape (n, ...).

    Clips of one score are one step. As in the original, the mean runs over the *steps* at which a liked clip is found,
    not over the liked clips.

    Args:
        scores: Scores of the clips, shape (n, c), -inf after the last clip.
        liked: Mask of the positive clips, shape (n, c, ...).
    """
    n, c = scores.shape
    shape = liked.shape[2:]
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1)
    found = np.cumsum(np.take_along_axis(liked.reshape(n, c, -1), order[:, :, None], 1), axis=1, dtype=np.int32)
    last = np.concatenate([ranked[:, 1:] != ranked[:, :-1], np.ones((n, 1), bool)], 1)[:, :, None]
    precision = np.where(last, found / np.arange(1, c + 1)[None, :, None], 0.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # the number found up to the end of the step before this one
    before = np.maximum.accumulate(np.where(last, found, 0), axis=1)
    before = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], 1)
    step = last & (found > before)
    count = step.sum(1)
    area = np.where(step, envelope, 0.0).sum(1)
    return np.divide(area, count, out=np.zeros(area.shape), where=count > 0).reshape(n, *shape)


def moments(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> tuple[Scores, int]:
    """The moment half (MR) of the score, and the number of items without a true window."""
    answers = ragged([answered_windows(p)[:WINDOWS] for p in predictions], 3)
    first, ranked = Ragged(answers.rows[:, :2], answers.starts), by_score(answers)
    truth = ragged([i.spans for i in items])
    summary: dict[str, float] = {}
    groups: dict[str, dict[str, float]] = {}
    columns: dict[str, Floats] = {}
    absent = np.fromiter((p is not None and p.status == "absent" for p in predictions), bool, len(items))
    length = truth.rows[:, 1] - truth.rows[:, 0]
    for name, (low, high) in {**LENGTHS, "full": (-np.inf, np.inf)}.items():
        kept = truth.keep((low < length) & (length <= high))
        rows = np.ones(len(items), bool) if name == "full" else kept.counts > 0
        iou, precision = first_window(first, kept), average_precision(ranked, kept)
        if name == "full":
            empty = kept.counts == 0
            iou[empty] = absent[empty]
            precision[empty] = absent[empty, None]
        found = {f"R1@{t:g}": (iou >= t).astype(float) for t in (0.3, *THRESHOLDS)} | {"mIoU": iou}
        # Rows are added up one after the other, as in the original's mean over queries: the last bit decides ties.
        area = precision[rows].mean(0) if rows.any() else np.full(len(THRESHOLDS), np.nan)
        means = {m: float(v[rows].mean()) if rows.any() else float("nan") for m, v in found.items()}
        means |= {f"mAP@{t:g}": float(v) for t, v in zip(THRESHOLDS, area, strict=True)}
        means["mAP"] = float(np.mean(area))
        summary |= {f"MR-{name}-{m}": v for m, v in means.items()}
        if name == "full":
            columns |= {f"MR-full-{m}": v for m, v in found.items()}
            columns |= {f"MR-full-mAP@{t:g}": precision[:, k] for k, t in enumerate(THRESHOLDS)}
            columns["MR-full-mAP"] = precision.mean(1)
        else:
            # NaN leaves a query out of the mean, and so out of its interval
            columns[f"MR-{name}-mAP"] = np.where(rows, precision.mean(1), np.nan)
            groups[name] = {"n": float(rows.sum())} | {f"MR-{m}": v for m, v in means.items()}
    return Scores(summary, items=columns, groups=groups), int((truth.counts == 0).sum())


def highlights(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> dict[str, Floats]:
    """The highlight half (HL): AP (mean over annotators) and HIT@1 for each level, shape (n,) each."""
    names = [f"HL-min-{level}-{measure}" for measure in ("mAP", "Hit1") for level in LEVELS]
    columns = {name: np.zeros(len(items)) for name in names}
    for rows in _alike(items):
        part = _highlights([items[row] for row in rows], [predictions[row] for row in rows])
        for name in names:
            columns[name][rows] = part[name]
    return columns


def _alike(items: Sequence[Item]) -> Iterator[list[int]]:
    """Groups of items of about the same length, padded to at most `CLIPS` clips, so that no long one widens all."""
    clips = [int((item.duration or 0) / CLIP) for item in items]
    group: list[int] = []
    for row in sorted(range(len(items)), key=clips.__getitem__):
        if group and (len(group) + 1) * clips[row] > CLIPS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _highlights(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> dict[str, Floats]:
    vote, clips = votes(items)
    scores, top = clip_scores(predictions, clips, vote.shape[1])
    given = top >= 0
    liked = np.stack([vote >= lowest for lowest in LEVELS.values()], -1)
    precision = np.zeros((len(items), len(LEVELS)))
    hit = np.zeros((len(items), len(LEVELS)))
    if vote.shape[1]:
        precision[given] = highlight_precision(scores[given], liked[given]).mean(1)
        inside = given & (top < clips)
        hit[inside] = liked[np.flatnonzero(inside), top[inside]].any(1)
    columns = {f"HL-min-{level}-mAP": precision[:, k] for k, level in enumerate(LEVELS)}
    return columns | {f"HL-min-{level}-Hit1": hit[:, k] for k, level in enumerate(LEVELS)}


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score everything that the authors' evaluator prints; HL only if both votes and clip scores are given."""
    kept, predictions, notes = look_up(items, by_id)
    out, empty = moments(kept, predictions)
    if empty:
        notes.append(f"{empty} items have no true window, which the original cannot score: 1 for an answer 'absent'")
    without_precision(out, unscored(predictions))
    voted = any("saliency_scores" in i.extra for i in kept)
    if voted and any(p is not None and p.curve is not None for p in predictions):
        columns = highlights(kept, predictions)
        out.items |= columns
        out.summary |= {name: float(column.mean()) for name, column in columns.items()}
        if without := sum(p is not None and p.curve is None for p in predictions):
            notes.append(f"{without} answers have no clip scores: HL counts them 0")
    out.ids, out.videos, out.notes = [i.id for i in kept], [i.video for i in kept], notes + out.notes
    return out


PROTOCOLS = (
    Protocol(
        "qvhighlights",
        ("highlights", "spans"),
        score,
        "equal to the original",
        "jayleicn/moment_detr standalone_eval/eval.py b7e553ac3b",
        {
            "hit": "IoU >= m",
            "truths": "R1: the one with the highest IoU; mAP: matched one to one",
            "answer": "R1: first as written; mAP: first ten, by score",
            "reversed answer": "counts 0",
            "clipping": "none",
            "missing answer": "counts 0 (the original refuses the file)",
        },
        (
            "MR-full-R1@0.3",
            "MR-full-R1@0.5",
            "MR-full-R1@0.7",
            "MR-full-mIoU",
            "MR-full-mAP",
            "MR-full-mAP@0.5",
            "MR-full-mAP@0.75",
            "MR-short-mAP",
            "MR-middle-mAP",
            "MR-long-mAP",
            "HL-min-VeryGood-mAP",
            "HL-min-VeryGood-Hit1",
        ),
        percent,
    ),
)
