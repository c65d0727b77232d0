"""How recognised things are compared with a reading: by class first, then by all that motion and colour tell.

The term of kind is the log-likelihood that the detector's classes fit the noun. A blob that no detection lies on keeps
the term that its shape and motion give it, less a little for not having been recognised. All other terms, the events
and the order of the candidates are those of the motion grounder.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.candidates import Candidate, ObservedScene
from whenwhere.grounders.motion.reading import QueryReading
from whenwhere.grounders.motion.reappearance import joined_visits
from whenwhere.grounders.motion.temporal_scoring import time_candidates
from whenwhere.grounders.motion.track_scoring import colour_distance_of, kind_term, track_terms
from whenwhere.grounders.objects.labels import GROUPS, WantedClasses, wanted_classes

#: Range of the term of class.
LEAST, MOST = -3.0, 0.3
#: What a blob that was not recognised loses, and the term of a recognised thing if the noun is unknown.
UNRECOGNISED, OTHER_THING, OTHER_AGENT = 0.5, -0.8, -1.6
#: Seconds for which two visits of one thing may overlap, and their largest distance in colour.
_OVERLAP, _COLOUR = 0.3, 0.33
#: Labels of what acts by itself.
_AGENTS = GROUPS["vehicle"][1] | GROUPS["animal"][1] | {"person"}
#: Least term of class of a thing whose visits are joined.
_LIKELY = -0.8


class ObjectScorer:
    """Compares by class, motion and colour (see `motion.ranking.Scorer`).

    Args:
        labels: The labels of the detector.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._agents = np.array([label in _AGENTS for label in labels])

    def wanted(self, reading: QueryReading) -> WantedClasses:
        """The classes that the reading's noun stands for."""
        return wanted_classes(reading.noun, reading.kind, self.labels)

    def class_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> NDArray[np.float64]:
        """(n,) how well each actor is of the kind that is asked for, as log-likelihood ratios."""
        wanted = self.wanted(reading)
        biggest = max((a.area for a in pool), default=1.0)
        return np.array([self._class_term(a, reading, wanted, biggest) for a in pool], float)

    def _class_term(self, actor: TrackedActor, reading: QueryReading, wanted: WantedClasses, biggest: float) -> float:
        if not reading.noun and reading.kind is None:
            return 0.0
        if not len(actor.classes):
            shape = kind_term(actor, reading.kind, biggest) if reading.kind is not None else -0.5
            return float(np.clip(shape - UNRECOGNISED, LEAST, MOST))
        if not wanted.known:
            agent = float(actor.classes[self._agents].sum())
            return OTHER_THING + (OTHER_AGENT - OTHER_THING) * agent
        fit = float((wanted.weights * actor.classes).max())
        sure = 0.4 * float(np.log(max(actor.strong, 0.1) / 0.5))
        return float(np.clip(np.log((fit + 0.03) / 0.7) + min(0.2, sure), LEAST, MOST))

    def actor_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> dict[int, dict[str, float]]:
        """See `Scorer.actor_terms`. Colours and sizes are compared among the things of about the best class only."""
        kinds = self.class_terms(reading, pool)
        out: dict[int, dict[str, float]] = {}
        like = kinds > kinds.max(initial=LEAST) - 1.2
        for group in (like, ~like):
            some = [a for a, keep in zip(pool, group, strict=True) if keep]
            if some:
                out |= track_terms(reading, some, kinds[group])
        return out

    def time_candidates(
        self, actor: TrackedActor, reading: QueryReading, who: dict[str, float], scene: ObservedScene
    ) -> list[Candidate]:
        """See `Scorer.time_candidates`."""
        return time_candidates(actor, reading, who)

    def visitors(self, reading: QueryReading, pool: list[TrackedActor], scene: ObservedScene) -> list[TrackedActor]:
        """See `Scorer.visitors`: chains of visits that share no time, of things of the class that look alike."""
        kinds = self.class_terms(reading, pool)
        fitting = [a for a, k in zip(pool, kinds, strict=True) if k > _LIKELY]
        out: list[TrackedActor] = []
        chains: set[tuple[int, ...]] = set()
        for lead in sorted(fitting, key=lambda a: -a.mass)[:3]:
            chain = [lead]
            for other in sorted(fitting, key=lambda a: -a.mass):
                if all(_one_thing(other, member) for member in chain):
                    chain.append(other)
            if len(chain) < 2:
                continue
            chain.sort(key=lambda a: a.span.start)
            key = tuple(sorted(id(a) for a in chain))
            if key in chains:
                continue
            chains.add(key)
            joined = chain[0]
            for other in chain[1:]:
                joined = joined_visits(joined, other)
            out.append(replace(joined, members=chain))
        return out


def _one_thing(a: TrackedActor, b: TrackedActor) -> bool:
    """Whether two actors may be visits of one thing."""
    if a is b:
        return False
    overlap = min(a.span.end, b.span.end) - max(a.span.start, b.span.start)
    return overlap < _OVERLAP and colour_distance_of(a, b) < _COLOUR
