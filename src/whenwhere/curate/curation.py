"""Curation of a set: what is kept, what is left out and why, and what each filter would have left out alone.

    from whenwhere.curate.curation import curate
    from whenwhere.curate.set_filters import CurationSettings

    result = curate(items, CurationSettings(max_fraction=0.6))
    print(result)                     # counts by filter
    result.write("curated")           # kept.jsonl, dropped.jsonl, report.md, report.json, histograms.svg

Filters are asked one after the other, and the first that leaves an item out counts. Because of that order a small count
need not mean that a filter is useless: so each filter is also asked alone, about all items, and the report says how
many it alone would have left out, and how many no other filter found. Nothing is lost: every item that was left out is
in dropped.jsonl with the filter and what it saw (`provenance.dropped`).

Nothing is mended here: clipping a span or cutting a sentence short would make truth that nobody annotated.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from whenwhere.curate import histograms
from whenwhere.curate.filters import FILTERS, Filter, further_sentence
from whenwhere.curate.item_sets import claim_folder, digest, moved, read_set
from whenwhere.curate.names import named_window, video_key
from whenwhere.curate.set_filters import (
    SET_FILTERS,
    CurationSettings,
    Evidence,
    sources_without_items,
    unused_settings,
)
from whenwhere.curate.video_files import VideoFile, look_up
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.engine import Engine
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.evaluate.formats import read_predictions
from whenwhere.store import write_bytes, write_text

#: Items that are named for each filter.
EXAMPLES = 5
KEPT, DROPPED, REPORT, REPORT_JSON, HISTOGRAMS = (
    "kept.jsonl", "dropped.jsonl", "report.md", "report.json", "histograms.svg"
)  # fmt: skip


@dataclass
class FilterCount:
    """What one filter did.

    Attributes:
        name: Name of the filter's function.
        reason: Why it leaves items out.
        dropped: Number of items that it left out, of those that earlier filters kept.
        alone: Number of items that it would have left out alone.
        only: Number of items that it would have left out, and no other filter.
        examples: Some of the items that it would have left out alone: id, video, query and what was seen.
    """

    name: str
    reason: str
    dropped: int = 0
    alone: int = 0
    only: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Curation:
    """The result of `curate`.

    Attributes:
        items: All items, in order.
        kept: The items that every filter kept.
        dropped: The items that were left out, each with the name of the filter and what it saw.
        counts: What each filter did, in the order in which they were asked.
        settings: The settings.
        notes: Sentences about filters that could not look, and about what was noticed but kept.
        faults: One sentence for each line that could not be read.
    """

    items: Sequence[Item]
    kept: list[Item]
    dropped: list[tuple[Item, str, str]]
    counts: list[FilterCount]
    settings: CurationSettings
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Counts, settings and histograms as JSON values."""
        return {
            "items": len(self.items), "kept": len(self.kept), "dropped": len(self.dropped),
            "videos": len({i.video for i in self.items}), "kept_videos": len({i.video for i in self.kept}),
            "unreadable_lines": len(self.faults), "filters": [asdict(count) for count in self.counts],
            "settings": asdict(self.settings), "notes": self.notes, "faults": self.faults,
            "histograms": histograms.data(histograms.compared(self.items, self.kept)),
        }  # fmt: skip

    def markdown(self) -> str:
        """The report as Markdown."""
        lines = [
            "# Curation", "",
            f"{len(self.kept)} of {len(self.items)} items are kept, on {len({i.video for i in self.kept})} of "
            f"{len({i.video for i in self.items})} videos.", "",
            "| filter | left out | alone | no other filter | why |", "|---|---|---|---|---|",
            *(f"| {c.name} | {c.dropped} | {c.alone} | {c.only} | {c.reason} |" for c in self.counts), "",
            "left out: of what earlier filters kept. alone: of all items. no other filter: found by this one only.", "",
        ]  # fmt: skip
        lines += [f"- {note}" for note in self.notes]
        pairs = histograms.compared(self.items, self.kept)
        lines += ["", "## Before and after", "", "```", histograms.text(pairs), "```", "", "## Examples", ""]
        for count in self.counts:
            lines += [f"- {count.name}" for _ in count.examples[:1]]
            lines += [f"  - `{_cell(e['id'])}`: {_cell(e['query'])} ({_cell(e['saw'])})" for e in count.examples]
        if self.faults:
            lines += ["", "## Lines that could not be read", "", *(f"- {_cell(fault)}" for fault in self.faults)]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self.markdown()

    def write(
        self, out: str | Path, about: str = "", path_of: Callable[[Item], Path | None] = lambda item: None
    ) -> list[Path]:
        """Write what was kept, what was left out, and the report. The same call again writes the same files.

        Args:
            out: The folder.
            about: All that the result was made of; a folder with another result is refused.
            path_of: Says where the video of an item is, so that the new manifests can name it. None keeps its name.

        Returns:
            The files that were written.

        Raises:
            SettingError: The folder holds the results of another run.
            OutputError: The folder cannot be written, or the disk is full.
        """
        to = Path(out)
        claim_folder(to, about, (KEPT, DROPPED, REPORT, REPORT_JSON, HISTOGRAMS))
        written = []
        # an empty file is no manifest, so where there would be none, an earlier one must not stay either
        for name, items in (
            (KEPT, self.kept),
            (DROPPED, [_marked(item, by, saw) for item, by, saw in self.dropped]),
        ):
            if items:
                manifest.write((moved(item, path_of(item), to) for item in items), to / name)
                written.append(to / name)
            else:
                (to / name).unlink(missing_ok=True)
        pairs = histograms.compared(self.items, self.kept)
        try:
            written.append(write_bytes(to / HISTOGRAMS, histograms.picture(pairs)))
        except MissingExtraError as e:
            self.notes.append(f"{HISTOGRAMS} was not drawn: {e}")
        written.append(write_text(to / REPORT_JSON, json.dumps(self.as_dict(), ensure_ascii=False, indent=1) + "\n"))
        written.append(write_text(to / REPORT, self.markdown()))
        return written


