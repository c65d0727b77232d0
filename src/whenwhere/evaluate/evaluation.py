"""The evaluation of one file of answers: a named protocol's score, and everything reported beside it.

The protocol alone decides the number. Beside it are reported, under the same protocol: constant answers, a blind run
and swapped answers; and, whatever the protocol: intervals (bootstrap over videos), failure modes, for tubes what is
lost in time and what in space, and every fault of the file of answers. A fault never leaves an item out: an item
without a readable answer counts as wrong, and the report says how many there were.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.evaluate.diagnostics import Choices, by_type, diagnostics
from whenwhere.evaluate.formats.intake import some
from whenwhere.evaluate.prediction import Prediction, PredictionFault, Predictions
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.tasks import TASKS, Task
from whenwhere.stats import Interval, bootstrap_means, jackknife

#: Groups of videos that are left out in turn, for measures that are not means over items.
GROUPS = 30
#: Smallest number of videos for a jackknife: with fewer its interval says nothing.
FEWEST_VIDEOS = 10
#: Pooled measures that may exceed 1.
UNBOUNDED = ("LGM",)
#: Number of faults of the blind file that are reported.
BLIND_FAULTS = 3


@dataclass(slots=True)
class ResultRow:
    """The score of some answers under the protocol of a report.

    Attributes:
        name: Name of the row.
        how: What the answers are, in words.
        items: Number of items scored.
        summary: Measure → value.
        kind: `answers`, `constant`, `blind` or `swap`.
    """

    name: str
    how: str
    items: int
    summary: dict[str, float]
    kind: str


@dataclass(slots=True)
class Report:
    """Everything that was found out about one file of answers.

    Attributes:
        benchmark: The benchmark.
        protocol: The protocol that counted.
        files: Role → path: annotations, predictions, and train and blind if they were given.
        format: Name of the format of the predictions.
        scores: The protocol's own result.
        intervals: 95 % intervals: of means over items by resampling videos, of other headline measures from `without`.
        without: Headline measures that are not means over items (pooled ones) → their values without each group of
            videos in turn.
        decomposition: t, s and v of tubes, with the truth in place of one of them; None for other tasks, and if no item
            has a true box.
        rows: The scores beside each other, the file's own answers first.
        diagnostics: Failure mode → value.
        types: Query type → failure mode → value.
        status: Status of an answer → number of items.
        faults: Faults of the file of answers, in its order.
        notes: What a reader must know.
        choices: First choices and the truths closest to them, as arrays over `ids`; None if an answer is not a time.
        ids: Ids of all items.
        videos: Number of different videos.
        seed: Seed of the resampling and of the swaps.
        resamples: Number of bootstrap resamples.
        items: The items, in the order of `ids`.
    """

    benchmark: Benchmark
    protocol: Protocol
    files: dict[str, str]
    format: str
    scores: Scores
    intervals: dict[str, Interval]
    without: dict[str, NDArray[np.float64]]
    decomposition: Scores | None
    rows: list[ResultRow]
    diagnostics: dict[str, float]
    types: dict[str, dict[str, float]]
    status: dict[str, int]
    faults: list[PredictionFault]
    notes: list[str]
    choices: Choices | None
    ids: list[str]
    videos: int
    seed: int
    resamples: int
    items: Sequence[Item] = field(default_factory=list)

    @property
    def headline(self) -> list[str]:
        """The measures to print first: the protocol's own choice, as far as they were measured."""
        return [name for name in self.protocol.headline if name in self.scores.summary] or list(self.scores.summary)[:6]

    @property
    def groups(self) -> int:
        """The number of groups of videos that the jackknife leaves out in turn."""
        return min(GROUPS, self.videos)

    @property
    def counted(self) -> str:
        """The number of items and videos, and how many items the protocol counted, if its original leaves some out."""
        scored, items = len(self.scores.ids), len(self.ids)
        of = f"{items} items of {self.videos} video{'s' * (self.videos != 1)}"
        return of if scored == items else f"{scored} counted of {of}"

    def data(self) -> dict[str, Any]:
        """The report as one JSON object: fractions in 0-1, unrounded, null for a number without meaning."""
        printed = {name: self.protocol.printed(name, value) for name, value in self.scores.summary.items()}
        return json_values(
            {
                "version": 1,
                "benchmark": self.benchmark.name,
                "protocol": {
                    "name": self.protocol.name,
                    "standing": self.protocol.standing,
                    "source": self.protocol.source,
                    "counts": self.protocol.counts,
                },
                "files": self.files,
                "format": self.format,
                "items": len(self.ids),
                "scored": len(self.scores.ids),
                "videos": self.videos,
                "summary": self.scores.summary,
                "printed": printed,
                "intervals": {name: [i.low, i.high] for name, i in self.intervals.items()},
                "jackknife": {"measures": list(self.without), "groups": self.groups} if self.without else None,
                "bootstrap": {"resamples": self.resamples, "seed": self.seed, "clusters": "video", "level": 0.95},
                "rows": [
                    {"name": r.name, "kind": r.kind, "how": r.how, "items": r.items, "summary": r.summary}
                    for r in self.rows
                ],
                "groups": self.scores.groups,
                "decomposition": self.decomposition
                and {"all": self.decomposition.summary, **self.decomposition.groups},
                "diagnostics": self.diagnostics,
                "types": self.types,
                "status": self.status,
                "faults": [{"where": f.where, "kind": f.kind, "message": f.message} for f in self.faults],
                "notes": self.notes,
            }
        )

    def item_rows(self) -> list[dict[str, Any]]:
        """One row for each item: the answer, the truth closest to it, and every per-item measure.

        Items that the protocol's original leaves out keep their row, with null for its measures.
        """
        place = {id: i for i, id in enumerate(self.scores.ids)}
        rows = []
        for n, id in enumerate(self.ids):
            row: dict[str, Any] = {"id": id}
            if self.items[n].type:
                row["type"] = self.items[n].type
            if self.choices is not None:
                c = self.choices
                row |= {"status": c.status[n], "duration": float(c.duration[n])}
                row |= {"answer": c.answer[n].tolist(), "truth": c.truth[n].tolist(), "t_IoU": float(c.iou[n])}
            k = place.get(id)
            row |= {name: None if k is None else float(v[k]) for name, v in self.scores.items.items()}
            if self.decomposition is not None:
                # of one item, the symbols without the m that stands for the mean
                row |= {s: float(self.decomposition.items[f"m_{s}IoU"][n]) for s in "tsv"}
            rows.append(json_values(row))
        return rows


