"""One question with its truth: the unit of every benchmark, manifest, training set and curation step.

An `Item` keeps what the benchmark released, at full precision, in the definitions of the floor below: seconds from the
first displayed frame, half-open spans, xyxy pixels of the displayed frame. The traps of each release (inclusive ends,
1-based frames, swapped corners) are handled once, in the reader of that benchmark, and never again.

Spans are *raw*: they may overlap (several annotators), may end behind the video, and where a release holds an end
before its start the item is kept with status `invalid`, so that no denominator shrinks silently. Sets of time are
made from them by name (`Item.span_set`). What only one benchmark's own protocol needs (saliency votes, chunks,
native frame numbers) stands under `extra`, in that release's own words and units.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


def span_array(spans: ArrayLike = ()) -> NDArray[np.float64]:
    """(k, 2) float64 of (start, end) rows, as given; k may be 0.

    >>> span_array([(1, 2)]).shape, span_array().shape
    ((1, 2), (0, 2))
    """
    return np.asarray(spans, np.float64).reshape(-1, 2)


@dataclass(slots=True, eq=False)
class Item:
    """One sentence about one video, and what is true.

    Attributes:
        id: unique in its set; what predictions are matched by.
        video: name or path of the video; items of one video form a cluster in every interval.
        query: the sentence.
        spans: (k, 2) seconds, raw (see above). k = 0 says "it is not there".
        tubes: where it is, one per object; boxes at the annotation's own times.
        duration: of the video in seconds, None where the release does not say.
        fps: frames per second that the release counts in, None where it does not count frames.
        frames: number of frames that the release states.
        width: of the frame in pixels.
        height: of the frame in pixels.
        status: `invalid` items stay in every denominator and cannot be answered rightly.
        fault: what is wrong with an invalid item, one sentence.
        type: kind of query, where the set has kinds.
        split: `train`, `val`, `test`, ... as the release calls it.
        source: the benchmark's name.
        licence: as the release states it.
        captions: further sentences that describe the same.
        options: answers to choose from (multiple choice questions).
        answer: the right one, as the release writes it.
        difficulty: 0-1, 1 - reward; `difficulty_of` names the score and policy.
        difficulty_of: name of the score behind `difficulty`.
        provenance: file, key or line, version: how to find it again.
        extra: what only this benchmark's own protocol needs.
    """

    id: str
    video: str
    query: str = ""
    spans: NDArray[np.float64] = field(default_factory=span_array)
    tubes: list[Tube] = field(default_factory=list)
    duration: float | None = None
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

    @property
    def span_set(self) -> SpanSet:
        """The truth as a set of time; spans with end <= start hold no time and are left out.

        >>> Item("a", "v", spans=span_array([(3, 5), (4, 6), (9, 9)])).span_set
        SpanSet([3, 6))
        """
        return SpanSet((float(s), float(e)) for s, e in self.spans if s < e)