def curate(
    items: Sequence[Item], settings: CurationSettings | None = None, evidence: Evidence | None = None
) -> Curation:
    """Ask all filters about all items.

    Args:
        items: The items of one set, or of several mixed.
        settings: What to leave out. None takes the defaults.
        evidence: What is known beside the items: files of the videos, answers of models, videos of test sets.

    Raises:
        SettingError: A setting makes no sense, or names a source that no item has.

    >>> from whenwhere.datasets.item import span_array
    >>> item = lambda name, end: Item(name, "v.mp4", f"the {name} dog runs", span_array([(1, end)]), duration=20.0)
    >>> result = curate([item("red", 4), item("blue", 30)])
    >>> [i.id for i in result.kept], [(i.id, by) for i, by, _ in result.dropped]
    (['red'], [('blue', 'span_outside')])
    """
    limits, known = settings or CurationSettings(), evidence or Evidence()
    _check(limits, items)
    # what a filter says of an item alone holds in any company, unless it looks at the company
    filters = [(one.__name__, one.__doc__, _of_set(one, limits), one is not further_sentence) for one in FILTERS]
    filters += [(f.__name__, f.__doc__, _bound(f, limits, known), False) for f in SET_FILTERS]
    left = list(range(len(items)))
    taken: dict[int, tuple[str, str]] = {}
    counts, alone = [], []
    for name, doc, ask, single in filters:
        apart = ask(items)
        alone.append(apart)
        if single or len(left) == len(items):
            now = {k: apart[k] for k in left if k in apart}
        else:
            now = {left[k]: saw for k, saw in ask([items[k] for k in left]).items()}
        taken |= {k: (name, saw) for k, saw in now.items()}
        left = [k for k in left if k not in now]
        counts.append(FilterCount(name, _first_sentence(doc), len(now), len(apart)))
    found_by = [0] * len(items)
    for apart in alone:
        for k in apart:
            found_by[k] += 1
    for count, apart in zip(counts, alone, strict=True):
        count.only = sum(found_by[k] == 1 for k in apart)
        count.examples = [_example(items[k], apart[k]) for k in _spread(sorted(apart))]
    dropped = [(items[k], *taken[k]) for k in sorted(taken)]
    notes = unused_settings(limits, known)
    cut = sum(named_window(item.video) is not None for item in items)
    if cut:
        notes.append(f"items whose file is, by its name, cut out of a longer video: {cut}")
    return Curation(items, [items[k] for k in left], dropped, counts, limits, notes)


