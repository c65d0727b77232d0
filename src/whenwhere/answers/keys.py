"""What the keys of a dictionary mean: starts, ends, lengths, times, boxes, and numbers that are none of these.

A key is taken apart into words ("eventStartTime", "event_start_time" and "Event start time" are the same), and each
word has one meaning in the sets below, so that a new spelling needs no new rule. A start belongs to the end whose other
words are the same: `event1_start` to `event1_end`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from whenwhere.answers.languages import in_english, key_in_english
from whenwhere.answers.lexer import word_set

Side = Literal["start", "end", "length"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
#: Whole keys, as models run them together.
_STARTS = word_set("""
    start starttime starttimes startsec startsecs startsecond startseconds startts starttimestamp begin
    begintime from tstart timestart starts startms starttimems beginning beginsec onset startpoint
""")
_ENDS = word_set("""
    end endtime endtimes endsec endsecs endsecond endseconds endts endtimestamp stop stoptime to tend timeend
    ends finish endms endtimems until ending stopsec endpoint
""")
#: Words that make a longer key a start or an end.
_START_WORDS = word_set("start starts starting begin begins beginning onset")
_END_WORDS = word_set("end ends ending stop stops finish finishes")
_LENGTH_WORDS = word_set("duration length len dur")
#: Pairs of whole keys that are a start and an end only together.
_ONLY_TOGETHER = (("t0", "t1"), ("t1", "t2"), ("onset", "offset"), ("in", "out"), ("s", "e"), ("offset", "duration"))
#: Words of a key that say nothing about which start or end is meant.
_PLAIN = word_set("""
    time times timestamp timestamps ts t of in at the for point value offset position predicted pred answer event
""")
_UNITS = {
    "ms": "ms", "msec": "ms", "millis": "ms", "milliseconds": "ms", "s": "s", "sec": "s", "secs": "s", "second": "s",
    "seconds": "s", "min": "min", "mins": "min", "minute": "min", "minutes": "min", "h": "h", "hour": "h",
    "hours": "h", "frame": "frame", "frames": "frame", "idx": "frame", "index": "frame", "ratio": "share",
    "fraction": "share", "share": "share", "normalized": "share", "normalised": "share", "norm": "share",
    "relative": "share", "percent": "%", "percentage": "%", "pct": "%",
}  # fmt: skip
_TIMES = word_set("""
    time t timestamp timesec timeseconds timestamps second seconds sec secs timems ts at frametime
""")
_TIME_WORDS = word_set("time times timestamp timestamps t ts second seconds sec secs at when")
_SPANS = word_set("""
    time timestamp timestamps timerange timeranges timespan timespans timeinterval timeintervals span spans
    segment segments interval intervals window windows moment moments period periods range ranges
    predrelevantwindows glue answer timeperiod
""")
_SPAN_WORDS = word_set("""
    span spans segment segments interval intervals window windows moment moments period periods range ranges
    timespan timespans timerange timeranges boundaries grounding localization localisation
""")
_BOXES = word_set("""
    bbox2d bbox box boundingbox boxes bboxes boundingboxes boxxyxy bboxxyxy coordinates predbbox
""")
_BOX_WORDS = word_set("bbox box boxes bboxes rect rectangle xyxy")
_OTHER_BOX_WORDS = word_set("xywh cxcywh yxyx ltwh tlwh")
_POINTS = word_set("point2d point points coordinate center centre keypoint keypoints centroid xy")
#: Words of keys whose numbers are never a span of time of the answer.
_ASIDE_WORDS = word_set("""
    size resolution width height shape dimension dimensions dims fps rate aspect score scores confidence confidences
    prob probability probabilities logit logits iou age ages count counts number people persons id ids version date
    year page pages price temperature weight color colour rgb pixel pixels x y xy position positions location
    coordinates coordinate center centre point points keypoint keypoints video videos vid total full duration
    durations length lengths saliency usage tokens frame frames rating ratings rank level query uid qid
