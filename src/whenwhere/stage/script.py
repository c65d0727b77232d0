"""Scripts: what an actor does, as legs between frames, and where that puts it in every frame.

A script is a chain of legs over the frames of a clip. Positions are on the ground, in frame heights from the upper left
corner of the picture (x to the right, y down), so that a script does not depend on the resolution. Legs begin and end
with a frame, which makes the truth exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]

#: Laws of motion within a moving leg: how distance grows with time, and along which line. Splits share no law.
LAWS = {
    "dev": ("steady", "eased"),
    "val": ("slowing", "surging", "bowed"),
    "heldout": ("wavy", "jerky", "gathering"),
}


@dataclass(frozen=True)
class Leg:
    """One part of a script over frames `[start, end)`.

    Attributes:
        act: `go` (moves from `a` to `b`), `stand` (at `a`) or `away` (out of the picture). A thing in somebody's hand
            also has `put` (from the hand to its place) and `taken` (from its place to the hand).
        start: First frame.
        end: Frame after the last.
        a: Ground position at `start`.
        b: Ground position at `end`.
        law: One of `LAWS`, for `go`.
        fast: Whether the actor runs rather than walks.
        facing: For `stand`: `left`, `right`, `front`, `back`, `reach-left`, `reach-right` or `reach-back`. For a
            vehicle, the direction of its lane.
    """

    act: str
    start: int
    end: int
    a: Point
    b: Point
    law: str = "steady"
    fast: bool = False
    facing: str = ""


def progress(law: str, u: NDArray[np.float64], soft_start: bool, soft_end: bool) -> NDArray[np.float64]:
    """Share of the way that is covered at a share of the time; it rises from 0 to 1 and never falls.

    Args:
        law: One of `LAWS`.
        u: Shares of the time, 0 to 1.
        soft_start: Whether the movement begins slowly.
        soft_end: Whether the movement ends slowly.

    >>> progress("steady", np.array([0.0, 0.25, 1.0]), False, False).tolist()
    [0.0, 0.25, 1.0]
    >>> bool(progress("jerky", np.array([0.3, 1.0]), True, True)[1] == 1.0)
    True
    """
    grid = np.linspace(0, 1, 257)
    speed = np.ones_like(grid)
    if law == "jerky":
        speed *= 1 + 0.75 * np.sin(2 * np.pi * grid * 3.0)
    elif law == "gathering":
        speed *= 0.5 + grid
    elif law == "slowing":
        speed *= 1.6 - 1.1 * grid
    elif law == "surging":
        speed *= 1 - 0.6 * np.cos(2 * np.pi * grid)
    ramp = 0.18
    if soft_start:
        speed *= np.clip(grid / ramp, 0.08, 1)
    if soft_end:
        speed *= np.clip((1 - grid) / ramp, 0.08, 1)
    way = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    return np.interp(u, grid, way / way[-1])


@dataclass(frozen=True)
class Path:
    """Where an actor is in each of the clip's n frames.

    Attributes:
        x: Ground position in frame heights, shape (n,), NaN while the actor is away.
        y: Ground position in frame heights, shape (n,), NaN while the actor is away.
        leg: Index of the leg that applies in each frame, shape (n,).
        way: Distance covered so far in frame heights, shape (n,).
        vx: Velocity in frame heights per frame, shape (n,).
        vy: Velocity in frame heights per frame, shape (n,).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    leg: NDArray[np.intp]
    way: NDArray[np.float64]
    vx: NDArray[np.float64]
    vy: NDArray[np.float64]


def walk(legs: list[Leg], frames: int) -> Path:
    """Where a script puts its actor in every frame.

    Args:
        legs: The script, which covers all frames.
        frames: Number of frames of the clip. What the script has beyond them is cut off.

    >>> path = walk([Leg("go", 0, 4, (0, 1), (2, 1)), Leg("stand", 4, 6, (2, 1), (2, 1))], 6)
    >>> path.x.tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    """
    n = max([frames, *(leg.end for leg in legs)])  # a script may run on after the clip's end
    x, y = np.full(n, np.nan), np.full(n, np.nan)
    vx, vy = np.zeros(n), np.zeros(n)
    index = np.zeros(n, np.intp)
    for k, leg in enumerate(legs):
        span = slice(leg.start, leg.end)
        index[span] = k
        if leg.act == "away":
            continue
        u = np.arange(leg.end - leg.start + 1) / max(leg.end - leg.start, 1)
        near = [legs[j].act if 0 <= j < len(legs) else "" for j in (k - 1, k + 1)]
        soft = [leg.law != "steady" and act in ("stand", "go") for act in near]
        w = progress(leg.law, u, *soft)
        (ax, ay), (bx, by) = leg.a, leg.b
        px, py = ax + (bx - ax) * w, ay + (by - ay) * w
        if leg.law == "wavy" and leg.act == "go":
            d = np.hypot(bx - ax, by - ay) + 1e-9
            side = 0.03 * np.sin(2 * np.pi * 2 * u) * min(1.0, d)
            px, py = px - side * (by - ay) / d, py + side * (bx - ax) / d
        if leg.law == "bowed" and leg.act == "go":
            py = py + 0.045 * np.sin(np.pi * u) * min(1.0, abs(bx - ax))
        x[span], y[span] = px[:-1], py[:-1]
        vx[span], vy[span] = np.diff(px), np.diff(py)
    way = np.cumsum(np.hypot(vx, vy))
    return Path(x[:frames], y[:frames], index[:frames], way[:frames], vx[:frames], vy[:frames])
