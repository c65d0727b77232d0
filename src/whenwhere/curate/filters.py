"""Filters: which items of a released set or manifest a run learns from, and why the others are left out.

A filter is a function that looks at an item and gives the reason for leaving it out, or None. `FILTERS` lists them in
the order in which they are asked; the first reason counts. Their keys are the fields of `FilterSettings`. A new
filter is a function, its place in `FILTERS` and, where it has one, a field for its limit (with metadata=_ADDED, so that
hashes of earlier recipes stay). What needs to see the whole set, other sets or files is in `set_filters`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field

import numpy as np

from whenwhere.curate.names import named_window
from whenwhere.datasets.item import Item

#: Metadata of fields that earlier recipes did not have: while they are unset, the hash of a recipe stays as it was.
_ADDED = {"added": True}
#: Words of sentences about what is heard (TimeLens, training/data/grounding.py).
HEARD = frozenset(["hear", "heard", "hears", "hearing", "sound", "sounded", "sounds", "sounding", "audio"])
#: Sentences that say where in the video something happens, or how its truth was made: answers without looking.
TOLD = re.compile(
    r"\b(?:(?:at|near|towards?|in|by|until|from|since)\s+the\s+(?:very\s+)?(?:beginning|start|end|ending)\b"
    r"(?!\s+of\s+(?!the\s+(?:video|clip|film|movie|footage|scene|recording)))"
    r"|(?:middle|half|third|quarter)\s+of\s+the\s+(?:video|clip|film|movie|footage|recording)"
    r"|(?:first|last|final|opening|closing|beginning|ending)\s+"
    r"(?:(?:few|\w+)\s+)?(?:seconds?|minutes?|frames?|scenes?|shots?|credits?|titles?|moments?)"
    r"|(?:video|clip|film|movie|footage|scene|recording)\s+(?:then\s+|finally\s+)?"
    r"(?:begins?|starts?|opens?|ends?|closes?|finishes|concludes?)"
    r"|(?:opening|closing|end|ending)\s+(?:credits?|titles?)|credits?\s+(?:roll|are|appear)"
    r"|ground[\s-]?truth|annotat(?:ed|ion|ions|or)|time[\s-]?stamps?|bounding\s+box(?:es)?"
    r"|\d{1,2}:\d\d(?::\d\d)?|\d+(?:\.\d+)?\s*(?:s|sec|secs|seconds?)\s+(?:mark|in|into)"
    r"|(?:start|begin|end)s?\s+(?:and\s+ends?\s+)?at\s+\d)",
    re.IGNORECASE,
)


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
        overrun: Seconds by which a span may reach outside its video before `inside` leaves it out.
        min_words: Sentences with fewer words are left out.
        min_seconds: Events shorter than this many seconds are left out.
        told: Keep sentences that say where in the video it happens ("at the end", "the opening credits").
        cut_again: Keep items whose file, by its name, is already the window that they are about. Read with their
            window, such a file is cut twice.
        max_box: Items whose median true box takes a larger share of the frame are left out.
    """

    min_duration: float = 0.0
    max_duration: float | None = None
    max_words: int | None = None
    max_fraction: float = 1.0
    inside: bool = False
    audible: bool = True
    one_per_video: bool = False
    overrun: float = field(default=0.0, metadata=_ADDED)
    min_words: int = field(default=0, metadata=_ADDED)
    min_seconds: float = field(default=0.0, metadata=_ADDED)
    told: bool = field(default=True, metadata=_ADDED)
    cut_again: bool = field(default=True, metadata=_ADDED)
    max_box: float = field(default=1.0, metadata=_ADDED)


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
    """Spans that begin before 0 s or end after the video, by more than `overrun`, where `inside` asks for it."""
    if not limits.inside or not len(item.spans):
        return None
    late = item.duration is not None and item.spans.max() > item.duration + limits.overrun
    return "span outside the video" if item.spans.min() < -limits.overrun or late else None


def event_too_short(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Events of less than `min_seconds`, which annotators' clicks are too coarse for; absent events are kept."""
    if limits.min_seconds <= 0 or not len(item.spans):
        return None
    return "event too short" if item.span_set.duration < limits.min_seconds else None


def too_few_words(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Sentences of fewer than `min_words` words, which seldom say what to look for."""
    # languages that put no spaces between words write about a word with each sign
    signs = sum("\u3040" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7af" for letter in item.query)
    return "too few words" if len(_words(item)) + signs < limits.min_words else None


def told_in_the_sentence(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Sentences that say where in the video it happens: they can be answered without looking, unless `told` keeps them.

    >>> off = FilterSettings(told=False)
    >>> told_in_the_sentence(Item("a", "v.mp4", "The closing credits are shown"), off, set())
    'the sentence says where in the video'
    >>> told_in_the_sentence(Item("b", "v.mp4", "She waits at the end of the street"), off, set()) is None
    True
    """
    return "the sentence says where in the video" if not limits.told and TOLD.search(item.query) else None


def already_cut(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Items with a window of a longer video whose file is, by its name, that window already: it would be cut twice.

    >>> from whenwhere.spans import Span
    >>> item = Item("a", "xyz_12.0_34.0.mp4", "a dog runs", window=Span(12.0, 34.0))
    >>> already_cut(item, FilterSettings(cut_again=False), set())
    'already cut, by its name'
    """
    if limits.cut_again or item.window is None:
        return None
    return "already cut, by its name" if named_window(item.video) else None


def box_too_large(item: Item, limits: FilterSettings, seen: Set[str]) -> str | None:
    """Boxes whose median takes more than `max_box` of the frame: they ask for no place; without a size it is kept."""
    boxes = [tube.boxes for tube in item.tubes if len(tube)]
    if limits.max_box >= 1 or not boxes or not item.width or not item.height:
        return None
    sides = np.concatenate(boxes)
    share = np.median((sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])) / (item.width * item.height)
    return "box almost as large as the frame" if share > limits.max_box else None


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
    invalid, video_too_short, video_too_long, too_few_words, too_many_words, about_what_is_heard, told_in_the_sentence,
    span_outside, event_too_short, event_too_long, already_cut, box_too_large, further_sentence,
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