def assess(
    benchmark: Benchmark,
    protocol: Protocol,
    items: Sequence[Item],
    found: Predictions,
    *,
    train: Sequence[Item] | None = None,
    blind: Predictions | None = None,
    files: dict[str, str] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Report:
    """Evaluate answers that were read already.

    Args:
        benchmark: The benchmark of the items; its task decides what is reported beside the score.
        protocol: How to count.
        items: The questions with their truth.
        found: The answers.
        train: Training items, on which constant answers are fitted.
        blind: Answers made without showing the model any picture.
        files: Role → path, for the report.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap and of the swaps.
    """
    task, answers = TASKS[benchmark.task], found.by_id
    scores = protocol.score(items, answers)
    notes = [*([found.strangers] if found.strangers else []), *scores.notes, *_odd_truth(task, items)]
    rows = [ResultRow("these answers", found.path, len(scores.ids), scores.summary, "answers")]
    rows += _baselines(task, protocol, items, train)
    if blind is not None:
        rows.append(_row(protocol, "blind", f"no pictures shown: {blind.path}", items, blind.by_id, "blind"))
        notes += [f"blind: {fault.message}" for fault in blind.faults[:BLIND_FAULTS]]
        if len(blind.faults) > BLIND_FAULTS:
            notes.append(f"blind: {len(blind.faults) - BLIND_FAULTS} more faults of {blind.path}")
    boxed = any(len(tube) for item in items for tube in item.tubes)
    if task.boxed and not boxed:
        notes.append(
            f"no item of {(files or {}).get('annotations', benchmark.title)} has a true box, so measures of boxes say "
            f"nothing: give {benchmark.files}"
        )
    sure = intervals(scores, resamples, seed)
    pooled = [name for name in protocol.headline if name in scores.summary and name not in sure]
    without = leave_out(protocol, items, answers, pooled, seed) if task.jackknife else {}
    sure |= {name: possible(name, jackknife(scores.summary[name], values)) for name, values in without.items()}
    rows += _controls(task, protocol, items, answers, seed)
    choices = task.choices(items, answers) if task.choices else None
    return Report(
        benchmark=benchmark,
        protocol=protocol,
        files=files or {"predictions": found.path},
        format=found.format,
        scores=scores,
        intervals=sure,
        without=without,
        decomposition=task.decomposition(items, answers) if task.decomposition and boxed else None,
        rows=rows,
        diagnostics={} if choices is None else diagnostics(items, answers),
        types={} if choices is None else by_type(items, answers),
        status=_statuses(task, items, answers),
        faults=found.faults,
        notes=notes,
        choices=choices,
        ids=[item.id for item in items],
        items=items,
        videos=len({item.video for item in items}),
        seed=seed,
        resamples=resamples,
    )


def intervals(scores: Scores, resamples: int, seed: int) -> dict[str, Interval]:
    """95 % intervals of every measure that is a mean over items; for the others (a pooled mAP) see `leave_out`."""
    names = [name for name, column in scores.items.items() if name in scores.summary and len(column)]
    if not names:
        return {}
    found = bootstrap_means(np.stack([scores.items[name] for name in names], 1), scores.videos, resamples, seed)
    return {
        name: Interval(scores.summary[name], interval.low, interval.high)
        for name, interval in zip(names, found, strict=True)
        # a protocol's own rounding may differ from the mean, another way of averaging differs more
        if math.isclose(interval.mean, scores.summary[name], abs_tol=1e-3)
    }


def leave_out(
    protocol: Protocol, items: Sequence[Item], answers: Mapping[str, Prediction], names: Sequence[str], seed: int
) -> dict[str, NDArray[np.float64]]:
    """The values of measures without each of `GROUPS` random groups of videos in turn, shape (groups,) each."""
    videos = list(dict.fromkeys(item.video for item in items))
    if not names or len(videos) < FEWEST_VIDEOS:
        return {}
    groups = min(GROUPS, len(videos))
    place = dict(zip(videos, (np.random.default_rng(seed).permutation(len(videos)) % groups).tolist(), strict=True))
    group = [place[item.video] for item in items]
    found: dict[str, list[float]] = {name: [] for name in names}
    for g in range(groups):
        out = {key for item, k in zip(items, group, strict=True) if k == g for key in (item.id, item.video)}
        kept = [item for item, k in zip(items, group, strict=True) if k != g]
        summary = protocol.score(kept, {id: given for id, given in answers.items() if id not in out}).summary
        for name in names:
            found[name].append(summary.get(name, math.nan))
    return {name: np.array(values) for name, values in found.items()}


def possible(name: str, interval: Interval) -> Interval:
    """The interval cut to values that the measure can have; near their ends a symmetric interval reaches beyond.

    >>> possible("AUROC", Interval(0.95, 0.85, 1.05))
    Interval(mean=0.95, low=0.85, high=1.0)
    """
    top = math.inf if name in UNBOUNDED else 1.0
    return Interval(interval.mean, max(interval.low, 0.0), min(interval.high, top))


def _odd_truth(task: Task, items: Sequence[Item]) -> list[str]:
    """What is odd about the truth and still counts, in words: empty sentences, spans that start before the video."""
    said = []
    blank = sum(not item.query.strip() for item in items)
    # in some sets (tracking, retrieval) nothing is asked in words
    if 0 < blank < len(items):
        said.append(f"{blank} items have an empty sentence and stay in the denominator")
    early = [item.id for item in items if task.timed and (item.spans[:, 0] < 0).any()]
    if early:
        said.append(f"{len(early)} true spans start before their video's start and count as written ({some(early)})")
    return said


def _row(
    protocol: Protocol, name: str, how: str, items: Sequence[Item], answers: Mapping[str, Prediction], kind: str
) -> ResultRow:
    scores = protocol.score(items, answers)
    return ResultRow(name, how, len(scores.ids), scores.summary, kind)


def _baselines(task: Task, protocol: Protocol, items: Sequence[Item], train: Sequence[Item] | None) -> list[ResultRow]:
    rows = []
    for constant in task.baselines(items, train):
        if constant.summary is not None:
            rows.append(ResultRow(constant.name, constant.how, len(items), constant.summary, "constant"))
            continue
        key = task.answered or (lambda item: item.id)
        able = [item for item in items if key(item) in constant.answers]
        how = constant.how
        if len(able) < len(items):
            how += f"; scored on the {len(able)} of {len(items)} items for which there is such an answer"
        if able:
            row = _row(protocol, constant.name, how, able, constant.answers, "constant")
        else:
            # a zero would say that the answer was tried and is bad
            row = ResultRow(constant.name, how, 0, dict.fromkeys(protocol.headline, math.nan), "constant")
        row.summary = {name: value for name, value in row.summary.items() if name not in constant.undefined}
        rows.append(row)
    return rows


def _controls(
    task: Task, protocol: Protocol, items: Sequence[Item], answers: Mapping[str, Prediction], seed: int
) -> list[ResultRow]:
    """The scores of swapped answers; where only some items take part, the file's own score on them before it."""
    rows = []
    for control in task.controls:
        swap = control(items, answers, seed)
        if swap is None:
            continue
        if len(swap.items) < len(items):
            own = {item.id: answers[item.id] for item in swap.items if item.id in answers}
            how = f"the file's own answers to the items of the {swap.name}"
            rows.append(_row(protocol, "these answers, there", how, swap.items, own, "swap"))
        rows.append(_row(protocol, swap.name, swap.how, swap.items, swap.answers, "swap"))
    return rows


def _statuses(task: Task, items: Sequence[Item], answers: Mapping[str, Prediction]) -> dict[str, int]:
    keys = [item.id for item in items] if task.answered is None else dict.fromkeys(map(task.answered, items))
    given = [answers[key].status if key in answers else "missing" for key in keys]
    return {status: given.count(status) for status in dict.fromkeys(given)}


def json_values(value: Any) -> Any:
    """The value as JSON can hold it: without numpy types, with null for NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(k): json_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
