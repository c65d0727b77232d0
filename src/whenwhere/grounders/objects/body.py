"""The body of a person whose joints are known, and the conditions by which postures and gestures are told.

Lengths are told in lengths of the trunk (shoulders to hips), and a posture is judged in the picture: somebody who sits
with the knees towards the camera has short thighs there. The limits were set by looking at a few clips of people; no
number is claimed for them.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.models.joints import JOINTS

#: Least score of a joint that counts; hidden legs are guessed with scores up to .4.
SCORE = np.array([0.4 if name.endswith(("knee", "ankle")) else 0.25 for name in JOINTS])
#: Length of a trunk in widths of the shoulders.
_WIDTH = 1.4


class Body:
    """The lengths and angles that postures are told by, at each sighting of a person.

    Args:
        joints: Shape (n, 17, 3); see `TrackedActor.joints`.
    """

    def __init__(self, joints: NDArray[np.float32]) -> None:
        points = joints[..., :2].astype(float)
        points[~(joints[..., 2] >= SCORE)] = np.nan
        self._points = points
        trunk = self.middle("hip") - self.middle("shoulder")
        #: (n, 2) from the shoulders to the hips.
        self.trunk = trunk
        lengths = np.linalg.norm(trunk, axis=1)
        if not np.isfinite(lengths).any():
            # In a close-up the hips are below the picture, and the width of the shoulders tells how long the trunk is.
            left, right = self.sides("shoulder")
            lengths = _WIDTH * np.linalg.norm(left - right, axis=1)
        seen = lengths[np.isfinite(lengths)]
        #: Usual length of the trunk in pixels; seen from above or in front of the knees it is foreshortened.
        self.unit = float(np.percentile(seen, 75)) if len(seen) else np.nan

    def joint(self, name: str) -> NDArray[np.float64]:
        """(n, 2) the places of a joint; NaN where it was not seen."""
        return self._points[:, JOINTS.index(name)]

    def sides(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The left and the right one of a joint."""
        return self.joint(f"left {name}"), self.joint(f"right {name}")

    def middle(self, name: str) -> NDArray[np.float64]:
        """(n, 2) the mean of the left and the right one, or the one that was seen."""
        left, right = self.sides(name)
        return np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))

    def below(self, upper: str, lower: str) -> NDArray[np.float64]:
        """(n,) how far the middle of one joint lies below that of another, in trunks."""
        return (self.middle(lower)[:, 1] - self.middle(upper)[:, 1]) / self.unit


def _raise_arm(body: Body) -> NDArray[np.bool_]:
    """A wrist above the shoulder; it may be at the face, where raised hands are too."""
    arms = zip(body.sides("wrist"), body.sides("shoulder"), strict=True)
    return any_of(wrist[:, 1] < shoulder[:, 1] - 0.1 * body.unit for wrist, shoulder in arms)


def _raise_arms(body: Body) -> NDArray[np.bool_]:
    """Both wrists above the shoulders."""
    arms = zip(body.sides("wrist"), body.sides("shoulder"), strict=True)
    left, right = (wrist[:, 1] < shoulder[:, 1] - 0.1 * body.unit for wrist, shoulder in arms)
    return left & right


def _spread_arms(body: Body) -> NDArray[np.bool_]:
    """Both arms stretched out to the sides, about level with the shoulders."""
    out = []
    for sides in zip(body.sides("wrist"), body.sides("elbow"), body.sides("shoulder"), strict=True):
        wrist, elbow, shoulder = sides
        outwards = np.sign(shoulder[:, 0] - body.middle("shoulder")[:, 0])
        reach = outwards * (wrist[:, 0] - shoulder[:, 0])
        level = np.abs(wrist[:, 1] - shoulder[:, 1]) < 0.7 * reach
        out.append((reach > 0.6 * body.unit) & (outwards * (elbow[:, 0] - shoulder[:, 0]) > 0) & level)
    return out[0] & out[1]


def _wave(body: Body) -> NDArray[np.bool_]:
    """One wrist well above its elbow and not below the shoulder, for a while in which it moves sideways."""
    found = []
    for wrist, elbow, shoulder in zip(body.sides("wrist"), body.sides("elbow"), body.sides("shoulder"), strict=True):
        raised = (wrist[:, 1] < elbow[:, 1] - 0.3 * body.unit) & (wrist[:, 1] < shoulder[:, 1] + 0.2 * body.unit)
        raised &= ~_raise_arms(body)
        # To the next sighting or from the last one: over both, a quick hand may be back where it was.
        step = np.abs(np.diff(wrist[:, 0] - elbow[:, 0], prepend=np.nan, append=np.nan))
        swing = np.fmax(step[:-1], step[1:]) > 0.08 * body.unit
        for first, last in true_runs(raised):
            raised[first : last + 1] &= swing[first : last + 1].any()
        found.append(raised)
    return any_of(found)


