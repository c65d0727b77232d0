"""Filters that need more than one item: duplicates, copies, other sets, files, a model's answers, and caps.

A filter gets all items that are still there and gives, for each one to leave out, what it saw: a few words with the
item, video or number that decided. `SET_FILTERS` lists them in the order in which they are asked, after the filters of
single items (`filters.FILTERS`). A new one is a function with a docstring that says why, and its place in the table.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from whenwhere.curate.filters import FilterSettings
from whenwhere.curate.names import video_key
from whenwhere.curate.similarity import groups, normalised
from whenwhere.curate.video_files import VideoFile, are_copies
from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.temporal import answered, default_iou
from whenwhere.overlap import t_iou
from whenwhere.spans import SpanSet

#: t_IoU from which the truths of two annotators mean the same event.
SAME_EVENT = 0.5


@dataclass(frozen=True)
class CurationSettings(FilterSettings):
    """What `curate` leaves out. The limits of `FilterSettings` have defaults here that suit a set to learn from.

    Attributes:
        repeated: Keep items that repeat sentence, video and event of an earlier one.
        ambiguous: Keep sentences that occur, alike or nearly so, with different events in one video.
        alike: Similarity of two sentences (of their character trigrams, 0-1) from which they count as nearly the same.
        max_alike: Most items whose sentences are nearly the same, over the whole set. None: no limit.
        copies: Keep items whose video's file is a copy of another's, or shows the same frames; needs the videos.
        length_error: Seconds by which the length of the file may differ from the stated one; needs the videos. None
            does not compare.
        partial: Share of a model's confidence from which a further moment of its answer, outside the truth, counts as
            one that the annotators missed, 0-1; needs answers. None does not look.
        agreement: Items are left out whose truth overlaps the answers of a model less than this, in t_IoU, on average;
            needs answers. None does not compare.
        max_per_video: Most items of one video. None: no limit.
        max_per_source: Most items of one source. None: no limit.
        sources: Most items of single sources by their names, instead of `max_per_source`.
    """

    min_duration: float = 5.0
    max_duration: float | None = 500.0
    max_words: int | None = 200
    max_fraction: float = 0.8
    inside: bool = True
    audible: bool = False
    overrun: float = 1.0
    min_words: int = 3
    min_seconds: float = 0.5
    told: bool = False
    cut_again: bool = False
    max_box: float = 0.8
    repeated: bool = False
    ambiguous: bool = False
    alike: float = 0.8
    max_alike: int | None = None
    copies: bool = False
    length_error: float | None = 1.0
    partial: float | None = 0.8
    agreement: float | None = None
    max_per_video: int | None = None
    max_per_source: int | None = None
    sources: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What is known beside the items.

    Attributes:
        answers: A model's answers by item id, once for each file of answers.
        files: The file of each video that was looked for, by the video's name in the manifest. Empty if none was.
        test_videos: Where each video of the sets to stay away from comes from, by `names.video_key`.
    """

    answers: Sequence[Mapping[str, Prediction]] = ()
    files: Mapping[str, VideoFile] = field(default_factory=dict)
    test_videos: Mapping[str, str] = field(default_factory=dict)


#: Gets items, the settings and the evidence; gives what was seen of each item to leave out, by its index.
SetFilter = Callable[[Sequence[Item], CurationSettings, Evidence], dict[int, str]]


def source_of(item: Item) -> str:
    """The data set that an item was taken from: the one that a collection names for it, else the item's own.

    >>> source_of(Item("a", "v", source="time-r1", extra={"dataset": "cosmo"})), source_of(Item("a", "v"))
    ('cosmo', 'unknown')
    """
    return str(item.extra.get("dataset") or item.source or "unknown")


