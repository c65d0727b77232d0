"""Reappearance: two visits of an actor who leaves and comes back, joined into one actor.

A track ends where its actor leaves the picture. An actor that enters soon afterwards in the same colours, equally big
and equally slim, is probably the same one. Because this is only probable, the joined actor is offered beside its visits
and does not replace them. Vehicles are left out, since one white car often follows another.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import Memo, TrackedActor
from whenwhere.spans import Span, SpanSet

#: Longest absence between two visits, in seconds.
LONGEST = 8.0
#: Largest `colour_difference` of two visits of one actor.
ALIKE = 0.17
#: Largest differences of two visits in log area and in log aspect.
_LOG_AREA, _ASPECT = 0.5, 0.55
#: Smallest share of the frame, and shortest visit in seconds, of an actor that can be recognised.
_SMALLEST, _SHORTEST = 0.002, 0.8


def colour_difference(a: TrackedActor, b: TrackedActor) -> float:
    """How differently two actors are coloured, from 0 (equal) to 1; the mean over height zones."""
    return float(np.abs(a.colour - b.colour).sum(1).mean() / 2)


def reappearances(pool: list[TrackedActor], cuts: NDArray[np.float64]) -> list[TrackedActor]:
    """Joined actors of two visits each, the most alike first.

    A visit is used at most once as the first and once as the second of a pair.

    Args:
        pool: All actors.
        cuts: Times of the first frames of new shots; a cut may end or begin a visit too.
    """
    known = [a for a in pool if a.area > _SMALLEST and a.span.duration > _SHORTEST and not a.members]
    pairs = []
    for a, b in itertools.permutations(known, 2):
        gap = b.span.start - a.span.end
        if not 0.3 < gap < LONGEST or abs(np.log(a.area / b.area)) > _LOG_AREA or abs(a.aspect - b.aspect) > _ASPECT:
            continue
        cut_away = bool((np.abs(cuts - a.span.end) < 0.3).any())
        cut_back = bool((np.abs(cuts - b.span.start) < 0.3).any())
        if (a.exit or cut_away) and (b.entry or cut_back) and (unlike := colour_difference(a, b)) < ALIKE:
            pairs.append((unlike, id(a), id(b), a, b))
    out: list[TrackedActor] = []
    left: set[int] = set()
    back: set[int] = set()
    for _, i, j, a, b in sorted(pairs, key=lambda p: p[0]):
        if i not in left and j not in back:
            left.add(i)
            back.add(j)
            out.append(joined_visits(a, b))
    return out


def joined_visits(a: TrackedActor, b: TrackedActor) -> TrackedActor:
    """One actor from two visits, of which `a` is the earlier."""
    rows: dict[str, Any] = {
        name: np.concatenate([getattr(a, name), getattr(b, name)])
        for name in ("times", "boxes", "centre", "size", "touch", "velocity", "pace", "still", "way")
    }
    if len(a.joints) or len(b.joints):
        rows["joints"] = np.concatenate([_joints_of(a), _joints_of(b)])
    weight = a.span.duration / (a.span.duration + b.span.duration)
    return replace(
        a, id=-3, **rows, span=Span(a.span.start, b.span.end), spans=SpanSet([*a.spans, *b.spans]),
        colour=weight * a.colour + (1 - weight) * b.colour, exit=b.exit, members=[a, b], memo=Memo(),
    )  # fmt: skip


def _joints_of(actor: TrackedActor) -> NDArray[np.float32]:
    """(n, 17, 3) the joints at each sighting, NaN if they were not looked for."""
    if len(actor.joints):
        return actor.joints
    return np.full((len(actor.times), *actor.joints.shape[1:]), np.nan, np.float32)
