"""Two records that the ranking works on: what was observed in a video, and one possible answer."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.index import Index
from whenwhere.spans import Span, SpanSet


@dataclass
class Candidate:
    """One possible answer.

    Attributes:
        actor: The actor that the sentence may mean.
        spans: The answered time, inside the actor's own.
        score: Sum of `terms`.
        terms: What each property of the sentence contributes, by name, as log-likelihood ratios.
        place: (4,) fixed box to answer with instead of the actor's boxes (an object at rest), or None.
    """

    actor: TrackedActor
    spans: SpanSet
    score: float
    terms: dict[str, float] = field(default_factory=dict)
    place: NDArray[np.float64] | None = None

    @property
    def hull(self) -> Span:
        """The span from the first start to the last end."""
        hull = self.spans.hull
        assert hull is not None
        return hull


@dataclass
class ObservedScene:
    """What was observed in a video: the actors, object changes and static objects to choose from.

    Attributes:
        actors: All tracked actors that come into question.
        changes: (m, len(object_changes.COLUMNS)) objects that were put down or taken away.
        change_colours: (m, 13) their colour shares.
        duration: Of the video, in seconds.
        width: Of the displayed frame, in pixels.
        height: Of the displayed frame, in pixels.
        cuts: Times of the first frames of new shots, in seconds.
        static: (k, 6) objects that never move: start, end, box.
        static_colours: (k, 13) their colour shares.
    """

    actors: list[TrackedActor]
    changes: NDArray[np.float64]
    change_colours: NDArray[np.float32]
    duration: float
    width: int
    height: int
    cuts: NDArray[np.float64]
    static: NDArray[np.float64]
    static_colours: NDArray[np.float32]

    @classmethod
    def of(cls, index: Index, actors: list[TrackedActor]) -> Self:
        """The scene of an index with some or all of its actors."""
        return cls(
            actors, index.changes, index.change_colours, index.duration, index.width, index.height, index.cuts,
            index.static, index.static_colours,
        )  # fmt: skip