def curate_file(
    given: str | Path,
    out: str | Path,
    settings: CurationSettings | None = None,
    *,
    benchmark: str | None = None,
    videos: str | Path | None = None,
    answers: Sequence[str | Path] = (),
    against: Sequence[str | Path] = (),
    cache: str | Path | None = None,
    tell: Callable[[], None] | None = None,
    engine: Engine | None = None,
) -> Curation:
    """Curate a manifest or a benchmark's released file, and write what is kept, what is left out, and the report.

    Args:
        given: Path of the manifest, or `BENCHMARK=FILE`.
        out: Folder for the results; one that holds those of another run is refused.
        settings: What to leave out. None takes the defaults.
        benchmark: Name of the benchmark whose released file `given` is.
        videos: Folder of the videos. None looks at no videos.
        answers: Files of a model's answers, in any format that `whenwhere eval` reads; several are several votes.
        against: Sets whose videos must not be among those that are kept, named like `given`.
        cache: Folder that keeps what was read of videos; None is the user's cache folder.
        tell: Called after each video that was looked at.
        engine: Workers that look at the videos. None looks at them in this process.

    Raises:
        RecordError: A file is missing, is of another kind, or has no line that can be read.
        SettingError: A setting makes no sense, or the folder holds other results.
        OutputError: The folder cannot be written, or the disk is full.
    """
    limits, found = settings or CurationSettings(), read_set(given, benchmark)
    others = [read_set(one) for one in against]
    test_videos = {video_key(item.video): other.name for other in reversed(others) for item in other.items}
    read = [read_predictions(one, found.items) for one in answers]
    files: dict[str, VideoFile] = {}
    if videos is not None:
        if not Path(videos).is_dir():
            raise SettingError(f"there is no folder of videos at {videos}: give the folder that holds them")
        names = [item.video for item in found.items]
        files = look_up(names, Path(videos), found.path, tell, Path(cache) if cache else None, engine)
    about = [digest(path) for path in (found.path, *map(Path, answers), *(other.path for other in others))]
    seen = sorted((name, file.content or str(file.fault)) for name, file in files.items())
    result = curate(found.items, limits, Evidence([one.by_id for one in read], files, test_videos))
    result.faults = found.faults
    result.notes += [f"faults in the answers of {one.path}: {len(one.faults)}" for one in read if one.faults]
    if found.repeated_ids:
        some = found.repeated_ids[0]
        result.notes.append(f"ids that belong to several items: {len(found.repeated_ids)}, such as {some!r}")
    identity = json.dumps([about, asdict(limits), seen], sort_keys=True)
    result.write(out, identity, (lambda item: files[item.video].path) if files else found.path_of)
    return result


def _of_set(one: Filter, limits: CurationSettings) -> Any:
    """A filter of single items as one of sets."""

    def ask(items: Sequence[Item]) -> dict[int, str]:
        seen: set[str] = set()
        found = {}
        for k, item in enumerate(items):
            reason = one(item, limits, seen)
            if reason is None:
                seen.add(item.video)
            else:
                found[k] = reason
        return found

    return ask


def _bound(one: Any, limits: CurationSettings, known: Evidence) -> Any:
    return lambda items: one(items, limits, known)


def _check(limits: CurationSettings, items: Sequence[Item]) -> None:
    for name in ("alike", "max_fraction", "max_box", "partial", "agreement"):
        value = getattr(limits, name)
        if value is not None and (not 0 <= value <= 1 or (name == "alike" and value == 0)):
            raise SettingError(f"{name} is a share above 0 and at most 1, not {value}")
    if limits.max_duration is not None and limits.max_duration < limits.min_duration:
        raise SettingError(
            f"no video is at least {limits.min_duration:g} s and at most {limits.max_duration:g} s long: change "
            "min_duration or max_duration"
        )
    if strange := sorted(sources_without_items(limits, items)):
        raise SettingError(f"sources caps {strange[0]!r}, which no item comes from: correct or remove it")


def _first_sentence(doc: str | None) -> str:
    return " ".join((doc or "").split("\n\n")[0].split()).strip()


def _spread(found: list[int]) -> list[int]:
    """A few of them, evenly over all."""
    return [found[k * len(found) // EXAMPLES] for k in range(EXAMPLES)] if len(found) > EXAMPLES else found


def _example(item: Item, saw: str) -> dict[str, str]:
    spans = ", ".join(f"{s:g}-{e:g}" for s, e in item.spans[:3].tolist()) or "no span"
    length = "" if item.duration is None else f" of {item.duration:g} s"
    return {"id": item.id, "video": item.video, "query": item.query[:120], "saw": f"{saw}; {spans}{length}"}


def _marked(item: Item, by: str, saw: str) -> Item:
    return replace(item, provenance=item.provenance | {"dropped": {"filter": by, "saw": saw}})


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())
