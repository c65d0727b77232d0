"""One call from files to a report: annotations, answers, a named protocol, and all that stands beside the number.

The protocol alone decides the number. Beside it stand, made by the same protocol on other answers: the constants, a
blind run and the swaps; and, whatever the protocol: intervals (bootstrap over videos), failure modes, for tubes what
is lost in time and what in space, and every fault of the file of answers. A fault is never a reason to leave an item
out: what has no readable answer is wrong, and how many were is said.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.benchmark import Benchmark, read_items
from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.evaluate.constants import constants
from whenwhere.evaluate.diagnostics import Choices, by_type, diagnostics
from whenwhere.evaluate.formats import read_predictions
from whenwhere.evaluate.prediction import Fault, Prediction, Predictions
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.scores import Protocol, Scores
from whenwhere.evaluate.semantic import query_swap, video_swap
from whenwhere.evaluate.tubes.decomposition import decomposition
from whenwhere.stats import Interval, bootstrap_means, jackknife

#: Groups of videos that are left out in turn, for measures that are no means over items.
GROUPS = 30
#: Videos that a jackknife needs: of fewer its interval says nothing.
FEWEST = 10
#: Pooled measures that may exceed 1.
UNBOUNDED = ("LGM",)
#: Benchmarks without items, scored by `matrices`, which builds on this module.
MATRICES = ("retrieval", "recognition", "vqa")
#: Faults of the blind file that are said.
SHOWN = 3


@dataclass(slots=True)
class Row:
    """Other answers under the same protocol, beside the file's own.

    Attributes:
        name: of the row.
        how: what the answers are, in words.
        items: how many were scored.
        summary: measure → value.
        kind: `answers`, `constant`, `blind` or `swap`.
    """

    name: str
    how: str
    items: int
    summary: dict[str, float]
    kind: str


@dataclass(slots=True)
class Report:
    """The outcome of an evaluation.

    Attributes:
        benchmark: what was asked.
        protocol: how it was counted.
        files: role → path: annotations, predictions, and train and blind where they were given.
        format: name of the format of the predictions.
        scores: the protocol's own outcome.
        intervals: 95 % intervals: of means over items by resampling videos, of other headline measures from `without`.
        without: headline measures that are no means over items (pooled ones) → their values without each group of
            videos in turn.
        decomposition: t, s and v of tubes, with the truth in place of one of them; None elsewhere, and where no item
            has a true box.
        rows: what stands beside, the file's own answers first.
        diagnostics: failure mode → value.
        types: query type → failure mode → value.
        status: of answers → how many items.
        faults: of the file of answers, in its order.
        notes: what a reader must know.
        choices: first choices and the truths they are closest to, as arrays over `ids`; None for detection.
        ids: of all items.
        seed: of the resampling and the swaps.
        resamples: number of bootstrap resamples.
    """

    benchmark: Benchmark
    protocol: Protocol
    files: dict[str, str]
    format: str
    scores: Scores
    intervals: dict[str, Interval]
    without: dict[str, NDArray[np.float64]]
    decomposition: Scores | None
    rows: list[Row]
    diagnostics: dict[str, float]
    types: dict[str, dict[str, float]]
    status: dict[str, int]
    faults: list[Fault]
    notes: list[str]
    choices: Choices | None
    ids: list[str]
    videos: int
    seed: int
    resamples: int
    kinds: list[str | None] = field(default_factory=list)

    @property
    def headline(self) -> list[str]:
        """The measures to print first: the protocol's own choice, as far as there are any."""
        return [name for name in self.protocol.headline if name in self.scores.summary] or list(self.scores.summary)[:6]

    @property
    def groups(self) -> int:
        """Groups of videos that the jackknife left out in turn."""
        return min(GROUPS, self.videos)

    @property
    def counted(self) -> str:
        """How many items the protocol counted, and of how many where its original leaves some out."""
        scored, items = len(self.scores.ids), len(self.ids)
        return f"{items} items" if scored == items else f"{scored} counted of {items} items"

    def data(self) -> dict[str, Any]:
        """The report as one JSON object; fractions in 0-1, unrounded, null where a number has no meaning."""
        printed = {name: self.protocol.printed(name, value) for name, value in self.scores.summary.items()}
        return plain(
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
        """One row for each item: what was answered, the truth closest to it, and every per-item measure.

        Items that the protocol's original leaves out keep their row, with null for its measures.
        """
        place = {id: i for i, id in enumerate(self.scores.ids)}
        rows = []
        for n, id in enumerate(self.ids):
            row: dict[str, Any] = {"id": id}
            if n < len(self.kinds) and self.kinds[n]:
                row["type"] = self.kinds[n]
            if self.choices is not None:
                c = self.choices
                row |= {"status": c.status[n], "duration": float(c.duration[n])}
                row |= {"answer": c.answer[n].tolist(), "truth": c.truth[n].tolist(), "t_IoU": float(c.iou[n])}
            k = place.get(id)
            row |= {name: None if k is None else float(v[k]) for name, v in self.scores.items.items()}
            if self.decomposition is not None:
                row |= {name: float(self.decomposition.items[name][n]) for name in ("t", "s", "v")}
            rows.append(plain(row))
        return rows


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        SettingError: there is none; names the closest.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if name in MATRICES:
        raise SettingError(f"{name} has no items of its own, only `whenwhere eval` takes it: give another benchmark")
    near = _close(name, [*BENCHMARKS, *MATRICES])
    raise SettingError(f"there is no benchmark {name!r}{near}; `whenwhere eval --list` shows all")


def find_protocol(name: str | None, benchmark: Benchmark) -> Protocol:
    """The protocol of that name, or the one that the benchmark's papers score with.

    Raises:
        SettingError: there is none, or it cannot score this benchmark's kind of answer.
    """
    asked = name or benchmark.protocol
    if asked not in PROTOCOLS:
        raise SettingError(
            f"there is no protocol {asked!r}{_close(asked, PROTOCOLS)}; `whenwhere eval --list` shows all"
        )
    protocol = PROTOCOLS[asked]
    if benchmark.task not in protocol.tasks:
        fitting = ", ".join(p.name for p in PROTOCOLS.values() if benchmark.task in p.tasks)
        raise SettingError(
            f"protocol {asked!r} scores {', '.join(protocol.tasks)}, and answers to {benchmark.name} are "
            f"{benchmark.task}: choose from {fitting}"
        )
    return protocol


def evaluate(
    benchmark: str,
    annotations: str | Path,
    predictions: str | Path,
    protocol: str | None = None,
    *,
    format: str | None = None,
    train: str | Path | None = None,
    blind: str | Path | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Report:
    """Score a file of answers under a named protocol.

    Args:
        benchmark: its name (`whenwhere eval --list`).
        annotations: its released file.
        predictions: the answers, in any format of `whenwhere.evaluate.formats`.
        protocol: how to count; None counts as the benchmark's papers do.
        format: of the answers; None looks at the file.
        train: released training file of the same benchmark, to fit the best constant on.
        blind: answers that were made without showing the model any picture.
        resamples: of the bootstrap.
        seed: of the bootstrap and of the swaps.

    Raises:
        SettingError: an unknown name.
        RecordError: a file is not there or is not what it should be as a whole; a bad entry is a fault instead.
    """
    bench = find_benchmark(benchmark)
    counted = find_protocol(protocol, bench)
    items = read_items(bench, annotations)
    files = {"annotations": str(annotations), "predictions": str(predictions)}
    files |= {"train": str(train)} if train else {}
    files |= {"blind": str(blind)} if blind else {}
    return assess(
        bench,
        counted,
        items,
        read_predictions(Path(predictions), items, bench, format),
        train=read_items(bench, train) if train else None,
        blind=read_predictions(Path(blind), items, bench, format) if blind else None,
        files=files,
        resamples=resamples,
        seed=seed,
    )


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
    """`evaluate` on what was read already."""
    answers = found.by_id
    scores = protocol.score(items, answers)
    seen = None if benchmark.task == "detection" else Choices(items, answers)
    rows = [Row("these answers", found.path, len(scores.ids), scores.summary, "answers")]
    rows += [
        _row(protocol, c.name, c.how, items, c.answers, "constant") for c in constants(items, benchmark.task, train)
    ]
    notes = list(scores.notes)
    if blind is not None:
        rows.append(_row(protocol, "blind", f"no pictures shown: {blind.path}", items, blind.by_id, "blind"))
        notes += [f"blind: {fault.message}" for fault in blind.faults[:SHOWN]]
        if len(blind.faults) > SHOWN:
            notes.append(f"blind: {len(blind.faults) - SHOWN} more faults of {blind.path}")
    boxed = any(len(tube) for item in items for tube in item.tubes)
    if benchmark.task in ("tubes", "tracking") and not boxed:
        notes.append(
            f"no item of {(files or {}).get('annotations', benchmark.title)} has a true box, so measures of boxes say "
            f"nothing: give {benchmark.files}"
        )
    sure = intervals(scores, resamples, seed)
    pooled = [name for name in protocol.headline if name in scores.summary and name not in sure]
    without = leave_out(protocol, items, answers, pooled, seed)
    sure |= {name: possible(name, jackknife(scores.summary[name], values)) for name, values in without.items()}
    failures: dict[str, float] = {}
    if seen is not None:
        rows += _swaps(protocol, items, answers, seed, stretch=benchmark.task != "moments")
        failures = diagnostics(items, answers)
    return Report(
        benchmark=benchmark,
        protocol=protocol,
        files=files or {"predictions": found.path},
        format=found.format,
        scores=scores,
        intervals=sure,
        without=without,
        decomposition=decomposition(items, answers) if benchmark.task == "tubes" and boxed else None,
        rows=rows,
        diagnostics=failures,
        types={} if seen is None else by_type(items, answers),
        status=_statuses(items, answers, seen),
        faults=found.faults,
        notes=notes,
        choices=seen,
        ids=[item.id for item in items],
        kinds=[item.type for item in items],
        videos=len({item.video for item in items}),
        seed=seed,
        resamples=resamples,
    )


def intervals(scores: Scores, resamples: int, seed: int) -> dict[str, Interval]:
    """95 % intervals of every measure that is a mean over items; those that are none (a pooled mAP) see `leave_out`."""
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
    """Measures without each of `GROUPS` random groups of videos in turn: (groups,) values of each name."""
    videos = list(dict.fromkeys(item.video for item in items))
    if not names or len(videos) < FEWEST:
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
    """The interval cut to values that the measure can have: near its ends a symmetric one reaches beyond.

    >>> possible("AUROC", Interval(0.95, 0.85, 1.05))
    Interval(mean=0.95, low=0.85, high=1.0)
    """
    top = math.inf if name in UNBOUNDED else 1.0
    return Interval(interval.mean, max(interval.low, 0.0), min(interval.high, top))


def _row(
    protocol: Protocol, name: str, how: str, items: Sequence[Item], answers: Mapping[str, Prediction], kind: str
) -> Row:
    scores = protocol.score(items, answers)
    return Row(name, how, len(scores.ids), scores.summary, kind)


def _swaps(
    protocol: Protocol, items: Sequence[Item], answers: Mapping[str, Prediction], seed: int, stretch: bool
) -> list[Row]:
    rows = []
    query = query_swap(items, answers)
    if query is not None:
        if len(query.items) < len(items):
            own = {item.id: answers[item.id] for item in query.items if item.id in answers}
            rows.append(
                _row(
                    protocol,
                    "these answers, there",
                    "the file's own answers to the items of the query swap",
                    query.items,
                    own,
                    "swap",
                )
            )
        rows.append(_row(protocol, query.name, query.how, query.items, query.answers, "swap"))
    video = video_swap(items, answers, seed, stretch)
    if video is not None:
        rows.append(_row(protocol, video.name, video.how, video.items, video.answers, "swap"))
    return rows


def _statuses(items: Sequence[Item], answers: Mapping[str, Prediction], seen: Choices | None) -> dict[str, int]:
    given = (
        seen.status
        if seen is not None
        else [answers[v].status if v in answers else "missing" for v in dict.fromkeys(item.video for item in items)]
    )
    return {status: given.count(status) for status in dict.fromkeys(given)}


def _close(name: str, names: Iterable[str]) -> str:
    """The names that were probably meant: those that differ in case, begin alike, or are alike.

    >>> names = ["charades-cd", "charades-sta", "tacos"]
    >>> _close("Charades_STA", names), _close("charades", names), _close("taco", names), _close("x", names)
    (' (did you mean charades-sta?)', ' (did you mean charades-cd or charades-sta?)', ' (did you mean tacos?)', '')
    """
    plain_name = "-".join(name.casefold().replace("_", " ").split())
    begin = [known for known in names if plain_name and known.startswith(plain_name)]
    near = [plain_name] if plain_name in begin else begin or difflib.get_close_matches(plain_name, names, 1)
    return f" (did you mean {' or '.join(near[:3])}?)" if near else ""


def plain(value: Any) -> Any:
    """The value as JSON can hold it: no numpy, null for NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
