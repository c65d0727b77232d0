"""Makes clips: frames, sentences with their exact truth, captions, questions and actions.

A sentence is asked only if the painted clip bears it out: its referent is visible in the first and the last frame of
every span and in at least half of the frames in between. This is always decided at two frames per second and 64 pixels,
so that a clip has the same sentences at every size.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.spans import SpanSet
from whenwhere.stage.shapes.language import Action, Caption, ShapesChoice, actions, captions, questions
from whenwhere.stage.shapes.motion import place_shapes
from whenwhere.stage.shapes.noise import mislabel
from whenwhere.stage.shapes.paint import Painted, ShapesView, paint
from whenwhere.stage.shapes.plan import ShapesPlan, ShapesSentence, make_plan
from whenwhere.stage.shapes.query import ShapesQuery
from whenwhere.stage.shapes.words import ORDERS, SHAPE_SIDES, SHAPE_VERBS, noun
from whenwhere.stage.shapes.world import TICKS, ShapesWorld
from whenwhere.tubes import Tube

#: Frames per second and side in pixels at which sentences are checked against the picture.
_CHECK = (2.0, 64)
#: Share of the frame's side that a moving camera may move out of view at every border.
_MARGIN = 0.07


@dataclass(frozen=True, eq=False)
class ShapesClip:
    """A clip with its truth.

    Attributes:
        id: The split, the domain, if there is one, and the seed, joined by `-`.
        images: RGB frames, shape (n, side, side, 3), uint8.
        times: Time of each frame in seconds, shape (n,).
        duration: Duration in seconds.
        queries: Sentences with their truth.
        captions: A coarse description of the middle frame, and a fine one of every event.
        questions: Multiple-choice questions.
        actions: What happens, as labels with their spans.
        cuts: Time in seconds of the first frame of every shot after the first.
    """

    id: str
    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    duration: float
    queries: list[ShapesQuery]
    captions: list[Caption]
    questions: list[ShapesChoice]
    actions: list[Action]
    cuts: list[float]


def view_of(world: ShapesWorld, seed: int, ticks: int) -> tuple[ShapesView, float]:
    """The camera, cuts and backgrounds of a clip.

    Args:
        world: The distribution of clips.
        seed: Number of the clip.
        ticks: Duration of the clip in ticks.

    Returns:
        The view, and the share of the frame's side that its camera may move out of view at every border.
    """
    cut = world.stream(seed, "cuts")
    shares = np.cumsum(world.cuts) / np.sum(world.cuts)
    count = min(int(np.searchsorted(shares, cut.random(), side="right")), len(world.cuts) - 1, ticks // 6)
    shots = [0]
    if count:
        shots += sorted(int(t) for t in 2 + cut.choice(ticks // 2 - 2, count, replace=False) * 2)
    grounds = world.stream(seed, "background").choice(world.backgrounds, len(shots), replace=False).tolist()
    rng = world.stream(seed, "camera")
    u = rng.random(3)
    kind = int(np.searchsorted(np.cumsum(world.cameras) / np.sum(world.cameras), u[0], side="right"))
    knots = np.empty((3, ticks + 1))
    knots[:2], knots[2] = 0.5, 1
    way = np.linspace(-1, 1, ticks + 1)
    if kind == 1:
        knots[:2] += np.outer((np.cos(2 * np.pi * u[1]), np.sin(2 * np.pi * u[1])), _MARGIN * way)
    elif kind == 2:
        zoom = 1 + (way + 1) / 2 * 0.16
        knots[2] = zoom if u[1] < 0.5 else zoom[::-1]
    elif count:
        for k, start in enumerate(shots):
            # In a lecture, a cut is a new slide, which does not move the camera.
            jump = rng.uniform(-_MARGIN, _MARGIN, 2) if k and world.domain != "lecture" else (0.0, 0.0)
            knots[:2, start:] = 0.5 + np.array(jump)[:, None]
    return ShapesView(knots, shots, grounds, world.domain), _MARGIN if kind or count else 0.0


def _times(plan: ShapesPlan, ask: ShapesSentence) -> list[tuple[int, int, int]]:
    """Triples (shape, first tick, tick after the last) of everything that a sentence is about."""
    out = []
    for i in ask.things:
        thing = plan.things[i]
        spans = [(thing.start, thing.end)] if ask.verb is None else [
            (a.start, a.end) for a in thing.acts if a.verb == ask.verb]  # fmt: skip
        out += [(i, a, b) for a, b in spans]
    return out


def _borne_out(painted: Painted, times: list[tuple[int, int, int]]) -> bool:
    """Whether what a sentence says is visible in a clip that is painted with one frame per tick."""
    for i, a, b in times:
        seen = painted.seen[i, a:b]
        if seen[0] < 0.5 or seen[-1] < 0.5 or (seen >= 0.5).mean() < 0.5:
            return False
    return True


def _text(ask: ShapesSentence) -> str:
    words = noun(*ask.noun, ask.texture)
    if ask.order is not None:
        words = words.replace("the ", f"the {ORDERS[ask.order]} ", 1)
    if ask.verb is not None:
        return f"{words} {SHAPE_VERBS[ask.verb]}"
    return f"{words} {SHAPE_SIDES[ask.side]} the bar" if ask.side is not None else words


def _query(plan: ShapesPlan, ask: ShapesSentence, painted: Painted, fps: float) -> ShapesQuery:
    times = _times(plan, ask)
    spans = SpanSet((a / TICKS, b / TICKS) for _, a, b in times)
    frames, boxes = [], []
    for i, a, b in times:
        k = np.arange(math.ceil(a / TICKS * fps - 1e-9), painted.boxes.shape[1])
        k = k[k < b / TICKS * fps - 1e-9]
        k = k[~np.isnan(painted.boxes[i, k, 0])]
        frames.append(k)
        boxes.append(painted.boxes[i, k])
    text = _text(ask)
    if not frames:
        return ShapesQuery(text, spans, Tube(spans, rate=fps, label=text), ask.kind, 0)
    at = np.concatenate(frames)
    order = at.argsort()
    tube = Tube(spans, at[order] / fps, np.concatenate(boxes)[order], rate=fps, label=text)
    return ShapesQuery(text, spans, tube, ask.kind, len(ask.things))


def make_clip(world: ShapesWorld, seed: int) -> ShapesClip:
    """One clip of a world.

    Args:
        world: The distribution of clips.
        seed: Number of the clip; the same seed always gives the same clip.
    """
    what = make_plan(world, seed)
    view, margin = view_of(world, seed, what.ticks)
    where = place_shapes(world, seed, what, margin)
    painted = paint(what, where, view, world.fps, world.side)
    checked = painted if (world.fps, world.side) == _CHECK else paint(what, where, view, *_CHECK)
    asks = [ask for ask in what.asks if _borne_out(checked, _times(what, ask))]
    duration = what.ticks / TICKS
    queries = [_query(what, ask, painted, world.fps) for ask in asks]
    if world.noise is not None and world.split == "train":
        queries = mislabel(world.noise, world.stream(seed, "noise"), queries, duration, 1 / TICKS)
    happened = actions(what, checked)
    return ShapesClip(
        id=f"{world.name}-{seed:07d}",
        images=painted.images,
        times=np.arange(len(painted.images)) / world.fps,
        duration=duration,
        queries=queries,
        captions=captions(what, checked, happened),
        questions=questions(what, checked, world.stream(seed, "questions")),
        actions=happened,
        cuts=[s / TICKS for s in view.shots[1:]],
    )
