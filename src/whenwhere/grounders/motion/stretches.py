"""Stretches of an actor's time: standing still, moving one way, coming nearer to the camera or going away from it."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import STILL, Movement, TrackedActor

#: Shortest time of standing still, in seconds.
LEAST = 0.8
#: Fastest pace at the edges of a time of standing still, in own sizes per second.
SLOW = 0.6
#: Least change of the logarithm of a box's side for whoever comes nearer or goes away, and least rate per second.
DEPTH, DEPTH_RATE = 0.35, 0.06
#: Longest pause on the way, in seconds, and by how much the size may fall back in it.
_PAUSE, _BACK = 1.5, 0.05


def true_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The (first, last) indices of each run of True.

    >>> true_runs(np.array([False, True, True, False, True]))
    [(1, 2), (4, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def standing_times(actor: TrackedActor) -> list[tuple[float, float]]:
    """(start, end) of each time that the actor stood still for at least `LEAST` seconds; short moves are bridged."""
    if actor.memo.standing is None:
        actor.memo.standing = _standing_times(actor)
    return actor.memo.standing


def _standing_times(actor: TrackedActor) -> list[tuple[float, float]]:
    t = actor.times
    # Pace is measured over some time, so standing begins and ends where the pace is half of that of moving.
    slow = actor.pace < float(np.clip(0.5 * np.percentile(actor.pace, 85), STILL, SLOW))
    out: list[tuple[float, float]] = []
    for a, b in true_runs(slow):
        if not actor.still[a : b + 1].any():
            continue
        start = actor.span.start if a == 0 else float(t[a])
        end = actor.span.end if b == len(t) - 1 else float(t[b])
        # Fidgeting in one place, or somebody who passes in front, does not end a time of standing.
        if out and start - out[-1][1] < 1.5 and _same_place(actor, out[-1], (start, end)):
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return [(a, b) for a, b in out if b - a >= LEAST]


def _same_place(actor: TrackedActor, x: tuple[float, float], y: tuple[float, float]) -> bool:
    """Whether the actor is in about the same place in the middle of two times."""
    a, b = actor.at(np.array([(x[0] + x[1]) / 2, (y[0] + y[1]) / 2]))
    shift = np.abs((a[:2] + a[2:]) - (b[:2] + b[2:])) / 2
    return bool((shift < 0.5 * (a[2:] - a[:2])).all())


def movements(actor: TrackedActor, axis: int | None = None) -> list[Movement]:
    """Stretches of motion between stands and reversals, in order.

    Args:
        actor: The moving actor.
        axis: The axis whose reversals count: 0 (x), 1 (y), or None for the one of the wider motion.
    """
    if axis not in actor.memo.movements:
        actor.memo.movements[axis] = _movements(actor, axis)
    return actor.memo.movements[axis]


def _movements(actor: TrackedActor, axis: int | None) -> list[Movement]:
    t = actor.times
    if len(t) < 3:
        return [Movement(actor.span.start, actor.span.end, actor.shift)]
    k = int(np.ptp(actor.way, axis=0).argmax()) if axis is None else axis
    sign = np.sign(actor.velocity[:, k])
    strong = np.abs(actor.velocity[:, k]) > 0.15 * np.percentile(np.abs(actor.velocity[:, k]), 90) + 1e-4
    sign = np.where(strong & ~actor.still, sign, 0)
    found: list[Movement] = []
    for s in (1, -1):
        for a, b in true_runs(sign == s):
            if t[b] - t[a] >= 0.3:
                found.append(Movement(t[a], t[b], actor.way[b] - actor.way[a]))
    merged: list[Movement] = []
    for move in sorted(found, key=lambda m: m.start):
        last = merged[-1] if merged else None
        if last and np.sign(last.shift[k]) == np.sign(move.shift[k]) and move.start - last.end < 0.7:
            merged[-1] = Movement(last.start, move.end, last.shift + move.shift)
        else:
            merged.append(move)
    return merged


def depth_changes(actor: TrackedActor, nearer: bool) -> list[tuple[float, float, float]]:
    """The times at which an actor comes nearer to the camera, or goes away from it, told by the size of its box.

    Args:
        actor: The actor.
        nearer: Whether it comes nearer.

    Returns:
        (start, end) in seconds and the change of the logarithm of the box's side, the largest change first.
    """
    from scipy.ndimage import median_filter

    t = actor.times
    if len(t) < 5:
        return []
    side = median_filter(np.log(np.prod(actor.size.clip(1e-6), 1)) / 2, size=5, mode="nearest")
    before, after = np.maximum(t - 0.5, t[0]), np.minimum(t + 0.5, t[-1])
    rate = (np.interp(after, t, side) - np.interp(before, t, side)) / np.maximum(after - before, 1e-3)
    found: list[tuple[int, int]] = []
    sign = 1 if nearer else -1
    for first, last in true_runs(sign * rate > DEPTH_RATE):
        back = sign * (side[found[-1][1]] - side[first]) if found else 0.0
        if found and t[first] - t[found[-1][1]] < _PAUSE and back < _BACK:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    out = []
    for first, last in found:
        gain = float(abs(side[last] - side[first]))
        if gain >= DEPTH:
            out.append((float(t[first]), float(t[last]), gain))
    return sorted(out, key=lambda p: -p[2])
