"""Audit of data sets: what reviewers ask for and few papers publish.

- Coverage: how many sentences have each type of query (`query_types`), beside the set's own types.
- Priors: what constants and blind models score (`blind`): what a set's numbers are worth without looking or reading.
- Label accuracy: agreement with a sample that was annotated again (`agreement`).
- Leaks: videos and sentences that are in several splits or several sets.

Several sets are audited together; a set whose items name splits is divided into them for the last point.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.curate.agreement import Agreement, agreement, to_annotate
from whenwhere.curate.blind import BlindScore, blind_scores
from whenwhere.curate.item_sets import ItemSet, claim_folder, digest, read_set
from whenwhere.curate.names import named_window, video_key
from whenwhere.curate.query_types import coverage
from whenwhere.curate.similarity import normalised, similar_pairs
from whenwhere.datasets.summary import summarise
from whenwhere.errors import SettingError
from whenwhere.evaluate.formats import read_predictions
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text

AUDIT, AUDIT_JSON, SAMPLE = "audit.md", "audit.json", "to-annotate.jsonl"
#: Most different sentences of two splits among which near duplicates are looked for; more would take minutes.
MOST_SENTENCES = 30_000
#: Similarity from which two sentences are near duplicates.
ALIKE = 0.8


@dataclass
class SetAudit:
    """What was found in one set.

    Attributes:
        name: Name of the set.
        items: Number of items.
        videos: Number of videos, by their keys.
        types: Number of sentences of each type of query.
        summary: Statistics as `whenwhere data stats` gives them.
        blind: Scores of constants and blind models; empty where nothing can be scored.
        agreement: Agreement with a second annotation; None without one.
        cut: Number of items whose file is, by its name, cut out of a longer video.
        past: Number of items with an end after the video's end.
        faults: One sentence for each line that could not be read.
    """

    name: str
    items: int
    videos: int
    types: dict[str, int]
    summary: dict[str, Any]
    blind: list[BlindScore]
    agreement: Agreement | None = None
    cut: int = 0
    past: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Overlap:
    """What two sets, or two splits of one, have in common.

    Attributes:
        a: Name of the first.
        b: Name of the second.
        videos: Number of videos that both have.
        of_a: Number of videos of the first.
        of_b: Number of videos of the second.
        items_of_b: Number of items of the second on videos that the first has too.
        same: Number of items of the second whose video and sentence are in the first too.
        sentences: Number of different sentences of the second that the first has too.
        near: Number of different sentences of the second with a near duplicate in the first, equal ones included; None
            if both have too many to look.
        sentences_of_b: Number of different sentences of the second.
    """

    a: str
    b: str
    videos: int
    of_a: int
    of_b: int
    items_of_b: int
    same: int
    sentences: int
    near: int | None
    sentences_of_b: int


@dataclass
class DataAudit:
    """The result of `audit`.

    Attributes:
        sets: What was found in each set.
        overlaps: What each pair of sets or splits has in common.
    """

    sets: list[SetAudit]
    overlaps: list[Overlap]

    def as_dict(self) -> dict[str, Any]:
        """All numbers as JSON values; no sentences."""
        return {
            "sets": [
                {
                    "name": one.name, "items": one.items, "videos": one.videos, "types": one.types,
                    "summary": one.summary, "pre_cut_names": one.cut, "ends_past_the_video": one.past,
                    "unreadable_lines": len(one.faults),
                    "agreement": None if one.agreement is None else one.agreement.as_dict(),
                    "blind": [
                        {
                            "name": b.name, "mIoU": list(b.mean), **b.recalls,
                            "gain": None if b.gain is None else list(b.gain),
                        }
                        for b in one.blind
                    ],
                }
                for one in self.sets
            ],
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
        }  # fmt: skip

    def markdown(self) -> str:
        """The report as Markdown."""
        return "\n".join(["# Audit", "", *_sets(self.sets), *_types(self.sets), *_blind(self.sets),
                          *_agreement(self.sets), *_overlaps(self.overlaps)]) + "\n"  # fmt: skip

    def __str__(self) -> str:
        return self.markdown()


def audit(
    sets: Sequence[ItemSet],
    again: ItemSet | None = None,
    blind: Mapping[str, Mapping[str, Prediction]] | None = None,
    near: bool = True,
) -> DataAudit:
    """Audit sets together.

    Args:
        sets: The sets.
        again: Items of the first set that were annotated again.
        blind: Answers of further blind models to the first set, by name and item id.
        near: Whether near duplicates of sentences are looked for between splits.

    Raises:
        RecordError: No re-annotated item is in the first set.
        SettingError: There are no sets, or two have the same name.
    """
    if not sets:
        raise SettingError("an audit needs at least one set")
    if len({one.name for one in sets}) < len(sets):
        raise SettingError("two sets have the same name: rename one of the files")
    found = []
    for number, one in enumerate(sets):
        first = number == 0
        summary = summarise(one.items).as_dict()
        found.append(
            SetAudit(
                one.name, len(one.items), len({video_key(i.video) for i in one.items}), coverage(one.items), summary,
                blind_scores(one.items, blind if first else None),
                agreement(one.items, again.items) if again is not None and first else None,
                sum(named_window(i.video) is not None for i in one.items), summary["ends_past_the_video"], one.faults,
            )
        )  # fmt: skip
    parts = [_Compared.of(part) for one in sets for part in _splits(one)]
    pairs = [(a, b) for k, a in enumerate(parts) for b in parts[k + 1 :]]
    return DataAudit(found, [_overlap(a, b, near) for a, b in pairs])


def audit_files(
    given: Sequence[str | Path],
    out: str | Path,
    *,
    again: str | Path | None = None,
    blind: Sequence[str | Path] = (),
    sample: int | None = None,
    seed: int = 0,
) -> DataAudit:
    """Audit manifests and released files together, and write audit.md and audit.json.

    Args:
        given: The sets: paths of manifests, or `BENCHMARK=FILE`.
        out: Folder for the results; one that holds those of another run is refused.
        again: Manifest of items of the first set that were annotated again.
        blind: Files of answers to the first set, of models that did not see the video or did not read the sentence.
        sample: Number of items of the first set to write, without their truth, for a second annotator.
        seed: Seed of the sample.

    Raises:
        RecordError: A file is missing or has no line that can be read, or no re-annotated item is in the first set.
        SettingError: Two sets have the same name, or the folder holds other results.
        OutputError: The folder cannot be written, or the disk is full.
    """
    sets = [read_set(one) for one in given]
    second = None if again is None else read_set(again)
    answers = {Path(one).stem: read_predictions(one, sets[0].items).by_id for one in blind}
    questions = to_annotate(sets[0].items, sample, seed) if sample is not None else []
    result = audit(sets, second, answers)
    about = [digest(one.path) for one in sets] + [digest(Path(one)) for one in ([again] if again else []) + list(blind)]
    to = Path(out)
    claim_folder(to, json.dumps(["audit", about, sample, seed]), (AUDIT, AUDIT_JSON, SAMPLE))
    write_text(to / AUDIT_JSON, json.dumps(result.as_dict(), ensure_ascii=False, indent=1) + "\n")
    write_text(to / AUDIT, result.markdown())
    if questions:
        lines = [
            {"id": i.id, "video": i.video, "query": i.query, "window": i.window and [i.window.start, i.window.end]}
            for i in questions
        ]
        write_text(to / SAMPLE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return result


def _splits(one: ItemSet) -> list[ItemSet]:
    """The splits of a set, each as a set; the set itself if it has only one."""
    by_split = defaultdict(list)
    for item in one.items:
        by_split[item.split].append(item)
    if len(by_split) < 2:
        return [one]
    return [ItemSet(f"{one.name} {split or 'no split'}", one.path, items) for split, items in by_split.items()]


@dataclass(frozen=True)
class _Compared:
    """A set as it is compared with others: its name, and the video and normalised sentence of each item."""

    name: str
    rows: list[tuple[str, str]]
    videos: set[str]
    texts: set[str]

    @classmethod
    def of(cls, one: ItemSet) -> "_Compared":
        rows = [(video_key(item.video), normalised(item.query)) for item in one.items]
        return cls(one.name, rows, {video for video, _ in rows}, {text for _, text in rows} - {""})


def _overlap(a: _Compared, b: _Compared, near: bool) -> Overlap:
    both = a.videos & b.videos
    asked = set(a.rows) if both else set()
    shared = a.texts & b.texts
    close: int | None = None
    if near and len(a.texts | b.texts) <= MOST_SENTENCES:
        every = sorted(a.texts | b.texts)
        found = set(shared)
        for i, j, _ in similar_pairs(every, ALIKE):
            for one, other in ((every[i], every[j]), (every[j], every[i])):
                if one in a.texts and other in b.texts:
                    found.add(other)
        close = len(found)
    return Overlap(
        a.name, b.name, len(both), len(a.videos), len(b.videos), sum(video in both for video, _ in b.rows),
        sum(row in asked for row in b.rows), len(shared), close, len(b.texts),
    )  # fmt: skip


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [*(f"| {' | '.join(map(str, line))} |" for line in lines), ""]


def _sets(sets: Sequence[SetAudit]) -> list[str]:
    heads = ["set", "items", "videos", "invalid", "ends past the video", "pre-cut names", "unreadable lines"]
    rows = ((s.name, s.items, s.videos, s.summary["invalid"], s.past, s.cut, len(s.faults)) for s in sets)
    return _table(heads, rows)


def _types(sets: Sequence[SetAudit]) -> list[str]:
    shares = ([name, *(f"{100 * s.types[name] / s.items:.1f}" for s in sets)] for name in sets[0].types)
    title = "## Types of queries, share of the sentences in percent"
    return [title, "", *_table(["type", *(s.name for s in sets)], shares)]


def _blind(sets: Sequence[SetAudit]) -> list[str]:
    heads = ["set", "model", "mIoU", "95 % interval", "R1@0.3", "R1@0.5", "R1@0.7", "more than the constant"]
    rows: list[list[object]] = []
    for one in sets:
        for b in one.blind:
            mean, low, high = (f"{100 * value:.1f}" for value in b.mean)
            gain = [f"{100 * value:+.1f}" for value in b.gain or ()]
            more = f"{gain[0]} [{gain[1]}, {gain[2]}]" if gain else ""
            recalls = [f"{100 * value:.1f}" for value in b.recalls.values()]
            rows.append([one.name, b.name, mean, f"[{low}, {high}]", *recalls, more])
        if not one.blind:
            rows.append([one.name, "none: too few items with spans and durations", *[""] * 6])
    return ["## Constants and blind models, in percent", "", *_table(heads, rows)]


def _agreement(sets: Sequence[SetAudit]) -> list[str]:
    lines = []
    for one in sets:
        if (found := one.agreement) is not None:
            lines += [f"## Agreement of {one.name} with a second annotation", "",
                      f"{found.compared} items, {found.missing} more are not in the set.", "",
                      f"- mean t_IoU {found.t_iou}"]  # fmt: skip
            lines += [f"- {name}: {share}" for name, share in found.agree.items()]
            lines += [f"- do not touch: {found.apart}", f"- absent in one only: {found.absence:.3f}"]
            for word, seconds in (("starts", found.start), ("ends", found.end)):
                if seconds is not None:
                    lines.append(f"- {word} differ by {seconds[0]:g} s (median), {seconds[1]:g} s (90 % quantile)")
            lines += [f"- mean v_IoU {found.v_iou}"] if found.v_iou is not None else []
            lines.append("")
    return lines


def _overlaps(overlaps: Sequence[Overlap]) -> list[str]:
    if not overlaps:
        return []
    heads = [
        "first", "second", "videos in both", "of first", "of second", "items of second on them",
        "same sentence on them", "sentences in both", "nearly in both", "of second",
    ]  # fmt: skip
    rows = (
        (o.a, o.b, o.videos, o.of_a, o.of_b, o.items_of_b, o.same, o.sentences,
         "not looked for" if o.near is None else o.near, o.sentences_of_b)
        for o in overlaps
    )  # fmt: skip
    return ["## What sets and splits have in common", "", *_table(heads, rows)]