def _hand_to_face(body: Body) -> NDArray[np.bool_]:
    """A wrist within a hand's length of the nose, and not above the head."""
    nose = body.joint("nose")
    return any_of(
        (np.linalg.norm(wrist - nose, axis=1) < 0.7 * body.unit) & (wrist[:, 1] > nose[:, 1] - 0.3 * body.unit)
        for wrist in body.sides("wrist")
    )


def _clap(body: Body) -> NDArray[np.bool_]:
    """The wrists close together before the trunk."""
    left, right = body.sides("wrist")
    high = body.middle("wrist")[:, 1] < body.middle("hip")[:, 1] - 0.2 * body.unit
    return (np.linalg.norm(left - right, axis=1) < 0.35 * body.unit) & high


def _point(body: Body) -> NDArray[np.bool_]:
    """An arm that is stretched out to the side, about level."""
    found = []
    for wrist, elbow, shoulder in zip(body.sides("wrist"), body.sides("elbow"), body.sides("shoulder"), strict=True):
        whole = np.linalg.norm(wrist - shoulder, axis=1)
        parts = np.linalg.norm(wrist - elbow, axis=1) + np.linalg.norm(elbow - shoulder, axis=1)
        level = np.abs(wrist[:, 1] - shoulder[:, 1]) < 0.5 * np.abs(wrist[:, 0] - shoulder[:, 0])
        found.append((whole > 0.93 * parts) & (whole > 0.7 * body.unit) & level)
    return any_of(found) & is_upright(body)


def is_upright(body: Body) -> NDArray[np.bool_]:
    """The shoulders above the hips."""
    return body.trunk[:, 1] > 1.2 * np.abs(body.trunk[:, 0])


def _lie(body: Body) -> NDArray[np.bool_]:
    """The trunk more level than upright."""
    return (np.abs(body.trunk[:, 0]) > 1.2 * np.abs(body.trunk[:, 1])) & ~(body.below("hip", "ankle") > 0.9)


def _sit(body: Body) -> NDArray[np.bool_]:
    """Upright, with thighs that are level or point towards the camera."""
    return is_upright(body) & (body.below("hip", "knee") < 0.55)


def _kneel(body: Body) -> NDArray[np.bool_]:
    """The hips low over the feet, and the trunk not level."""
    return (body.below("hip", "ankle") < 0.9) & (body.trunk[:, 1] > 0.5 * np.abs(body.trunk[:, 0]))


def _bend(body: Body) -> NDArray[np.bool_]:
    """The trunk tilted by more than 35 degrees, over straight legs or legs that are not seen."""
    return (np.abs(body.trunk[:, 0]) > 0.7 * body.trunk[:, 1]) & ~(body.below("hip", "ankle") <= 0.9)


def is_standing(body: Body) -> NDArray[np.bool_]:
    """Upright on straight legs."""
    return is_upright(body) & (body.below("hip", "knee") > 0.6) & (body.below("hip", "ankle") > 1.1)


Condition = Callable[[Body], NDArray[np.bool_]]
#: Lasting posture -> what somebody who has it cannot be.
CONTRARY: dict[str, Condition] = {"lie": is_upright, "sit": is_standing}
#: Posture -> at which sightings a person has it.
HOLDING: dict[str, Condition] = {
    "raise_arms": _raise_arms, "spread_arms": _spread_arms, "raise_arm": _raise_arm, "wave": _wave,
    "hand_to_face": _hand_to_face, "clap": _clap, "point": _point, "sit": _sit, "lie": _lie, "kneel": _kneel,
    "bend": _bend,
}  # fmt: skip
#: Change of posture -> the postures before and after it, of which any one counts.
CHANGES: dict[str, tuple[tuple[Condition, ...], tuple[Condition, ...]]] = {
    "sit_down": ((is_standing, _bend), (_sit, _kneel)),
    "lie_down": ((is_standing, _bend, _sit, _kneel), (_lie,)),
    "stand_up": ((_sit, _kneel, _lie), (is_standing,)),
}  # fmt: skip


def any_of(flags: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Whether any of some conditions holds at each sighting."""
    held: NDArray[np.bool_] = np.logical_or.reduce(list(flags))
    return held