def unreadable_file(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Videos that are missing or cannot be read: a run would skip them one by one. Only asked with the videos."""
    return {k: fault for k, item in enumerate(items) if (fault := _file(item, known).fault) is not None}


def other_length(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Files whose length is not the stated one, or whose truth ends after it: another cut. Only with the videos."""
    found: dict[int, str] = {}
    if limits.length_error is None:
        return found
    for k, item in enumerate(items):
        length = _file(item, known).duration
        if length is None:
            continue
        # an item about a window of the whole file says how long the window is, and its times count from its start
        part = item.window is not None and length > item.window.end - limits.length_error
        stated = None if part else item.duration
        last = float(item.spans.max(initial=0.0)) + (item.offset if part else 0.0)
        if stated is not None and abs(length - stated) > limits.length_error:
            found[k] = f"the file has {length:.1f} s, not {stated:.1f} s"
        elif limits.inside and last > length + limits.overrun:
            found[k] = f"the truth ends at {last:.1f} s, the file at {length:.1f} s"
    return found


def repeated_item(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Items that repeat sentence, video and event of an earlier one: they would count twice."""
    found: dict[int, str] = {}
    if limits.repeated:
        return found
    earlier: dict[tuple[object, ...], list[Item]] = defaultdict(list)
    for k, item in enumerate(items):
        own = earlier[item.video, item.window, normalised(item.query)]
        twin = next((other for other in own if _same_event(item, other)), None)
        if twin is None:
            own.append(item)
        else:
            found[k] = f"repeats {twin.id}"
    return found


def ambiguous_sentence(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Sentences with different events in one video: each answer is wrong for the other."""
    found: dict[int, str] = {}
    if limits.ambiguous:
        return found
    by_video: dict[object, list[int]] = defaultdict(list)
    for k, item in enumerate(items):
        by_video[item.video, item.window].append(k)
    for own in by_video.values():
        if len(own) < 2:
            continue
        groups_of_video: dict[int, list[int]] = defaultdict(list)
        for k, leader in zip(own, groups([items[k].query for k in own], limits.alike), strict=True):
            groups_of_video[int(leader)].append(k)
        for members in groups_of_video.values():
            for k in members:
                other = next((j for j in members if not _same_event(items[k], items[j])), None)
                if other is not None:
                    found[k] = f"as in {items[other].id}"
    return found


def sentence_too_often(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Sentences of which the set has more than `max_alike` that are nearly the same: a run would learn them by heart.

    The first ones are kept.
    """
    if limits.max_alike is None:
        return {}
    counts: Counter[int] = Counter()
    found = {}
    for k, leader in enumerate(groups([item.query for item in items], limits.alike).tolist()):
        counts[leader] += 1
        if counts[leader] > limits.max_alike:
            found[k] = f"the {counts[leader]}th like {items[leader].id}"
    return found


def copied_video(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Videos that are copies of another one, byte for byte or frame by frame. Only asked with the videos.

    The video that comes first is kept with its items; a copy under another name would leak into another split.
    """
    found: dict[int, str] = {}
    if limits.copies:
        return found
    copies: dict[str, str] = {}
    by_content: dict[str, str] = {}
    by_length: list[tuple[float, str]] = []
    for name in dict.fromkeys(item.video for item in items):
        file = known.files.get(name)
        if file is None or file.content is None or file.duration is None:
            continue
        twin = by_content.get(file.content)
        if twin is None:
            # copies are nearly equally long, so that only a few need to be compared
            low = bisect_left(by_length, (0.98 * file.duration - 0.2, ""))
            high = bisect_left(by_length, (1.02 * file.duration + 0.2, ""))
            near = (other for _, other in by_length[low:high] if are_copies(file, known.files[other]))
            twin = next(near, None)
        if twin is None:
            by_content[file.content] = name
            insort(by_length, (file.duration, name))
        else:
            copies[name] = twin
    return {k: f"a copy of {copies[item.video]}" for k, item in enumerate(items) if item.video in copies}


def in_another_set(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Videos of the sets given by --against: what is measured there must not have been learned from."""
    keys = ((k, item, video_key(item.video)) for k, item in enumerate(items))
    return {k: f"{key} is in {known.test_videos[key]}" for k, item, key in keys if key in known.test_videos}


def partly_annotated(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Items of which a model that found the truth found a further moment outside of it: annotators may have missed it.

    The idea is VideoTG-R1's (arXiv 2510.23397). It is asked of answers with several spans only.
    """
    found: dict[int, str] = {}
    if limits.partial is None or not known.answers:
        return found
    for k, item in enumerate(items):
        truth = item.span_set
        votes = [further for by_id in known.answers if (further := _further(by_id.get(item.id), truth, limits.partial))]
        # of several answers, most must say so
        if len(votes) * 2 > sum(item.id in by_id for by_id in known.answers):
            start, end = votes[0]
            found[k] = f"also at {start:.1f}-{end:.1f} s"
    return found


def disagreeing_answer(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Items whose truth a strong model's answers contradict: wrong labels, and also what is hard for that model."""
    if limits.agreement is None or not known.answers:
        return {}
    total, count = np.zeros(len(items)), np.zeros(len(items))
    for by_id in known.answers:
        given = [by_id.get(item.id) for item in items]
        there = np.array([prediction is not None for prediction in given], bool)
        total += np.where(there, default_iou(items, given), 0.0)
        count += there
    mean = np.divide(total, count, out=np.ones(len(items)), where=count > 0)
    return {int(k): f"t_IoU {mean[k]:.2f}" for k in np.flatnonzero(mean < limits.agreement)}


def too_many_of_a_video(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Items beyond the first `max_per_video` of a video: a few long videos would outweigh the others."""
    return _over(items, lambda item: item.video, lambda name: limits.max_per_video)


def too_many_of_a_source(items: Sequence[Item], limits: CurationSettings, known: Evidence) -> dict[int, str]:
    """Items beyond the cap of their source, evenly over the set's order, so that no part of a source is lost whole."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for k, item in enumerate(items):
        by_source[source_of(item)].append(k)
    found: dict[int, str] = {}
    for source, own in by_source.items():
        most = limits.sources.get(source, limits.max_per_source)
        if most is not None and len(own) > most:
            kept = {own[at * len(own) // most] for at in range(most)}
            found |= {k: f"more than {most} of {source}" for k in own if k not in kept}
    return found


#: The filters of sets, in the order in which they are asked.
SET_FILTERS: list[SetFilter] = [
    unreadable_file, other_length, repeated_item, ambiguous_sentence, copied_video, in_another_set, partly_annotated,
    disagreeing_answer, sentence_too_often, too_many_of_a_video, too_many_of_a_source,
]  # fmt: skip


def _same_event(a: Item, b: Item) -> bool:
    """Whether the truths of two items of one video mean the same event."""
    return np.array_equal(a.spans, b.spans) or t_iou(a.span_set, b.span_set) >= SAME_EVENT


def _file(item: Item, known: Evidence) -> VideoFile:
    return known.files.get(item.video, VideoFile())


def _over(items: Sequence[Item], key: Callable[[Item], str], most_of: Callable[[str], int | None]) -> dict[int, str]:
    counts: Counter[str] = Counter()
    found: dict[int, str] = {}
    for k, item in enumerate(items):
        name = key(item)
        most = most_of(name)
        counts[name] += 1
        if most is not None and counts[name] > most:
            found[k] = f"more than {most} of {name}"
    return found


def _further(prediction: Prediction | None, truth: SpanSet, share: float) -> tuple[float, float] | None:
    """A confident span of an answer that does not touch the truth, where another one does; None if there is none."""
    if prediction is None:
        return None
    rows = np.c_[answered(prediction), np.ones(len(answered(prediction)))]
    ranked = prediction.ranked
    if ranked is not None and len(ranked) > 1 and np.isfinite(ranked[:, 2]).all() and ranked[:, 2].max() > 0:
        rows = ranked[ranked[:, 2] >= share * ranked[:, 2].max()]
    apart: tuple[float, float] | None = None
    hit = not len(truth)
    for start, end in rows[:, :2].tolist():
        if not start < end:
            continue
        if len(SpanSet([(start, end)]) & truth):
            hit = True
        elif apart is None:
            apart = (start, end)
    return apart if hit else None


def unused_settings(limits: CurationSettings, known: Evidence) -> list[str]:
    """Sentences about filters that are on but lack what they need to look at.

    >>> unused_settings(CurationSettings(), Evidence())[0]
    'missing, unreadable and copied videos were not looked for: add --videos DIR'
    """
    said = []
    if not known.files:
        said.append("missing, unreadable and copied videos were not looked for: add --videos DIR")
    if not known.answers and (limits.partial is not None or limits.agreement is not None):
        said.append("no answers of a model were compared with the truth: add --answers FILE")
    if not known.test_videos:
        said.append("videos of test sets were not looked for: add --against FILE")
    return said


def sources_without_items(limits: CurationSettings, items: Sequence[Item]) -> Set[str]:
    """Names in `sources` that no item has: most likely misspelt."""
    return set(limits.sources) - {source_of(item) for item in items}
