"""Filters: which items of a released set or manifest a run learns from, and why the others are left out.

A filter is a function that looks at an item and gives the reason for leaving it out, or None. `FILTERS` lists them in
the order in which they are asked; the first reason counts. Their keys are the fields of `FilterSettings`. A new filter
is a function, its place in `FILTERS` and, where it has one, a field for its limit (with metadata={"added": True}, so
that hashes of earlier recipes stay).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from whenwhere.datasets.item import Item

#: Words of sentences about what is heard (TimeLens, training/data/grounding.py).
HEARD = frozenset(["hear", "heard", "hears", "hearing", "sound", "sounded", "sounds", "sounding", "audio"])


@dataclass(frozen=True)
class FilterSettings:
    """Limits of the filters; the defaults leave out nothing but items that are invalid in their release.

    Attributes:
        min_duration: Videos shorter than this many seconds are left out.
        max_duration: Videos longer than this many seconds are left out. None: no limit.
        max_words: Sentences with more words are left out. None: no limit.
        max_fraction: Events that take a larger share of their video are left out.
        inside: Leave out spans that reach outside their video.
        audible: Keep sentences about what is heard.
        one_per_video: Keep only the first sentence of each video.
    """

    min_duration: float = 0.0
    max_duration: float | None = None
    max_words: int | None = None
    max_fraction: float = 1.0
    inside: bool = False
    audible: bool = True
    one_per_video: bool = False


#: Gets an item, the limits, and the videos of the items that were kept so far; gives a reason or None.
Filter = Callable[[Item, FilterSettings, Set[str]], str | None]


def invalid(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Items that the release itself marks as invalid.

    >>> invalid(Item("a", "v.mp4", status="invalid"), FilterSettings(), set())
    'invalid in the release'
    """
    return "invalid in the release" if item.status != "valid" else None


def video_too_short(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Videos shorter than `min_duration`; a video of unknown duration is kept."""
    short = item.duration is not None and item.duration < limits.min_duration
    return "video too short" if short else None


def video_too_long(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Videos longer than `max_duration`; a video of unknown duration is kept."""
    most = limits.max_duration
    return "video too long" if most is not None and item.duration is not None and item.duration > most else None


def too_many_words(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Sentences of more than `max_words` words."""
    return "too many words" if limits.max_words is not None and len(_words(item)) > limits.max_words else None


def about_what_is_heard(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Sentences about sounds, unless `audible` keeps them.

    >>> about_what_is_heard(Item("a", "v.mp4", "A bark is heard"), FilterSettings(audible=False), set())
    'about what is heard'
    """
    return "about what is heard" if not limits.audible and HEARD.intersection(_words(item)) else None


def span_outside(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Spans that begin before 0 s or end after the video, where `inside` asks for it."""
    if not limits.inside or not len(item.spans):
        return None
    late = item.duration is not None and item.spans.max() > item.duration
    return "span outside the video" if item.spans.min() < 0 or late else None


def event_too_long(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Events that take more than `max_fraction` of their video."""
    if limits.max_fraction >= 1 or not len(item.spans) or not item.duration:
        return None
    long = item.span_set.duration > limits.max_fraction * item.duration
    return "event too long a part of the video" if long else None


def further_sentence(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """All sentences of a video but the first that is kept, where `one_per_video` asks for it."""
    return "a further sentence of the same video" if limits.one_per_video and item.video in seen else None


#: All filters, in the order in which they are asked.
FILTERS: list[Filter] = [
    invalid, video_too_short, video_too_long, too_many_words, about_what_is_heard, span_outside, event_too_long,
    further_sentence,
]  # fmt: skip


def filter_items(items: Iterable[Item], limits: FilterSettings) -> tuple[list[Item], Counter[str]]:
    """The items that every filter keeps, and how many were left out for which reason.

    Args:
        items: The items in order.
        limits: The limits.

    >>> items = [Item("a", "v.mp4", "a dog"), Item("b", "v.mp4", "a dog runs to the tree")]
    >>> kept, left_out = filter_items(items, FilterSettings(max_words=3))
    >>> [item.id for item in kept], dict(left_out)
    (['a'], {'too many words': 1})
    """
    kept: list[Item] = []
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    for item in items:
        reasons = (one(item, limits, seen) for one in FILTERS)
        reason = next((r for r in reasons if r is not None), None)
        if reason is not None:
            left_out[reason] += 1
            continue
        seen.add(item.video)
        kept.append(item)
    return kept, left_out


def _words(item: Item) -> list[str]:
    return item.query.lower().replace("?", " ").split()
