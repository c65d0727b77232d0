"""Answers sentences about text by reading the video: when the text can be read, and where it stands."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import WhenwhereError
from whenwhere.grounders.grounder import Grounder, GroundingRequest, GroundingResult
from whenwhere.grounders.writing.index import FPS, WritingIndex, build_writing_index, index_key
from whenwhere.grounders.writing.matching import Place, best_place
from whenwhere.grounders.writing.query import TextQuery, read_text_query
from whenwhere.models.ocr import TextReader, open_text_reader
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, stream_index

#: How alike a text must be to be taken for the one that is asked for, and to speak against its absence.
FOUND, NEAR = 0.8, 0.6
#: Frames without the text that do not end a span.
_GAP = 2
#: Shorter side in pixels of a picture below which unread text may be there all the same.
_SMALL = 120
#: Sureness of an absence, of any text, and the factors of a text seen in one frame and of words not understood.
_ABSENT, _ANY, _ONCE, _EXTRA = 0.6, 0.6, 0.8, 0.6
#: Most candidates that are listed, and most videos whose index is kept in memory.
LISTED, _OPEN = 8, 4
#: The reader is used by one thread at a time, and sessions share it.
_READING = Lock()


class WritingGrounder:
    """Answers sentences about text by reading it, and leaves all other sentences to another grounder.

    Args:
        other: The grounder of all other sentences.
        cache: Where indices are stored; None keeps them in memory only.
        progress: Called with the share of the video that has been read, in 0-1.
        reader: Opens the reader; it is called when a video is read for the first time.
    """

    def __init__(
        self,
        other: Grounder,
        cache: Cache | None = None,
        progress: Callable[[float], None] | None = None,
        reader: Callable[[], TextReader] = open_text_reader,
    ) -> None:
        self.other, self.name = other, other.name
        self.cache = cache or Cache(enabled=False)
        self.progress = progress
        self.reader = reader
        self._indices: OrderedDict[tuple[str, float], WritingIndex] = OrderedDict()

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """The frames that a first question decodes; later ones decode none."""
        if read_text_query(request.query) is None:
            return self.other.estimate(info, request)
        return {"frames": len(stream_index(info, request.sample_fps or FPS)), "calls": 0, "tokens": 0}

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`). Nothing is drawn at random, so `seed` has no effect."""
        wanted = read_text_query(request.query)
        if wanted is None:
            return self.other.ground(info, request)
        found = GroundingResult("unsure", 0.0, reading={"text": " ".join(wanted.words) or "any"}, candidates=[])
        assert found.reading is not None
        try:
            index, found.frames_decoded = self._index(info, request.sample_fps)
        except WhenwhereError as e:
            # without the extra nothing can be read, and a guess by colour and motion would be no answer
            if e.kind != "missing-extra":
                raise
            found.warnings = [str(e)]
            return found
        found.frames_shown, found.warnings = found.frames_decoded, list(index.warnings)
        if wanted.extra:
            found.reading["doubts"] = [f"not understood: {' '.join(wanted.extra)}"]
        alike, boxes = _matches(index, wanted)
        window = request.span or request.within
        if window is not None:
            alike = np.where((index.times >= window.start) & (index.times < window.end), alike, 0.0)
        found.candidates = _listed(index, window)
        self._judge(found, wanted, index, alike, request, info)
        if found.status == "answered":
            found.tubes = _tubes(found.spans, index.times[alike >= FOUND], boxes[alike >= FOUND], info, request.rate)
            label = " ".join(wanted.words) or "text"
            found.tubes = [tube.replace(label=label, score=found.confidence) for tube in found.tubes]
        return found

    def _judge(
        self,
        found: GroundingResult,
        wanted: TextQuery,
        index: WritingIndex,
        alike: NDArray[np.float64],
        request: GroundingRequest,
        info: VideoInfo,
    ) -> None:
        """Sets the status, the confidence and the spans by how alike the text of each frame is."""
        spans = _spans(index, alike >= FOUND)
        if spans:
            sure = float(alike[alike >= FOUND].mean()) if wanted.words else _ANY
            sure *= _ONCE if (alike >= FOUND).sum() < 2 else 1.0
            sure *= _EXTRA if wanted.extra else 1.0
            sure = round(min(0.95, sure), 3)
            if wanted.which:
                spans = [spans[0 if wanted.which > 0 else -1]]
            chosen = SpanSet(Span(s.start, s.end, sure) for s in spans)
            if request.within is not None:
                chosen = chosen & SpanSet([request.within])
            found.status, found.confidence = "answered", sure
            found.spans = chosen if request.span is None else SpanSet([request.span])
            found.ranked = [Span(s.start, s.end, sure) for s in spans]
        elif request.span is not None:
            found.status, found.spans = "answered", SpanSet([request.span])
        elif min(info.width, info.height) < _SMALL:
            assert found.reading is not None
            found.reading.setdefault("doubts", []).append("the picture is too small to read")
        elif (not alike.size or alike.max() < NEAR) and not wanted.extra:
            found.status, found.confidence = "absent", _ABSENT
        else:
            found.confidence = round(0.5 * float(alike.max(initial=0.0)), 3)
            found.ranked = [Span(s.start, s.end, found.confidence) for s in _spans(index, alike >= NEAR)]

    def _index(self, info: VideoInfo, sample_fps: float | None) -> tuple[WritingIndex, int]:
        """The index of a video, and the number of frames that this call had to decode for it."""
        fps = sample_fps or FPS
        key = (info.content, fps)
        made: list[WritingIndex] = []
        if key not in self._indices:
            reader = self.reader()

            def make() -> dict[str, NDArray]:
                with _READING:
                    made.append(build_writing_index(info, reader, fps, self.progress))
                return made[0].arrays()

            stored = self.cache.arrays(index_key(self.cache, info, fps), make)
            self._indices[key] = WritingIndex.from_arrays(stored)
            while len(self._indices) > _OPEN:
                self._indices.popitem(last=False)
        self._indices.move_to_end(key)
        return self._indices[key], len(made[0].times) if made else 0