""")
LABELS = frozenset(["label", "object", "name", "category", "obj", "objectname", "ref", "class"])
IDS = frozenset(["id", "trackid", "objectid", "targetid", "instanceid"])
CHOICES = frozenset(["answer", "choice", "option", "correctoption", "finalanswer"])
_THERE_WORDS = word_set("exists exist exists present found visible occurs occur happens happen detected relevant match")
_GONE_WORDS = word_set("absent notfound notpresent missing")
_STATUS_WORDS = word_set("status result answer response existence presence verdict found exists present visible")
_VIDEO_WORDS = word_set("video total full source")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a dictionary and what it means.

    Attributes:
        text: The key as written.
        compact: The key in lower case without anything between its words.
        words: Its words in lower case.
        unit: Unit of its numbers: `s`, `ms`, `min`, `h`, `frame`, `%`, `share` or "".
        side: Whether it names a start, an end or a length.
        stem: The words that tell this start, end or length from others.
    """

    text: str
    compact: str
    words: tuple[str, ...]
    unit: str
    side: Side | None
    stem: tuple[str, ...]

    @property
    def time(self) -> bool:
        """Whether it names one time."""
        rest = [w for w in self.words if w not in _UNITS and w not in _PLAIN]
        return self.compact in _TIMES or (not rest and bool(_TIME_WORDS & set(self.words)))

    @property
    def span(self) -> bool:
        """Whether it names spans of time."""
        return self.compact in _SPANS or (bool(_SPAN_WORDS & set(self.words)) and self.unit != "frame")

    @property
    def box(self) -> bool:
        """Whether it names boxes as x1, y1, x2, y2, or `box_2d`, whose order differs between models."""
        return self.compact in _BOXES or self.compact == "box2d" or (bool(_BOX_WORDS & set(self.words)) and self.xyxy)

    @property
    def xyxy(self) -> bool:
        """Whether it does not say that boxes are written otherwise than as two corners."""
        return not _OTHER_BOX_WORDS & set(self.words)

    @property
    def point(self) -> bool:
        """Whether it names points."""
        return self.compact in _POINTS

    @property
    def answer(self) -> bool:
        """Whether it names the answer as a whole."""
        return self.compact in CHOICES or bool(_STATUS_WORDS & set(self.words))

    @property
    def aside(self) -> bool:
        """Whether bare numbers under it are something else than an answer's times."""
        return bool(_ASIDE_WORDS & set(self.words)) and not _SPAN_WORDS & set(self.words)

    @property
    def video(self) -> bool:
        """Whether a start, end or length is that of the video."""
        return bool(self.stem) and (self.stem[0] in _VIDEO_WORDS or (self.side == "length" and self.stem[0] == "clip"))

    @property
    def of_video(self) -> bool:
        """Whether what it holds describes the video and not the answer."""
        return self.compact in ("video", "videoinfo", "metadata", "input")

    def says_absent(self, value: object) -> bool:
        """Whether this key with this flag or word says that the event is not there."""
        last = self.words[-1] if self.words else ""
        said = in_english(value).strip().strip(".!").lower() if isinstance(value, str) else value
        if last in _GONE_WORDS or self.compact in _GONE_WORDS:
            return said is True or said in ("true", "yes")
        if last in _THERE_WORDS and (said is False or said in ("false", "no") or getattr(said, "value", None) == 0):
            return True
        return bool(_STATUS_WORDS & set(self.words)) and said in (
            "absent", "not found", "not present", "not visible", "missing", "none", "no event", "not_found", "n/a",
            "not relevant", "no match", "no such event",
        )  # fmt: skip


@lru_cache(maxsize=4096)
def key_of(text: str) -> Key:
    """A key by its text.

    >>> key_of("eventStartTime").side, key_of("end_ms").unit, key_of("Pred span").span
    ('start', 'ms', True)
    """
    words = tuple(w.lower() for w in _WORD.findall(key_in_english(text[:80])))
    compact = "".join(words)
    units = [_UNITS[w] for w in words if w in _UNITS]
    unit = units[-1] if units else ""
    if unit == "frame" and _TIME_WORDS & set(words):  # "frame_time"
        unit = ""
    if not unit and compact.endswith("ms") and compact[:-2] in _STARTS | _ENDS | _TIMES:
        unit = "ms"
    side: Side | None = None
    if compact in _STARTS or _START_WORDS & set(words):
        side = "start"
    elif compact in _ENDS or _END_WORDS & set(words):
        side = "end"
    elif _LENGTH_WORDS & set(words):
        side = "length"
    elif unit == "s" and words[0] in ("first", "last"):
        side = "start" if words[0] == "first" else "end"
    used = _START_WORDS | {"first", "last"} | _END_WORDS | _LENGTH_WORDS | _PLAIN
    stem = () if compact in _STARTS | _ENDS else tuple(w for w in words if w not in used and w not in _UNITS)
    return Key(text, compact, words, unit, side, stem)


def paired(keys: Iterable[Key]) -> list[tuple[Key, Key]]:
    """The keys that together make spans: (start, end), (start, length) or (length, end).

    >>> [(a.text, b.text) for a, b in paired(map(key_of, ("a_start", "b_start", "b_end", "a_end")))]
    [('a_start', 'a_end'), ('b_start', 'b_end')]
    """
    sides: dict[Side | None, dict[tuple[str, ...], Key]] = {"start": {}, "end": {}, "length": {}, None: {}}
    named: dict[str, Key] = {}
    for key in keys:
        sides[key.side].setdefault(key.stem, key)
        named.setdefault(key.compact, key)
    starts, ends, lengths = sides["start"], sides["end"], sides["length"]
    out = [(starts.pop(stem), ends.pop(stem)) for stem in list(starts) if stem in ends]
    if len(starts) == len(ends) == 1:
        out.append((starts.popitem()[1], ends.popitem()[1]))
    for stem in list(starts) or list(ends):
        length = lengths.get(stem) or lengths.get(())
        if length is not None and not length.video:
            out.append((starts[stem], length) if stem in starts else (length, ends[stem]))
    if not out:
        out = [(named[a], named[b]) for a, b in _ONLY_TOGETHER if a in named and b in named][:1]
    return [pair for pair in out if not pair[0].video] or out
