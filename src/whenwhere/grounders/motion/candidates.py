"""What there is to choose from, and what a choice looks like."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import Actor
from whenwhere.spans import Span, SpanSet


@dataclass
class Candidate:
    """One possible answer.

    Attributes:
        actor: who; spans: when (inside the actor's time).
        score: sum of `terms`.
        terms: why, by name.
        place: (4,) a fixed box instead of the actor's own (things at rest), or None.
    """

    actor: Actor
    spans: SpanSet
    score: float
    terms: dict[str, float] = field(default_factory=dict)
    place: NDArray[np.float64] | None = None

    @property
    def hull(self) -> Span:
        """First start to last end."""
        hull = self.spans.hull
        assert hull is not None
        return hull


@dataclass
class Scene:
    """What there is to choose from."""

    actors: list[Actor]
    rest: NDArray[np.float64]
    rest_colours: NDArray[np.float32]
    duration: float
    width: int
    height: int
    cuts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    lying: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 6)))
    lying_colours: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 13), np.float32))