def _matches(index: WritingIndex, wanted: TextQuery) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each frame, how alike its text is to what is wanted, shape (T,), and the box around that, shape (T, 4)."""
    alike, boxes = np.zeros(len(index.times)), np.zeros((len(index.times), 4))
    known: dict[tuple[int, ...], Place] = {}
    ends = np.searchsorted(index.frame, np.arange(len(index.times) + 1))
    for k in range(len(index.times)):
        part = slice(ends[k], ends[k + 1])
        numbers = tuple(index.text[part].tolist())
        if not numbers:
            continue
        if numbers not in known:
            lines = [index.texts[n] for n in numbers]
            known[numbers] = best_place(wanted.words, lines) if wanted.words else _anything(lines)
        alike[k] = known[numbers].alike
        if known[numbers].parts:
            lines_taken, begins, ends_at = (np.array(column) for column in zip(*known[numbers].parts, strict=True))
            own = index.boxes[part][lines_taken].astype(float)
            width = own[:, 2] - own[:, 0]
            # letters are about equally wide
            left, right = own[:, 0] + begins * width, own[:, 0] + ends_at * width
            boxes[k] = [left.min(), own[:, 1].min(), right.max(), own[:, 3].max()]
    return alike, boxes


def _anything(lines: list[str]) -> Place:
    """All lines of two letters or more; a single one is often an edge of something."""
    parts = tuple((k, 0.0, 1.0) for k, line in enumerate(lines) if sum(map(str.isalnum, line)) > 1)
    return Place(1.0 if parts else 0.0, parts)


def _spans(index: WritingIndex, there: NDArray[np.bool_]) -> list[Span]:
    """The spans in which a text is there, with short gaps closed."""
    at = np.flatnonzero(there)
    if not at.size:
        return []
    end = index.times[-1] + index.step
    parts = np.split(at, np.flatnonzero(np.diff(at) > _GAP + 1) + 1)
    # a change between two frames is in the middle of them as far as anyone knows; the video's ends are known
    first = [index.times[p[0]] - (index.step / 2 if p[0] else 0.0) for p in parts]
    last = [min(index.times[p[-1]] + (index.step / 2 if p[-1] + 1 < len(there) else index.step), end) for p in parts]
    return [Span(max(0.0, float(a)), float(b)) for a, b in zip(first, last, strict=True)]


def _tubes(
    spans: SpanSet, times: NDArray[np.float64], boxes: NDArray[np.float64], info: VideoInfo, rate: float
) -> list[Tube]:
    """One tube of the boxes of a text, at the second-level times of the spans."""
    if not len(times):
        return []
    spans = spans.clip(info.duration)
    at = np.concatenate([second_level_times(s, rate, last=info.last_before(s.end)) for s in spans])
    there = np.stack([np.interp(at, times, boxes[:, k]) for k in range(4)], 1)
    there[:, 0::2] = there[:, 0::2].clip(0, info.width)
    there[:, 1::2] = there[:, 1::2].clip(0, info.height)
    keep = (there[:, 2] - there[:, 0] > 0.5) & (there[:, 3] - there[:, 1] > 0.5)
    return [Tube(spans, at[keep], there[keep], rate=rate)] if keep.any() else []


def _listed(index: WritingIndex, window: Span | None) -> list[dict[str, Any]]:
    """The texts that can be read longest, as JSON values."""
    there = np.ones(len(index.frame), bool)
    if window is not None:
        seen = index.times[index.frame]
        there = (seen >= window.start) & (seen < window.end)
    counts = np.bincount(index.text[there], minlength=len(index.texts))
    listed = []
    for number in np.argsort(-counts, kind="stable")[:LISTED].tolist():
        own = np.flatnonzero(there & (index.text == number))
        if own.size:
            first, last = (float(index.times[index.frame[own[k]]]) for k in (0, -1))
            listed.append(
                {
                    "start": round(first, 3),
                    "end": round(last + index.step, 3),
                    "score": round(float(index.scores[own].mean()), 3),
                    "t": round(first, 3),
                    "box": [round(float(x), 1) for x in index.boxes[own[0]]],
                    "text": index.texts[number],
                }
            )
    return listed
