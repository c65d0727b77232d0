"""Open-ended questions about captioned clips: the answer is one entry of a closed vocabulary (`answer_vocabulary`).

Questions come in three classes. `middle` asks for what the middle frame shows (the colour of a shape, how two shapes
are relative to each other, how many there are), `event` for what that frame does not show (what a shape does, what
happens first), and `both` for an attribute of the shape that does something. A question is asked only if its answer is
visible and nothing else in the clip fits. Shapes and verbs are spread evenly, so that no answer is right more often
than another one to the same kind of question, except for numbers of shapes.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.stage.shapes.captioned import CaptionedShapes, phrase, side_of
from whenwhere.stage.shapes.plan import Act, Thing
from whenwhere.stage.shapes.words import NUMBERS, SHAPE_COLOURS, SHAPE_SIDES, SHAPE_VERBS, SHAPES
from whenwhere.stage.streams import random_stream

#: The class of each kind of question.
QUESTION_KINDS = {
    "colour": "middle",
    "relation": "middle",
    "how many": "middle",
    "what": "event",
    "first": "event",
    "colour of the actor": "both",
    "shape of the actor": "both",
}


@dataclass(frozen=True)
class OpenQuestion:
    """A question with its answer.

    Attributes:
        kind: A key of `QUESTION_KINDS`.
        text: The question.
        answer: The answer, one of `answer_vocabulary()`.
    """

    kind: str
    text: str
    answer: str

    @property
    def scale(self) -> str:
        """Class of the question: `middle`, `event` or `both`."""
        return QUESTION_KINDS[self.kind]


def answer_vocabulary() -> tuple[str, ...]:
    """Every answer that a question can have."""
    return (*SHAPE_COLOURS, *SHAPE_VERBS, *SHAPE_SIDES, *SHAPES, *NUMBERS)


def _acting(clip: CaptionedShapes) -> list[tuple[Thing, Act]]:
    """Every act that is visible, with its shape."""
    out = []
    for thing in clip.plan.things:
        for act in thing.acts:
            seen = clip.seen[thing.number, act.start : act.end]
            if seen[0] >= 0.5 and seen[-1] >= 0.5 and (seen >= 0.5).mean() >= 0.5:
                out.append((thing, act))
    return out


def open_questions(clip: CaptionedShapes, seed: int) -> list[OpenQuestion]:
    """Questions about a clip, at most one of each kind.

    Args:
        clip: The clip; it must not be a still.
        seed: Number of the clip, from which the shapes to ask about are drawn.
    """
    rng = random_stream(seed, "shapes", "open questions")
    u = rng.random(6)
    things, middle, side = clip.plan.things, clip.plan.ticks // 2, clip.images.shape[1]
    shown = [t for t in things if clip.seen[t.number, middle] >= 0.5]
    kinds = [t.shape for t in things]
    out: list[OpenQuestion] = []

    def pick(options: list[Thing], k: int) -> Thing:
        return options[int(u[k] * len(options))]

    grey = {t.number for t, a in _doing(things) if SHAPE_VERBS[a.verb] == "turns grey" and a.start <= middle < a.end}
    sole = [t for t in shown if kinds.count(t.shape) == 1 and t.number not in grey]
    if sole:
        t = pick(sole, 0)
        out.append(OpenQuestion("colour", f"what colour is the {SHAPES[t.shape]}", tuple(SHAPE_COLOURS)[t.colour]))
    pairs = [(a, b) for a in shown for b in shown if a is not b]
    for i in rng.permutation(len(pairs)):
        a, b = pairs[int(i)]
        x = clip.boxes[[a.number, b.number], middle]
        centres = (x[:, :2] + x[:, 2:]) / 2 / side
        how = side_of((centres[0, 0], centres[0, 1]), (centres[1, 0], centres[1, 1]))
        if how is not None and not {a.number, b.number} & grey:
            other = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[how]
            first, second = (how, other) if u[1] < 0.5 else (other, how)
            out.append(OpenQuestion("relation", f"is {phrase(a)} {first} or {second} {phrase(b)}", how))
            break
    if (
        len(shown) == len(things)
        and len(things) < len(NUMBERS)
        and all(t.end - t.start == clip.plan.ticks for t in things)
    ):
        out.append(OpenQuestion("how many", "how many shapes are there", NUMBERS[len(things)]))
    done = _acting(clip)
    if done:
        t, act = done[int(u[2] * len(done))]
        known = f"the {SHAPES[t.shape]}" if kinds.count(t.shape) == 1 else phrase(t)
        out.append(OpenQuestion("what", f"what does {known} do", SHAPE_VERBS[act.verb]))
    order = sorted(done, key=lambda x: x[1].start)
    if len(order) > 1 and order[0][1].start < order[1][1].start and len(done) == len(_doing(things)):
        out.append(OpenQuestion("first", "what happens first", SHAPE_VERBS[order[0][1].verb]))
    # A shape that drifts may seem to do what one of the first four verbs says, which are movements.
    still = not any(t.free for t in things)
    verbs = [a.verb for _, a in _doing(things)]
    clear = [(t, a) for t, a in done if verbs.count(a.verb) == 1 and (still or a.verb > 3)]
    if clear:
        t, act = clear[int(u[3] * len(clear))]
        out.append(OpenQuestion("colour of the actor", f"what colour is the shape that {SHAPE_VERBS[act.verb]}",
                                tuple(SHAPE_COLOURS)[t.colour]))  # fmt: skip
        t, act = clear[int(u[4] * len(clear))]
        out.append(OpenQuestion("shape of the actor", f"which shape {SHAPE_VERBS[act.verb]}", SHAPES[t.shape]))
    return out


def _doing(things: list[Thing]) -> list[tuple[Thing, Act]]:
    return [(t, a) for t in things for a in t.acts]


def answer_priors(questions: list[OpenQuestion]) -> dict[str, float]:
    """For each kind of question, the share that the most frequent answer gets right.

    Args:
        questions: Questions of many clips.
    """
    out = {}
    for kind in QUESTION_KINDS:
        answers = [q.answer for q in questions if q.kind == kind]
        if answers:
            out[kind] = float(np.unique(answers, return_counts=True)[1].max() / len(answers))
    return out
