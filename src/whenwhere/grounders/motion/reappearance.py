"""Those who go and come back: two visits of somebody who looks the same, taken as one.

A track ends where its actor leaves the picture. Whoever enters soon afterwards in the same colours, as big and as
slim, is probably the same one. Probably: so the joint actor is offered beside its visits and replaces neither.
Vehicles are left out, since one white car follows another.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.spans import Span, SpanSet

#: Longest absence in seconds.
LONGEST = 8.0
#: Most that the colours of two visits differ: half the absolute difference of shares, mean over zones (0-1).
ALIKE = 0.17
_LOG_AREA, _ASPECT = 0.5, 0.55
#: Smallest share of the frame and shortest visit (seconds) that can be recognised.
_SMALLEST, _SHORTEST = 0.002, 0.8


def colour_difference(a: TrackedActor, b: TrackedActor) -> float:
    """How differently two actors are coloured, 0 (the same) to 1."""
    return float(np.abs(a.colour - b.colour).sum(1).mean() / 2)


def reappearances(pool: list[TrackedActor], cuts: np.ndarray) -> list[TrackedActor]:
    """Joint actors of two visits each, most alike first; a visit is used once as the first and once as the second."""
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
    """One actor from two visits, the first before the second."""
    rows: dict[str, Any] = {
        name: np.concatenate([getattr(a, name), getattr(b, name)])
        for name in ("times", "boxes", "centre", "size", "touch", "velocity", "pace", "still")
    }
    weight = a.span.duration / (a.span.duration + b.span.duration)
    return replace(
        a, id=-3, **rows, span=Span(a.span.start, b.span.end), spans=SpanSet([*a.spans, *b.spans]),
        colour=weight * a.colour + (1 - weight) * b.colour, exit=b.exit, members=[a, b], memo={},
    )  # fmt: skip
