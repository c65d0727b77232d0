"""When a person whose joints are known has a posture, changes it or makes a gesture.

Somebody who sits does so for a while, with legs that are often hidden: so sitting and lying last as long as the person
stays in place, until the shoulders rise. Before a moving camera its motion is taken out.
"""

import itertools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.events import EventSpan
from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.grounders.objects.body import CHANGES, CONTRARY, HOLDING, Body, any_of, is_standing
from whenwhere.grounders.objects.postures import STATES
from whenwhere.overlap import box_iou

#: Gaps in seconds that are bridged, those of gestures in which a hand is lost from sight, and the shortest time.
_BRIDGE, _BRIDGE_HAND, _LEAST = 0.6, 1.2, 0.3
#: Least IoU with the usual box of somebody who sits or lies, for as long as the posture is taken to last.
_SAME_PLACE = 0.6
#: Share of the time of a person below which a lasting posture was probably seen by error.
_NOW_AND_THEN = 0.1
#: Share of the sightings with a contrary posture from which a lasting one is denied.
_CONTRARY = 0.85
#: How far the shoulders rise or fall, in trunks, and within how many seconds, when somebody stands up or sits down; and
#: for how long they then stay there.
_RISE, _WITHIN, _STAYS = 0.55, 1.0, 1.2
#: Largest change of the logarithm of a box's side between before and after.
_SIZES = 0.45
#: Fewest sightings before and after that show it.
_ENOUGH = 3
#: Seconds before and after the moment at which one posture gives way to another.
_BEFORE, _AFTER = 1.0, 0.6


def tells_time(actor: TrackedActor, posture: str) -> bool:
    """Whether the joints of an actor show when it has a posture.

    Who sits or lies nearly always or nearly never does not show it: legs are often hidden, and the rest is guessed. Who
    stands does so in contrast to when the same person sits or lies.
    """
    if not len(actor.joints):
        return False
    if posture not in STATES:
        return True
    seen = sum(one.end - one.start for one in posture_spans(actor, posture))
    return _NOW_AND_THEN < seen / max(actor.spans.duration, 1e-6) < 0.85


def is_contrary(actor: TrackedActor, posture: str) -> bool:
    """Whether the joints of an actor show that it hardly ever has a lasting posture: who is upright does not lie.

    Args:
        actor: The person.
        posture: A key of `POSTURES`.
    """
    if posture not in CONTRARY or not len(actor.joints):
        return False
    body = Body(actor.joints)
    known = np.isfinite(body.trunk).all(1)
    return bool(known.mean() >= 0.5 and CONTRARY[posture](body)[known].mean() >= _CONTRARY)


def posture_spans(actor: TrackedActor, posture: str) -> list[EventSpan]:
    """The times at which a person has a posture or changes it, best first; empty if it never does, or is never seen.

    Args:
        actor: The person; without joints there are no times.
        posture: A key of `POSTURES`.
    """
    if not len(actor.joints):
        return []
    body = Body(actor.joints)
    if not np.isfinite(body.unit):
        return []
    if posture == "stand":
        found = _standing(actor)
    elif posture in HOLDING:
        bridge = _BRIDGE_HAND if posture in ("wave", "hand_to_face") else _BRIDGE
        times = _times(actor, HOLDING[posture](body), bridge)
        if posture in STATES:
            times = _lasting(actor, body, times, posture)
        found = [EventSpan(a, b, _quality(b - a)) for a, b in times]
    else:
        before, after = ([any_of(one(body) for one in group)] for group in CHANGES[posture])
        found = []
        for a, b in _times(actor, after[0]):
            earlier = [end for _, end in _times(actor, before[0]) if a - 2.0 <= end <= a + 0.5]
            if earlier:
                start = max(actor.span.start, min(max(earlier), a) - _BEFORE)
                found.append(EventSpan(start, min(actor.span.end, a + _AFTER), _quality(b - a)))
        if posture in ("stand_up", "sit_down"):
            found += _shifts(actor, body, up=posture == "stand_up")
    return sorted(found, key=lambda one: -one.quality)


