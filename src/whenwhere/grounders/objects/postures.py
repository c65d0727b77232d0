"""Postures and gestures: which ones a sentence names, and when a person whose joints are known does them.

Lengths are told in lengths of the trunk (shoulders to hips), and a posture is judged in the picture: somebody who sits
with the knees towards the camera has short thighs there. The limits were set by looking at a few clips of people; no
number is claimed for them.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import grammar
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.events import EventSpan, true_runs
from whenwhere.grounders.motion.lexicon import lemmas
from whenwhere.grounders.motion.reading import QueryReading
from whenwhere.models.joints import JOINTS

#: Posture or gesture -> patterns over base forms, checked in this order; `_` stands for up to four words.
POSTURES: dict[str, tuple[str, ...]] = {
    "raise_arm": (
        "(raise|lift) _ (arm|hand|finger|fist)", "(hold|put|throw|stretch|get) _ (arm|hand) (up|over|above|in the air)",
        "(arm|hand) (up|in the air|raised)",
    ),
    "wave": ("wave",),
    "hand_to_face": (
        "(drink|sip|eat|smoke|chew|bite|taste|swallow)",
        "(have|has) _ mouth (on|at|to)",
        "(cover|touch|wipe|scratch|rub|wash|dry) _ (face|mouth|nose|head|eye|cheek|chin|forehead)",
        "(brush|clean) _ teeth", "(adjust|fix) _ (glasses|sunglasses|hair|hat|cap)", "blow _ nose",
        "(talk|speak|be) on (the|a|his|her) (phone|telephone)", "answer (the|a|his|her) (phone|telephone)",
        "put on (a|the|his|her) (hat|cap|glasses|sunglasses|mask|helmet)",
    ),
    "clap": ("(clap|applaud)",),
    "point": ("point (at|to|toward|towards|up|out|in)",),
    "sit_down": ("sit (back )?down", "take a seat"),
    "lie_down": ("(lie|lay) (back )?down",),
    "stand_up": ("(stand|get) (back )?up", "rise", "get to _ feet"),
    "kneel": ("(kneel|crouch|squat|stoop|duck)",),
    "bend": ("(bend|bow)", "lean (over|down|forward)"),
    "sit": ("sit", "be seated"),
    "lie": ("(lie|lay)",),
}  # fmt: skip
#: Postures that last.
STATES = frozenset({"sit", "lie"})
#: Posture or gesture -> events of the motion grounder by which its words are read where joints are not known.
ALSO: dict[str, frozenset[str]] = {
    "raise_arm": frozenset({"pick_up"}), "wave": frozenset({"move"}),
    "hand_to_face": frozenset({"put_down", "pick_up"}),
    "sit_down": frozenset({"bend", "pick_up"}), "lie_down": frozenset({"bend", "put_down"}),
    "stand_up": frozenset({"rise"}), "kneel": frozenset({"bend"}), "bend": frozenset({"bend"}),
    "sit": frozenset({"stand"}), "lie": frozenset({"stand", "put_down"}),
}  # fmt: skip
#: Least score of a joint that counts; hidden legs are guessed with scores up to .4.
SCORE = np.array([0.4 if name.endswith(("knee", "ankle")) else 0.25 for name in JOINTS])
#: Gaps in seconds that are bridged, and the shortest time of a posture.
_BRIDGE, _LEAST = 0.6, 0.3
#: Seconds before and after the moment at which one posture gives way to another.
_BEFORE, _AFTER = 1.0, 0.6


def named_postures(sentence: str) -> tuple[str, ...]:
    """The postures and gestures that a sentence names, as keys of `POSTURES`, in the order in which it names them.

    >>> named_postures("a woman sits down and drinks some water"), named_postures("the man walks away")
    (('sit_down', 'hand_to_face'), ())
    >>> named_postures("he raises both hands"), named_postures("she raises the cup")
    (('raise_arm',), ())
    """
    words = grammar.query_tokens(sentence)
    text = " ".join(next((form for form in lemmas(word) if form in _vocabulary()), word) for word in words)
    found: dict[int, str] = {}
    for name, patterns in _compiled():
        for pattern in patterns:
            for match in pattern.finditer(text):
                found.setdefault(match.start(), name)
    return tuple(dict.fromkeys(found[start] for start in sorted(found)))


def postures_of(sentence: str, reading: QueryReading) -> tuple[str, ...]:
    """The postures and gestures that tell the time that a sentence asks for; none if it tells of something else.

    It must ask for one person, and name no event besides: whoever "is sitting on a chair and
    leaves" is asked for when leaving.

    Args:
        sentence: The sentence.
        reading: Its reading.
    """
    plain = not (reading.alternatives or reading.relation or reading.alone) and reading.count == 1
    if not plain or reading.kind not in ("person", "child"):
        return ()
    found = named_postures(sentence)
    same = {event for name in found for event in ALSO.get(name, ())}
    return found if set(reading.events) <= same else ()


def tells_time(actor: TrackedActor, posture: str) -> bool:
    """Whether the joints of an actor show when it has a posture.

    Who sits or lies nearly always or nearly never does not show it: legs are often hidden, and the rest is guessed.
    """
    if not len(actor.joints):
        return False
    if posture not in STATES:
        return True
    seen = sum(one.end - one.start for one in posture_spans(actor, posture))
    return 0.1 < seen / max(actor.spans.duration, 1e-6) < 0.7


@cache
def _compiled() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    gap = r"(?:\\S+ ){0,4}?"
    return tuple(
        (name, tuple(re.compile(r"(?<!\S)" + re.sub(r"_ ", gap, p) + r"(?!\S)") for p in patterns))
        for name, patterns in POSTURES.items()
    )


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", " ".join(" ".join(patterns) for patterns in POSTURES.values())))


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
    return _any(wrist[:, 1] < shoulder[:, 1] - 0.1 * body.unit for wrist, shoulder in arms)


def _wave(body: Body) -> NDArray[np.bool_]:
    """A wrist well above its elbow and not below the shoulder, and moving sideways."""
    found = []
    for wrist, elbow, shoulder in zip(body.sides("wrist"), body.sides("elbow"), body.sides("shoulder"), strict=True):
        raised = (wrist[:, 1] < elbow[:, 1] - 0.3 * body.unit) & (wrist[:, 1] < shoulder[:, 1] + 0.2 * body.unit)
        swing = np.abs(np.gradient(wrist[:, 0] - elbow[:, 0])) if len(wrist) > 1 else np.zeros(len(wrist))
        found.append(raised & (swing > 0.08 * body.unit))
    return _any(found)


def _hand_to_face(body: Body) -> NDArray[np.bool_]:
    """A wrist within a hand's length of the nose, and not above the head."""
    nose = body.joint("nose")
    return _any(
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
    return _any(found) & _upright(body)


def _upright(body: Body) -> NDArray[np.bool_]:
    """The shoulders above the hips."""
    return body.trunk[:, 1] > 1.2 * np.abs(body.trunk[:, 0])


def _lie(body: Body) -> NDArray[np.bool_]:
    """The trunk more level than upright."""
    return (np.abs(body.trunk[:, 0]) > 1.2 * np.abs(body.trunk[:, 1])) & ~(body.below("hip", "ankle") > 0.9)


def _sit(body: Body) -> NDArray[np.bool_]:
    """Upright, with thighs that are level or point towards the camera."""
    return _upright(body) & (body.below("hip", "knee") < 0.55)


def _kneel(body: Body) -> NDArray[np.bool_]:
    """The hips low over the feet, and the trunk not level."""
    return (body.below("hip", "ankle") < 0.9) & (body.trunk[:, 1] > 0.5 * np.abs(body.trunk[:, 0]))


def _bend(body: Body) -> NDArray[np.bool_]:
    """The trunk tilted by more than 35 degrees over straight legs."""
    return (np.abs(body.trunk[:, 0]) > 0.7 * body.trunk[:, 1]) & (body.below("hip", "ankle") > 0.9)


def _stand(body: Body) -> NDArray[np.bool_]:
    """Upright on straight legs."""
    return _upright(body) & (body.below("hip", "knee") > 0.6) & (body.below("hip", "ankle") > 1.1)


Condition = Callable[[Body], NDArray[np.bool_]]
#: Posture -> at which sightings a person has it.
HOLDING: dict[str, Condition] = {
    "raise_arm": _raise_arm, "wave": _wave, "hand_to_face": _hand_to_face, "clap": _clap, "point": _point, "sit": _sit,
    "lie": _lie, "kneel": _kneel, "bend": _bend,
}  # fmt: skip
#: Change of posture -> the postures before and after it, of which any one counts.
CHANGES: dict[str, tuple[tuple[Condition, ...], tuple[Condition, ...]]] = {
    "sit_down": ((_stand, _bend), (_sit, _kneel)),
    "lie_down": ((_stand, _bend, _sit, _kneel), (_lie,)),
    "stand_up": ((_sit, _kneel, _lie), (_stand,)),
}  # fmt: skip


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
    if posture in HOLDING:
        found = [EventSpan(a, b, _quality(b - a)) for a, b in _times(actor, HOLDING[posture](body))]
    else:
        before, after = ([_any(one(body) for one in group)] for group in CHANGES[posture])
        found = []
        for a, b in _times(actor, after[0]):
            earlier = [end for _, end in _times(actor, before[0]) if a - 2.0 <= end <= a + 0.5]
            if earlier:
                start = max(actor.span.start, min(max(earlier), a) - _BEFORE)
                found.append(EventSpan(start, min(actor.span.end, a + _AFTER), _quality(b - a)))
    return sorted(found, key=lambda one: -one.quality)


def _times(actor: TrackedActor, holds: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(start, end) seconds of the times at which something holds; short gaps are bridged, short times left out."""
    t = actor.times
    half = float(np.median(np.diff(t))) / 2 if len(t) > 1 else 0.1
    out: list[tuple[float, float]] = []
    for a, b in true_runs(holds):
        start, end = max(actor.span.start, float(t[a]) - half), min(actor.span.end, float(t[b]) + half)
        if out and start - out[-1][1] < _BRIDGE:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return [(a, b) for a, b in out if b - a >= _LEAST]


def _quality(duration: float) -> float:
    """How clearly a posture is one, by how long it was seen."""
    return float(np.clip(0.1 + 0.25 * np.log(duration / 0.5), -0.1, 0.5))


def _any(flags: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Whether any of some conditions holds at each sighting."""
    held: NDArray[np.bool_] = np.logical_or.reduce(list(flags))
    return held
