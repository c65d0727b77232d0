"""Captions, questions and actions: exact truth for systems that describe, answer or label rather than ground.

Captions come at two scales, each with facts that the other lacks: the coarse caption describes the middle frame (every
visible shape with its texture, and where two of them are relative to each other), and each fine caption states one
event with its span.
Questions have at most four answers, one of them right. Actions are labels with spans.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.stage.shapes.paint import Painted
from whenwhere.stage.shapes.plan import ShapesPlan, Thing
from whenwhere.stage.shapes.words import NUMBERS, SHAPE_COLOURS, SHAPE_VERBS, SHAPES, noun
from whenwhere.stage.shapes.world import TICKS

#: One shape is left of or above another only if their centres are at least this share of the side apart.
_APART = 0.12
#: Verbs for which the random motion of a shape cannot be mistaken.
_PLAIN = {"grows", "shrinks", "blinks", "turns grey"}


@dataclass(frozen=True)
class Caption:
    """A description of a clip.

    Attributes:
        scale: `coarse` describes the frame that is shown at `start`, `fine` one event from `start` to `end`.
        start: Start in seconds.
        end: End in seconds, equal to `start` for a coarse caption.
        text: The description.
    """

    scale: str
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class ShapesChoice:
    """A multiple-choice question.

    Attributes:
        kind: `what`, `which`, `colour`, `how many` or `first`.
        text: The question.
        options: Two to four answers, one of them right.
        answer: Index of the right answer.
    """

    kind: str
    text: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Action:
    """Something that a shape does.

    Attributes:
        label: One of `SHAPE_VERBS`, or `appears` for a shape that is present for only a part of the clip.
        noun: Noun phrase of the shape.
        start: Start in seconds.
        end: End in seconds.
    """

    label: str
    noun: str
    start: float
    end: float


def naming(plan: ShapesPlan) -> list[str]:
    """For every shape, the shortest noun phrase that fits no other shape of the clip.

    Args:
        plan: What happens in the clip.

    Returns:
        Noun phrases, with texture where colour and kind are not enough, and empty where texture is not enough either.
    """
    short = [noun(t.colour, t.shape) for t in plan.things]
    long = [noun(t.colour, t.shape, t.texture) for t in plan.things]
    return [a if short.count(a) == 1 else b if long.count(b) == 1 else "" for a, b in zip(short, long, strict=True)]


def _visible(painted: Painted, thing: int, start: int, end: int) -> bool:
    """Whether an event is visible at both ends and mostly in between, in a clip with one frame per tick."""
    seen = painted.seen[thing, start:end]
    return bool(seen[0] >= 0.5 and seen[-1] >= 0.5 and (seen >= 0.5).mean() >= 0.5)


def actions(plan: ShapesPlan, painted: Painted) -> list[Action]:
    """Everything that happens and is visible, in order of time.

    Args:
        plan: What happens.
        painted: The clip, painted with one frame per tick.
    """
    out = []
    for thing, name in zip(plan.things, naming(plan), strict=True):
        spans = [(SHAPE_VERBS[a.verb], a.start, a.end) for a in thing.acts]
        if not thing.acts and (thing.start > 0 or thing.end < plan.ticks):
            spans.append(("appears", thing.start, thing.end))
        for label, a, b in spans:
            if name and _visible(painted, thing.number, a, b):
                out.append(Action(label, name, a / TICKS, b / TICKS))
    return sorted(out, key=lambda x: (x.start, x.end, x.noun))


def captions(plan: ShapesPlan, painted: Painted, happened: list[Action]) -> list[Caption]:
    """One coarse caption of the middle frame, and one fine caption for every event.

    Args:
        plan: What happens.
        painted: The clip, painted with one frame per tick.
        happened: The events, as `actions` gives them.
    """
    middle = plan.ticks // 2
    shown = [t for t in plan.things if painted.seen[t.number, middle] >= 0.5]
    out = [Caption("coarse", middle / TICKS, middle / TICKS, _scene(painted, shown, middle))]
    for a in happened:
        text = f"{a.noun} is there" if a.label == "appears" else f"{a.noun} {a.label}"
        out.append(Caption("fine", a.start, a.end, text))
    return out


def _scene(painted: Painted, shown: list[Thing], frame: int) -> str:
    if not shown:
        return "there are no shapes"
    side = painted.images.shape[1]
    boxes = painted.boxes[[t.number for t in shown], frame]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / side
    order = centre[:, 0].argsort(kind="stable")
    names = [noun(t.colour, t.shape, t.texture) for t in shown]
    if len(shown) > 1:
        a, b = int(order[0]), int(order[-1])
        across, down = centre[b] - centre[a]
        if across >= max(_APART, abs(down)):
            names[a] += f" left of {names[b]}"
            order = order[:-1]
        elif abs(down) >= max(_APART, across):
            names[a] += f" {'above' if down > 0 else 'below'} {names[b]}"
            order = order[:-1]
    return " and ".join(names[i] for i in order)


def questions(plan: ShapesPlan, painted: Painted, rng: np.random.Generator) -> list[ShapesChoice]:
    """Questions of the kinds that the clip allows: what, which, colour, how many, first.

    Args:
        plan: What happens.
        painted: The clip, painted with one frame per tick.
        rng: Random stream of the questions.

    Returns:
        At most one question of each kind.
    """
    out: list[ShapesChoice] = []
    names = naming(plan)
    things = [t for t in plan.things if names[t.number]]

    def ask(kind: str, text: str, right: str, wrong: list[str]) -> None:
        options = [right, *(wrong[i] for i in rng.permutation(len(wrong))[:3])]
        options = [options[i] for i in rng.permutation(len(options))]
        if len(options) > 1:
            out.append(ShapesChoice(kind, text, tuple(options), options.index(right)))

    done = [(t, a) for t in things for a in t.acts if _visible(painted, t.number, a.start, a.end)]
    once = [(t, a) for t, a in done if len(t.acts) == 1]
    if once:
        t, a = once[int(rng.integers(len(once)))]
        ask(
            "what",
            f"what does {names[t.number]} do",
            SHAPE_VERBS[a.verb],
            [v for v in SHAPE_VERBS if v != SHAPE_VERBS[a.verb]],
        )
    verbs = [a.verb for t in plan.things for a in t.acts]
    sole = [(t, a) for t, a in done if SHAPE_VERBS[a.verb] in _PLAIN and verbs.count(a.verb) == 1]
    if sole:
        t, a = sole[int(rng.integers(len(sole)))]
        rest = [names[o.number] for o in things if o is not t]
        ask("which", f"which shape {SHAPE_VERBS[a.verb]}", names[t.number], rest)
    shapes = [t.shape for t in plan.things]
    single = [t for t in plan.things if shapes.count(t.shape) == 1 and (painted.seen[t.number] >= 0.5).any()]
    if single:
        t = single[int(rng.integers(len(single)))]
        colour = list(SHAPE_COLOURS)[t.colour]
        ask("colour", f"what colour is the {SHAPES[t.shape]}", colour, [c for c in SHAPE_COLOURS if c != colour])
    count = len(plan.things)
    if count < len(NUMBERS) and all((painted.seen[t.number] >= 0.5).any() for t in plan.things):
        near = [NUMBERS[k] for k in range(max(0, count - 3), min(len(NUMBERS), count + 4)) if k != count]
        ask("how many", "how many shapes are there", NUMBERS[count], near)
    timed = sorted((t for t in things if t.start > 0 and painted.seen[t.number, t.start] >= 0.5), key=lambda t: t.start)
    if len(timed) > 1 and timed[0].start < timed[1].start:
        late = [t for t in things if t.start > timed[0].start]
        pair = late[int(rng.integers(len(late)))]
        ask("first", f"which is there first {names[pair.number]} or {names[timed[0].number]}",
            names[timed[0].number], [names[pair.number]])  # fmt: skip
    return out