def _lasting(
    actor: TrackedActor, body: Body, times: list[tuple[float, float]], posture: str
) -> list[tuple[float, float]]:
    """The times of sitting or lying, each as long as the person's box stays about the same; legs may be hidden then.

    Standing up ends it, and sitting down begins it, also where the legs seem to tell otherwise.

    Args:
        actor: The person.
        body: Its joints.
        times: (start, end) seconds at which the posture was seen.
        posture: `sit` or `lie`. Who sits now and then and is never seen to stand, sits all the time.
    """
    t = actor.times
    kept = np.zeros(len(t), bool)
    upright = np.zeros(len(t), bool)
    for start, end in _times(actor, is_standing(body)):
        upright |= actor.within(start, end)
    for start, end in times:
        rows = np.flatnonzero(actor.within(start, end))
        if kept[rows].all():
            continue
        same = (box_iou(actor.boxes, np.median(actor.boxes[rows], 0)[None]) >= _SAME_PLACE) & ~upright
        first, last = rows[0], rows[-1]
        while first > 0 and same[first - 1]:
            first -= 1
        while last < len(t) - 1 and same[last + 1]:
            last += 1
        kept[first : last + 1] = True
    rises, falls = ([one.start + _WITHIN for one in _shifts(actor, body, up)] for up in (True, False))
    if posture == "sit" and not (rises or falls or upright.any()) and kept.mean() >= _NOW_AND_THEN:
        return [(actor.span.start, actor.span.end)]
    edges = sorted([actor.span.start, *rises, *falls, actor.span.end + 1e-3])
    for start, end in itertools.pairwise(edges):
        inside = (t >= start) & (t < end)
        if start in rises:
            kept[inside] = False
        elif end in rises and kept[inside].any():
            kept[inside] = True
    return _times(actor, kept)


def _standing(actor: TrackedActor) -> list[EventSpan]:
    """The times at which somebody who sits or lies at other times does not; none if the person never sits or lies."""
    other = [one for name in ("sit", "lie") if tells_time(actor, name) for one in posture_spans(actor, name)]
    if not other:
        return []
    up = np.ones(len(actor.times), bool)
    for one in other:
        up &= ~actor.within(one.start, one.end)
    return [EventSpan(a, b, _quality(b - a)) for a, b in _times(actor, up)]


def _shifts(actor: TrackedActor, body: Body, up: bool) -> list[EventSpan]:
    """The times at which the shoulders quickly rise, or fall, and stay there, as legs out of the picture do not show.

    The camera's motion is taken out first.
    """
    frame = actor.boxes[:, 3] - actor.boxes[:, 1]
    height = np.median(frame / np.maximum(actor.size[:, 1], 1e-6))
    level = body.middle("shoulder")[:, 1] + (actor.way[:, 1] - actor.centre[:, 1]) * height
    level = level * (-1 if up else 1) / body.unit
    seen = np.isfinite(level)
    if seen.sum() < 2 * _ENOUGH:
        return []
    # At even times, so that all windows are looked at at once; between sightings the level is interpolated.
    step = float(np.median(np.diff(actor.times)))
    t = np.arange(actor.times[0], actor.times[-1] + step / 2, step)
    near = np.searchsorted(actor.times, t).clip(1, len(actor.times) - 1)
    near -= (t - actor.times[near - 1]) < (actor.times[near] - t)
    counted = np.concatenate([[0], np.cumsum(seen[near] & (np.abs(actor.times[near] - t) < step))])
    width, apart = max(_ENOUGH, round(_STAYS / step)), round(_WITHIN / step)
    if len(t) < 2 * width + apart:
        return []
    even = sliding_window_view(np.interp(t, actor.times[seen], level[seen]), width)
    gain = np.full(len(t), -np.inf)
    middle = slice(width + apart // 2, width + apart // 2 + len(even) - width - apart)
    gain[middle] = np.percentile(even[width + apart :], 30, axis=1) - np.percentile(even[: -width - apart], 70, axis=1)
    enough = counted[width:] - counted[:-width] >= _ENOUGH
    gain[middle][~(enough[width + apart :] & enough[: -width - apart])] = -np.inf
    # Whoever walks away seems to sink, and gets smaller.
    sides = np.log(np.prod(actor.size.clip(1e-6), 1)) / 2
    usual = np.median(sliding_window_view(np.interp(t, actor.times, sides), width), axis=1)
    gain[middle][np.abs(usual[width + apart :] - usual[: -width - apart]) > _SIZES] = -np.inf
    found = []
    for a, b in true_runs(gain >= _RISE):
        peak = float(np.median(t[a : b + 1][gain[a : b + 1] >= 0.9 * gain[a : b + 1].max()]))
        start, end = peak - _WITHIN, peak + _WITHIN / 2
        found.append(EventSpan(max(actor.span.start, start), min(actor.span.end, end), 0.3))
    return found


def _times(actor: TrackedActor, holds: NDArray[np.bool_], bridge: float = _BRIDGE) -> list[tuple[float, float]]:
    """(start, end) seconds of the times at which something holds; short gaps are bridged, short times left out."""
    t = actor.times
    half = float(np.median(np.diff(t))) / 2 if len(t) > 1 else 0.1
    out: list[tuple[float, float]] = []
    for a, b in true_runs(holds):
        start, end = max(actor.span.start, float(t[a]) - half), min(actor.span.end, float(t[b]) + half)
        if out and start - out[-1][1] < bridge:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return [(a, b) for a, b in out if b - a >= _LEAST]


def _quality(duration: float) -> float:
    """How clearly a posture is one, by how long it was seen."""
    return float(np.clip(0.1 + 0.25 * np.log(duration / 0.5), -0.1, 0.6))
