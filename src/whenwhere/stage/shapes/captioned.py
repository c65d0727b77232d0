"""Makes the clips of a corpus: frames, a caption that names some of the shapes, and the truth behind it.

`make_captioned(CORPORA["pairs"], seed)` is one clip. Its caption is true of what was painted: each named shape is
visible when its action begins and ends, and for at least half of the time in between; if one is not, another layout is
drawn. The place of a shape does not depend on its noun, and named shapes are painted over the others.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.stage.shapes.clip import view_of
from whenwhere.stage.shapes.corpus import ShapesCorpus, held_out_composition
from whenwhere.stage.shapes.motion import place_shapes
from whenwhere.stage.shapes.paint import Painted, paint
from whenwhere.stage.shapes.plan import Act, ShapesPlan, Thing
from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_TEXTURES, SHAPE_VERBS, SHAPES, noun

#: What two named shapes can exchange in a hard pool.
Attribute = Literal["colour", "texture", "action"]
#: One shape is left of or above another only if their centres are at least this share of the side apart.
_APART = 0.12
#: Largest number of layouts that are tried until every named shape is visible while it acts.
_LAYOUTS = 20


@dataclass(frozen=True, eq=False)
class CaptionedShapes:
    """A clip of a corpus with its truth.

    Attributes:
        id: The split, the seed, and what was exchanged, if anything, joined by `-`.
        images: RGB frames, shape (frames, side, side, 3), uint8.
        caption: The true caption.
        nouns: Noun phrases of the caption without articles, in its order.
        named: Indices of the shapes that the nouns name.
        boxes: Visible box of every shape in every frame as xyxy pixels, shape (shapes, frames, 4); NaN where it is
            hidden.
        seen: Visible share of every shape in every frame, shape (shapes, frames).
        plan: What happens; times are numbers of frames.
    """

    id: str
    images: NDArray[np.uint8]
    caption: str
    nouns: tuple[str, ...]
    named: tuple[int, ...]
    boxes: NDArray[np.float64]
    seen: NDArray[np.float64]
    plan: ShapesPlan


def _choose(rng: np.random.Generator, options: list[int], count: int) -> list[int]:
    return [options[i] for i in rng.permutation(len(options))[:count]]


def _verbs_for(corpus: ShapesCorpus, shapes: list[int], rng: np.random.Generator) -> list[int]:
    """A verb for each named shape, all different, such that every shape may do what any other does."""
    verbs = [int(v) for v in rng.permutation(len(SHAPE_VERBS))]
    if corpus.timing == "whole":  # a shape that is grey all the time has no colour
        verbs.remove(SHAPE_VERBS.index("turns grey"))
    if corpus.compositions == "held out":
        out: list[int] = []
        for shape in shapes:
            out.append(next(v for v in verbs if held_out_composition(v, shape) and v not in out))
        return out
    free = [v for v in verbs if corpus.compositions == "all" or not any(held_out_composition(v, s) for s in shapes)]
    mine = []
    for shape in shapes:
        allowed = [v for v in (*free, *verbs) if corpus.compositions == "all" or not held_out_composition(v, shape)]
        mine.append(next(v for v in allowed if v not in mine))
    return mine


def _times(corpus: ShapesCorpus, seed: int) -> list[tuple[int, int]]:
    """First frame and frame after the last of each named shape's event."""
    n, k, rng = corpus.painted, corpus.named, corpus.world.stream(seed, "corpus-times")
    u = rng.random((k, 3))
    if corpus.timing == "whole":
        return [(0, n)] * k
    if corpus.timing == "sequence":
        # All ways to cut the clip into parts of at least two frames are equally likely.
        cuts = np.sort(rng.permutation(n - k - 1)[: k - 1]) + np.arange(k - 1)
        edges = [0, *(int(c) + 2 for c in cuts), n]
        return list(itertools.pairwise(edges))
    if corpus.timing == "paused":
        # Pauses last at least one frame, and all ways to share out the remaining frames are equally likely.
        lengths = [3 + int(a * (n // k - 3)) for a in u[:, 0]]
        rest = n - sum(lengths) - (k - 1)
        cuts = np.sort(rng.permutation(rest + k)[:k]) - np.arange(k)
        starts = [int(c) + sum(lengths[:i]) + i for i, c in enumerate(cuts)]
        times = [(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        return [times[i] for i in rng.permutation(k)]
    crosses = corpus.middle is not None and bool(rng.random() < corpus.middle)
    out = []
    for j, (a, b, c) in enumerate(u):
        room, first = n, 0
        if corpus.middle is None:
            length = 3 + int(a * (max(4, n * 3 // 4) - 2))
        elif crosses and j == 0:
            length = n // 4 + 1 + int(a * (n // 4))
            first, room = n // 2 - length + 1, 2 * length - 1
        else:  # before the middle frame, or after it
            first, room = (n // 2 + 1, n - n // 2 - 1) if c < 0.5 else (0, n // 2)
            length = 3 + int(a * (room - 2))
        start = min(max(first + int(b * (room - length + 1)), 0), n - length)
        out.append((start, start + length))
    return out


def plan_captioned(corpus: ShapesCorpus, seed: int) -> tuple[ShapesPlan, tuple[int, ...]]:
    """What happens in a clip of a corpus.

    Args:
        corpus: The corpus.
        seed: Number of the clip.

    Returns:
        The plan, and the indices of the shapes that the caption names. Those come last in the plan, so that they are
        painted over the others.
    """
    stream, n, k = corpus.world.stream, corpus.painted, corpus.named
    total = int(stream(seed, "corpus-objects").integers(corpus.objects[0], corpus.objects[1] + 1))
    rng = stream(seed, "corpus-nouns")
    colours = _choose(rng, list(range(len(SHAPE_COLOURS))), k)
    shapes = _choose(rng, list(range(len(SHAPES))), k)
    # No other shape combines a colour and a kind of named shapes, so that nouns are unique after an exchange too.
    taken = {(c, s) for c in colours for s in shapes}
    pairs = [(c, s) for c in range(len(SHAPE_COLOURS)) for s in range(len(SHAPES)) if (c, s) not in taken]
    if corpus.distinct:
        pairs = [(c, s) for c, s in pairs if s not in shapes]
    others = [pairs[i] for i in rng.permutation(len(pairs))[: total - k]]
    rng = stream(seed, "corpus-textures")
    textures = _choose(rng, list(range(len(SHAPE_TEXTURES))), k) if corpus.textures else [0] * k
    worn = rng.integers(0, len(SHAPE_TEXTURES), 20).tolist() if corpus.textures else [0] * 20
    times = _times(corpus, seed)
    rng = stream(seed, "corpus-verbs")
    verbs = _verbs_for(corpus, shapes, rng)
    spare = [v for v in range(len(SHAPE_VERBS)) if v not in verbs]
    u = stream(seed, "corpus-company").random((20, 5))
    things: list[Thing] = []
    for i, (colour, shape) in enumerate(others):
        thing = Thing(i, colour, shape, worn[i], 0, n, free=bool(u[i, 0] < corpus.drift))
        may = [v for v in spare if not held_out_composition(v, shape)]
        if corpus.acting and u[i, 1] < corpus.bystanders and may and not thing.free:
            length = 3 + int(u[i, 2] * (n // 2 - 1))
            start = int(u[i, 3] * (n - length + 1))
            thing.acts.append(Act(may[int(u[i, 4] * len(may))], start, start + length))
        things.append(thing)
    for j in range(k):
        start, end = times[j]
        present = (start, end) if corpus.transient else (0, n)
        thing = Thing(len(things), colours[j], shapes[j], textures[j], *present)
        if corpus.acting:
            # A transient shape is shown for one frame before it acts, so that its look can be seen.
            thing.acts.append(Act(verbs[j], start + corpus.transient, end))
        things.append(thing)
    return ShapesPlan(n, things, [], 0), tuple(range(total - k, total))


def exchanged(plan: ShapesPlan, named: tuple[int, ...], what: Attribute) -> ShapesPlan:
    """The plan in which the first two named shapes have exchanged one attribute.

    Args:
        plan: What happens.
        named: Indices of the named shapes.
        what: What is exchanged: `colour`, `texture` or `action`.
    """
    things = list(plan.things)
    a, b = things[named[0]], things[named[1]]
    if what == "colour":
        pair = replace(a, colour=b.colour), replace(b, colour=a.colour)
    elif what == "texture":
        pair = replace(a, texture=b.texture), replace(b, texture=a.texture)
    else:
        # The verbs are exchanged, but not the times.
        swap = [[replace(x, verb=y.verb) for x, y in zip(p.acts, q.acts, strict=True)] for p, q in ((a, b), (b, a))]
        pair = replace(a, acts=swap[0]), replace(b, acts=swap[1])
    things[named[0]], things[named[1]] = pair
    return replace(plan, things=things)


def phrase(thing: Thing) -> str:
    """The noun phrase of a shape with its texture, unless that is plain.

    Args:
        thing: The shape.
    """
    return noun(thing.colour, thing.shape, thing.texture or None)


def side_of(a: tuple[float, float], b: tuple[float, float]) -> str | None:
    """Where a point is relative to another: `left of`, `right of`, `above` or `below`; None where they are close.

    Args:
        a: x and y of the point, as shares of the frame's side.
        b: x and y of the other point, as shares of the frame's side.
    """
    across, down = b[0] - a[0], b[1] - a[1]
    if max(abs(across), abs(down)) < _APART:
        return None
    if abs(across) >= abs(down):
        return "left of" if across > 0 else "right of"
    return "above" if down > 0 else "below"


def true_caption(corpus: ShapesCorpus, plan: ShapesPlan, named: tuple[int, ...], boxes: NDArray[np.float64]) -> str:
    """The caption that says what the named shapes are and do, joined by `then` where one follows the other.

    Where they do nothing, it says where two named shapes are relative to each other in the middle frame.

    Args:
        corpus: The corpus.
        plan: What happens.
        named: Indices of the named shapes.
        boxes: Visible boxes as xyxy pixels, shape (shapes, frames, 4).
    """
    said = [plan.things[i] for i in named]
    if not corpus.acting:
        x1, y1, x2, y2 = boxes[list(named), min(plan.ticks // 2, boxes.shape[1] - 1)].T / corpus.side
        centres = [(float(x), float(y)) for x, y in zip((x1 + x2) / 2, (y1 + y2) / 2, strict=True)]
        how = [side_of(a, b) for a, b in itertools.pairwise(centres)] if len(named) == 2 else []
        return f" {(how or [None])[0] or 'and'} ".join(phrase(t) for t in said)
    ordered = corpus.timing == "sequence" or corpus.transient
    if ordered:
        said = sorted(said, key=lambda t: (t.acts[0].start, t.acts[0].end))
    text = ""
    for k, thing in enumerate(said):
        after = ordered and k > 0 and said[k - 1].acts[0].end <= thing.acts[0].start
        text += f" {'then' if after else 'and'} " if k else ""
        text += f"{phrase(thing)} {SHAPE_VERBS[thing.acts[0].verb]}"
    return text


def _borne_out(corpus: ShapesCorpus, plan: ShapesPlan, painted: Painted, named: tuple[int, ...]) -> bool:
    """Whether every named shape is visible while it acts, or, if it does nothing, in the middle frame."""
    for i in named:
        acts = plan.things[i].acts
        seen = painted.seen[i, acts[0].start : acts[0].end] if acts else painted.seen[i, [plan.ticks // 2]]
        if seen[0] < 0.5 or seen[-1] < 0.5 or (seen >= 0.5).mean() < 0.5:
            return False
    return True


def render(corpus: ShapesCorpus, seed: int, plans: list[ShapesPlan], named: tuple[int, ...]) -> list[Painted]:
    """Paints plans that share everything except an attribute, in the first layout that bears all of them out.

    Args:
        corpus: The corpus.
        seed: Number of the clip.
        plans: What happens in each clip.
        named: Indices of the named shapes.

    Returns:
        The painted clip of each plan.

    Raises:
        SettingError: In none of the layouts that were tried can all named shapes be seen.
    """
    world = corpus.world
    view, margin = view_of(world, seed, corpus.painted)
    for layout in range(_LAYOUTS):
        # Layouts after the first are those of seeds that no corpus reaches.
        paths = [place_shapes(world, seed + layout * 10**9, plan, margin) for plan in plans]
        painted = [paint(p, w, view, world.fps, corpus.side) for p, w in zip(plans, paths, strict=True)]
        if all(_borne_out(corpus, p, x, named) for p, x in zip(plans, painted, strict=True)):
            return painted
    raise SettingError(
        f"clip {seed} has no room in which all {len(named)} named shapes can be seen: "
        "give fewer named shapes or smaller sizes"
    )


def finish(corpus: ShapesCorpus, name: str, plan: ShapesPlan, named: tuple[int, ...], painted: Painted
           ) -> CaptionedShapes:  # fmt: skip
    """The clip with its caption and nouns.

    Args:
        corpus: The corpus.
        name: Name of the clip.
        plan: What happens.
        named: Indices of the named shapes.
        painted: The plan as painted.
    """
    images, boxes, seen = painted.images, painted.boxes, painted.seen
    if corpus.still:
        # All frames of a stored still are its middle one already, and they may be fewer than were painted.
        middle = np.full(corpus.frames, min(corpus.painted // 2, len(images) - 1))
        images, boxes, seen = images[middle], boxes[:, middle], seen[:, middle]
    nouns = tuple(phrase(plan.things[i]).removeprefix("the ") for i in named)
    caption = true_caption(corpus, plan, named, boxes)
    order = sorted(range(len(named)), key=lambda j: caption.find(nouns[j]))
    return CaptionedShapes(
        name, images, caption, tuple(nouns[j] for j in order), tuple(named[j] for j in order), boxes, seen, plan
    )


def make_captioned(corpus: ShapesCorpus, seed: int) -> CaptionedShapes:
    """One clip of a corpus.

    Args:
        corpus: The corpus.
        seed: Number of the clip; the same seed always gives the same clip.

    Raises:
        SettingError: In none of the layouts that were tried can all named shapes be seen.
    """
    plan, named = plan_captioned(corpus, seed)
    (painted,) = render(corpus, seed, [plan], named)
    return finish(corpus, f"{corpus.split}-{seed:07d}", plan, named, painted)
