"""One question with its truth: the unit of every benchmark, manifest, training set and curation step.

An `Item` keeps what the benchmark released, at full precision, in the package's units: seconds from the first displayed
frame, half-open spans, xyxy pixels of the displayed frame. What a release counts in another way (inclusive ends,
1-based frames, swapped corners) is converted once, in the reader of that benchmark.

Spans are *raw*. They may overlap (several annotators) and may end after the video's end. If a released span ends before
it starts, the item is kept with status `invalid`, so that no denominator shrinks silently. `Item.span_set` is the union
of the spans. Whatever only one benchmark's own protocol needs (saliency votes, chunks, native frame numbers) is in
`extra`, under that release's own keys and in its units.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube


def span_array(spans: ArrayLike = ()) -> NDArray[np.float64]:
    """Rows of (start, end) as a (k, 2) float64 array; k may be 0.

    >>> span_array([(1, 2)]).shape, span_array().shape
    ((1, 2), (0, 2))
    """
    return np.asarray(spans, np.float64).reshape(-1, 2)


@dataclass(slots=True, eq=False)
class Item:
    """One sentence about one video, with its ground truth.

    Attributes:
        id: Name that is unique in the set; predictions are matched by it. It is empty only in a list of questions
            without truth (`whenwhere.datasets.questions`).
        video: Name or path of the video. Items of one video form a cluster in every confidence interval.
        query: The sentence.
        spans: The true spans (start, end) in seconds, shape (k, 2), as released: they may overlap or end after the
            video. k = 0 means that the event is not in the video.
        tubes: The true boxes, one tube per object, at the times of the annotation itself.
        duration: Length in seconds of the video, or of the window if times count from the window's start. None if the
            release does not say.
        window: The span of the video that the question is about, in seconds of the video. None means the whole video.
        offset: The second of the video at which the item's time 0 lies. It is the start of the window if the release
            counts from there, and otherwise 0.
        fps: Frames per second in which the release counts. None if it does not count frames.
        frames: Number of frames that the release states.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        status: `invalid` items stay in every denominator and cannot be answered correctly.
        fault: One sentence that says what is wrong with an invalid item.
        type: Kind of query, if the set has kinds.
        split: `train`, `val`, `test`, ... as the release calls it.
        source: Name of the benchmark.
        licence: Licence as the release states it.
        captions: Further sentences that describe the same event.
        options: Answers to choose from (multiple-choice questions).
        answer: The correct answer, as the release writes it.
        difficulty: How hard the item is for a policy, 1 - its reward, in 0-1; higher is harder.
        difficulty_of: Name of the score and of the policy that `difficulty` was measured with.
        provenance: File, key or line, and version: how to find the entry again.
        extra: Whatever only this benchmark's own protocol needs.
    """

    id: str
    video: str
    query: str = ""
    spans: NDArray[np.float64] = field(default_factory=span_array)
    tubes: list[Tube] = field(default_factory=list)
    duration: float | None = None
    window: Span | None = None
    offset: float = 0.0
    fps: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    status: Literal["valid", "invalid"] = "valid"
    fault: str | None = None
    type: str | None = None
    split: str | None = None
    source: str | None = None
    licence: str | None = None
    captions: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    answer: str | None = None
    difficulty: float | None = None
    difficulty_of: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # -0.0 equals the default and is left out of files like it: only one of the two can come back
        self.offset += 0.0

    @property
    def span_set(self) -> SpanSet:
        """The union of the true spans. Spans with end <= start hold no time and are left out.

        >>> Item("a", "v", spans=span_array([(3, 5), (4, 6), (9, 9)])).span_set
        SpanSet([3, 6))
        """
        return SpanSet((float(s), float(e)) for s, e in self.spans if s < e)


def shifted(item: Item, seconds: float) -> Item:
    """The item with its true times shifted by some seconds; the item itself, if that is nothing.

    >>> shifted(Item("a", "v", spans=span_array([(3, 5)])), -1.0).spans.tolist()
    [[2.0, 4.0]]
    """
    if not seconds:
        return item
    tubes = [
        tube.replace(
            spans=SpanSet((span.start + seconds, span.end + seconds) for span in tube.spans), times=tube.times + seconds
        )
        for tube in item.tubes
    ]
    return replace(item, spans=item.spans + seconds, tubes=tubes)
