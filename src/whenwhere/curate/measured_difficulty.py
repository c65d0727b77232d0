"""Difficulty from answers on file, of any grounder, and what it means for the selectors of a curriculum.

`of_answers` compares one or several answers per item with the truth: difficulty is 1 - the mean score, with its
standard deviation over the answers. So the answers of an endpoint, of another project's model or of `whenwhere batch`
are as good as a policy's own (`training.data.difficulty` asks a policy). The score is `t_iou`, or with boxes
`0.5 t_iou + 0.5 v_iou`; its name is on every line, because difficulties of different scores never mix.

`selections` shows what each published way to choose by difficulty would take of a set, before anything is trained.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.curate import histograms
from whenwhere.curate.difficulty import Difficulty, event_share, summary
from whenwhere.curate.selection import select
from whenwhere.datasets.item import Item
from whenwhere.errors import MissingExtraError, RecordError, SettingError
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.temporal import default_iou
from whenwhere.overlap import v_iou
from whenwhere.store import write_bytes, write_text

Floats = NDArray[np.float64]
#: What an answer is scored with.
ScoreKind = Literal["t_iou", "v_iou"]
#: Name of each score on the lines of a file; the second is the package's verifier with its usual weights.
SCORE_NAMES: dict[ScoreKind, str] = {"t_iou": "t_iou", "v_iou": "0.5 t_iou + 0.5 v_iou"}
DENSITY, DENSITY_JSON, DENSITY_SVG = "difficulty.md", "difficulty.json", "density.svg"


@dataclass(frozen=True)
class DifficultySelection:
    """What one way to choose would take.

    Attributes:
        name: What is chosen and how, with its source.
        chosen: Ids of the chosen items, in order; empty where it cannot choose.
        deciles: Number of chosen items in each tenth of difficulty, 0-0.1 first.
        difficulty: Mean difficulty of the chosen items.
        duration: Mean duration of their videos in seconds; None if it is not known.
        fraction: Mean share of the video that their events take; None if it is not known.
        why_not: Why it cannot choose; None if it can.
    """

    name: str
    chosen: list[str]
    deciles: list[int]
    difficulty: float | None = None
    duration: float | None = None
    fraction: float | None = None
    why_not: str | None = None


#: Ways to choose: name, and the arguments of `selection.select` besides the number.
WAYS: dict[str, dict[str, Any]] = {
    "random": {"selector": "random"},
    "Time-R1 0070_all: 0 < t_IoU <= .7, evenly": {"selector": "spread", "low": 0.3, "high": 1.0},
    "Time-R1 gaussian_03: about t_IoU .3": {"selector": "gaussian", "mu": 0.7, "sigma": 0.2, "high": 1.0},
    "TimeLens: about t_IoU .05, by density": {"selector": "gaussian", "mu": 0.95, "sigma": 0.2, "corrected": True},
    "spread over all": {"selector": "spread"},
    "Temporal-R1: highest variance": {"selector": "variance"},
}


def of_answers(
    items: Sequence[Item], answers: Sequence[Mapping[str, Prediction]], policy: str, score: ScoreKind = "t_iou"
) -> dict[str, Difficulty]:
    """The difficulty of each item that all files of answers answer, by item id.

    Args:
        items: The items. Invalid ones have no difficulty, because no answer to them is right.
        answers: Answers by item id, once for each draw. One draw is one greedy answer.
        policy: Name of whatever answered.
        score: What an answer is scored with.

    Raises:
        RecordError: No item is answered by all of them, or an item has no tube and boxes are to be scored.
        SettingError: There are no answers.

    >>> item = Item("a", "v", spans=np.array([[2.0, 6.0]]), duration=10.0)
    >>> draws = [{"a": Prediction("a", spans=np.array([[2.0, end]]))} for end in (4.0, 6.0)]
    >>> found = of_answers([item], draws, "m")["a"]
    >>> found.difficulty, found.std, found.draws
    (0.25, 0.25, 2)
    """
    if not answers:
        raise SettingError("difficulty needs answers: give one file of answers for each draw")
    asked = [i for i in items if i.status == "valid" and all(i.id in by_id for by_id in answers)]
    if not asked:
        raise RecordError("no valid item is answered in all files, so nothing can be measured: are they of this set?")
    scores = np.stack([_scores(asked, [by_id[i.id] for i in asked], score) for by_id in answers])
    return {
        item.id: Difficulty(
            item.id, item.video, None, 1, round(float(1 - own.mean()), 6), round(float(own.std()), 6),
            len(answers) if len(answers) > 1 else 0, SCORE_NAMES[score], policy, "", item.duration,
            event_share(item.span_set, item.duration),
        )
        for item, own in zip(asked, scores.T, strict=True)
    }  # fmt: skip


def with_difficulty(items: Iterable[Item], found: Mapping[str, Difficulty]) -> list[Item]:
    """The items with their measured difficulty, as manifests carry it; those that were not measured stay as they are.

    Args:
        items: The items.
        found: Difficulties by item id.
    """
    out = []
    for item in items:
        one = found.get(item.id)
        if one is not None:
            how = f"{one.draws} draws" if one.draws else "greedy"
            item = replace(
                item, difficulty=one.difficulty, difficulty_of=f"{one.score} of {one.policy or 'unknown'}, {how}",
                extra=item.extra | {"difficulty_std": one.std},
            )  # fmt: skip
        out.append(item)
    return out


def selections(found: Mapping[str, Difficulty], count: int | None = None, seed: int = 0) -> list[DifficultySelection]:
    """What each of `WAYS` would take.

    Args:
        found: Difficulties of one kind.
        count: Number of items to choose. None: half of them.
        seed: Seed of the draws.

    Raises:
        SettingError: `count` is not positive.
    """
    if count is not None and count < 1:
        raise SettingError(f"a selection has at least 1 item, not {count}")
    names = list(found)
    difficulty = np.array([found[name].difficulty for name in names])
    std = np.array([found[name].std for name in names])
    number = max(1, len(names) // 2) if count is None else count
    rows = []
    for name, how in WAYS.items():
        try:
            chosen = select(difficulty, std, seed, count=number, **how)
        except SettingError as e:
            rows.append(DifficultySelection(name, [], [0] * 10, why_not=str(e)))
            continue
        own = [found[names[k]] for k in chosen]
        rows.append(
            DifficultySelection(
                name, [one.id for one in own], _deciles(difficulty[chosen]).tolist(),
                round(float(difficulty[chosen].mean()), 4), _mean([one.duration for one in own]),
                _mean([one.fraction for one in own]),
            )
        )  # fmt: skip
    return rows


def write_density(found: Mapping[str, Difficulty], out: str | Path, count: int | None = None, seed: int = 0) -> str:
    """Write how difficulties are distributed and what each selector would take; the same as text.

    Args:
        found: Difficulties of one kind, at least one.
        out: Folder for difficulty.md, difficulty.json and density.svg (with matplotlib).
        count: Number of items that selectors choose. None: half of them.
        seed: Seed of the draws.

    Raises:
        RecordError: There are no difficulties.
        SettingError: `count` is not positive.
        OutputError: The folder cannot be written, or the disk is full.
    """
    if not found:
        raise RecordError("there are no difficulties to describe: measure some first")
    rows, told = selections(found, count, seed), summary(found)
    text = density_text(found, rows)
    folder = Path(out)
    data = {"summary": told, "selections": [vars_of(row) for row in rows]}
    write_text(folder / DENSITY_JSON, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    write_text(folder / DENSITY, text)
    try:
        write_bytes(folder / DENSITY_SVG, density_picture(found, rows))
    except MissingExtraError as e:
        text += f"\n{DENSITY_SVG} was not drawn: {e}\n"
    return text


def vars_of(row: DifficultySelection) -> dict[str, Any]:
    """A selection as JSON values, with the number of its items instead of their ids."""
    return {
        "name": row.name, "chosen": len(row.chosen), "deciles": row.deciles, "difficulty": row.difficulty,
        "duration": row.duration, "fraction": row.fraction, "why_not": row.why_not,
    }  # fmt: skip


def density_text(found: Mapping[str, Difficulty], rows: Sequence[DifficultySelection]) -> str:
    """The distribution of difficulties and the selections as Markdown."""
    values = np.array([one.difficulty for one in found.values()])
    std = np.array([one.std for one in found.values()])
    one = next(iter(found.values()))
    how = f"mean of {one.draws} answers" if one.draws else "one answer"
    lines = [
        "# Difficulty", "",
        f"{len(values)} items, 1 - ({one.score}) of {one.policy or 'what the manifest says'}, {how} each.", "", "```",
        f"difficulty, 0 to 1    |{histograms.bars(_histogram(values))}| mean {values.mean():.3f}",
    ]  # fmt: skip
    if one.draws:
        lines.append(f"deviation, 0 to 0.5   |{histograms.bars(_histogram(std, 0.5))}| mean {std.mean():.3f}")
    lines += [
        "```", "", f"Exactly right {(values <= 1e-9).mean():.1%}, wholly wrong {(values >= 1 - 1e-9).mean():.1%}.", "",
        "| selector | takes | " + " | ".join(f"{k / 10:g}-" for k in range(10)) + " | mean | video, s | event share |",
        "|" + "---|" * 15,
    ]  # fmt: skip
    known = list(found.values())
    every = DifficultySelection(
        "all", list(found), _deciles(values).tolist(), round(float(values.mean()), 4),
        _mean([d.duration for d in known]), _mean([d.fraction for d in known]),
    )  # fmt: skip
    for row in (every, *rows):
        if row.why_not is not None:
            lines.append(f"| {row.name} | – | {' | '.join([''] * 10)} | | | {row.why_not.split(':')[0]} |")
            continue
        ends = ("" if v is None else f"{v:.3g}" for v in (row.difficulty, row.duration, row.fraction))
        lines.append(f"| {row.name} | {len(row.chosen)} | {' | '.join(map(str, row.deciles))} | {' | '.join(ends)} |")
    return "\n".join(lines) + "\n"


def density_picture(found: Mapping[str, Difficulty], rows: Sequence[DifficultySelection]) -> bytes:
    """Densities of difficulty and deviation, and of what each selector would take, as an SVG picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    edges = np.linspace(0, 1, 21)
    values = np.array([one.difficulty for one in found.values()])
    std = np.array([one.std for one in found.values()])
    panels: list[tuple[str, Floats, dict[str, Floats]]] = [("difficulty", edges, {"all": _density(values, edges)})]
    if std.any():
        panels.append(("deviation over the answers", edges / 2, {"all": _density(std, edges / 2)}))
    taken = {
        row.name.split(":")[0]: _density(np.array([found[name].difficulty for name in row.chosen]), edges)
        for row in rows
        if row.chosen
    }
    panels.append(("difficulty of what selectors take", edges, {"all": _density(values, edges)} | taken))
    return histograms.draw(panels)


def _scores(items: Sequence[Item], given: Sequence[Prediction], score: ScoreKind) -> Floats:
    time = default_iou(items, given)
    if score == "t_iou":
        return time
    both = np.zeros(len(items))
    for k, (item, answer) in enumerate(zip(items, given, strict=True)):
        if not item.tubes and len(item.span_set):
            raise RecordError(f"item {item.id!r} has no true tube, so boxes cannot be scored: use the score t_iou")
        if not item.tubes:
            # what is not there has no place: v_IoU is t_IoU
            both[k] = time[k]
        elif answer.boxes and len(answer.span_set):
            both[k] = v_iou(item.tubes[0], answer.boxes[0].tube(answer.span_set, answer.rate))
    return (time + both) / 2


def _histogram(values: Floats, top: float = 1.0) -> NDArray[np.int64]:
    return np.histogram(np.clip(values, 0, top), np.linspace(0, top, 21))[0]


def _deciles(values: Floats) -> NDArray[np.int64]:
    return np.bincount(np.clip((values * 10 + 1e-9).astype(int), 0, 9), minlength=10)


def _density(values: Floats, edges: Floats) -> Floats:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / max(1, counts.sum()) / np.diff(edges)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None
