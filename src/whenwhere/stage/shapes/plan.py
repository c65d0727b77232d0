"""What happens in a clip before anything is painted: which shapes, when they are present, what they do, what is asked.

An event is either the time in which a shape is present, or something that a shape does while it is present for longer.
All events draw their times in the same way, so that no word gives away a time. Starts are stratified over the clip:
each one is uniform, but those of one clip are spread out, so that no single span answers many of its sentences.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_TEXTURES, SHAPE_VERBS, SHAPES
from whenwhere.stage.shapes.world import TICKS, ShapesWorld

#: Number of shapes for which every stream draws, however many the clip has; no clip has more.
MAX_SHAPES = 24


def held_out_noun(colour: int, shape: int) -> bool:
    """Whether a shape has this colour (an index into `SHAPE_COLOURS`) only in the split `ood-look`."""
    return colour == shape


def held_out_texture(texture: int, shape: int) -> bool:
    """Whether a shape has this texture (an index into `SHAPE_TEXTURES`) only in the split `ood-look`."""
    return texture > 0 and shape == 2 * (texture - 1)


def held_out_act(verb: int, shape: int) -> bool:
    """Whether a shape does what this verb (an index into `SHAPE_VERBS`) says only in the split `ood-look`."""
    return verb == shape + 2


@dataclass
class Act:
    """Something that a shape does.

    Attributes:
        verb: Index into `SHAPE_VERBS`.
        start: First tick of the act.
        end: Tick after the last one.
    """

    verb: int
    start: int
    end: int


@dataclass
class Thing:
    """A shape in a clip.

    Attributes:
        number: Index in the clip's lists, which is also the order of painting.
        colour: Index into `SHAPE_COLOURS`.
        shape: Index into `SHAPES`.
        texture: Index into `SHAPE_TEXTURES`.
        start: First tick at which it is present.
        end: First tick at which it is gone.
        acts: What the shape does, in order of time.
        side: Index into `SHAPE_SIDES` if a sentence names its side, else -1.
        free: Whether the shape may move at random.
    """

    number: int
    colour: int
    shape: int
    texture: int
    start: int
    end: int
    acts: list[Act] = field(default_factory=list)
    side: int = -1
    free: bool = False


@dataclass
class ShapesSentence:
    """A sentence before it is put into words.

    Attributes:
        kind: `there`, `texture`, `relation`, `action` or `order`.
        things: Numbers of the shapes that it is true of; empty if it is true of none.
        noun: Index into `SHAPE_COLOURS` and index into `SHAPES`.
        texture: Index into `SHAPE_TEXTURES`. None if no texture is named.
        verb: Index into `SHAPE_VERBS`. None if no act is named.
        side: Index into `SHAPE_SIDES`. None if no side is named.
        order: Index into `ORDERS`. None if no order is named.
    """

    kind: str
    things: tuple[int, ...]
    noun: tuple[int, int]
    texture: int | None = None
    verb: int | None = None
    side: int | None = None
    order: int | None = None


@dataclass
class ShapesPlan:
    """What happens in a clip.

    Attributes:
        ticks: Duration in ticks of half a second.
        things: The shapes, in the order in which they are painted.
        asks: The sentences.
        bar: Bar that hides what passes behind it: 0 (none), 1 (vertical) or 2 (horizontal).
    """

    ticks: int
    things: list[Thing]
    asks: list[ShapesSentence]
    bar: int


def _spans(world: ShapesWorld, seed: int, ticks: int, count: int) -> list[tuple[int, int]]:
    """Start and end of each event, in ticks."""
    lo, hi = world.fraction
    share = lo * (hi / lo) ** world.stream(seed, "fractions").random(MAX_SHAPES)[:count]
    rng = world.stream(seed, "starts")
    within, order = rng.random(MAX_SHAPES)[:count], rng.permutation(count)
    room = max(1, ticks // 3) if world.split == "ood-later" else ticks
    length = np.clip(np.rint(share * ticks), 1, min(room, ticks - 1)).astype(int)
    start = ticks - room + np.floor((order + within) / count * (room - length + 1)).astype(int)
    return [(int(a), int(a + n)) for a, n in zip(start, length, strict=True)]


class _Looks:
    """Deals out colours, shapes and textures so that every noun of a clip belongs to a single shape."""

    def __init__(self, world: ShapesWorld, seed: int) -> None:
        rng = world.stream(seed, "looks")
        pairs = [(c, s) for c in range(len(SHAPE_COLOURS)) for s in range(len(SHAPES))]
        pairs = [pairs[i] for i in rng.permutation(len(pairs))]
        self.other = world.split == "ood-look"
        held = [p for p in pairs if held_out_noun(*p)]
        self.nouns = [p for p in pairs if not held_out_noun(*p)]
        if self.other:
            self.nouns = held + self.nouns
        self.textures = world.stream(seed, "textures").random((MAX_SHAPES, len(SHAPE_TEXTURES)))
        self.textures[:, 0] *= 0.55  # The smallest number wins, so that about half of all shapes are plain.

    def noun(self) -> tuple[int, int]:
        return self.nouns.pop(0)

    def ranked(self, number: int, shape: int) -> list[int]:
        """Textures for a shape, best first."""
        order = [int(t) for t in self.textures[number].argsort()]
        if self.other:
            return sorted(order, key=lambda t: not held_out_texture(t, shape))
        return [t for t in order if not held_out_texture(t, shape)]


def _verbs(world: ShapesWorld, rng: NDArray[np.float64], shape: int) -> list[int]:
    """Verbs for a shape, best first."""
    order = [int(v) for v in rng.argsort()]
    if world.split == "ood-look":
        return sorted(order, key=lambda v: not held_out_act(v, shape))
    return [v for v in order if not held_out_act(v, shape)]


def _apart(spans: list[tuple[int, int]], among: list[int], count: int) -> list[int] | None:
    """The first `count` events of which no two overlap, in order of time; None if there are none."""
    for some in itertools.combinations(among, count):
        some_in_time = sorted(some, key=lambda k: spans[k])
        if all(spans[a][1] <= spans[b][0] for a, b in itertools.pairwise(some_in_time)):
            return some_in_time
    return None


def make_plan(world: ShapesWorld, seed: int) -> ShapesPlan:
    """Everything that happens in one clip, and what is asked about it.

    Args:
        world: The distribution of clips.
        seed: Number of the clip.
    """
    lo, hi = world.seconds
    ticks = TICKS * (lo + int(world.stream(seed, "length").random() * (hi - lo + 1)))
    count = int(world.stream(seed, "events").integers(world.events[0], world.events[1] + 1))
    spans = _spans(world, seed, ticks, count)
    looks = _Looks(world, seed)
    bar = world.stream(seed, "bar").random(2)
    barred = 0 if bar[0] >= world.bars else 1 + int(bar[1] * 2)
    rng = world.stream(seed, "roles")
    chance = rng.random(8)
    free = [int(k) for k in rng.permutation(count)]
    verbs = world.stream(seed, "acts").random((MAX_SHAPES, len(SHAPE_VERBS)))
    around = world.stream(seed, "presence").random((MAX_SHAPES, 3))
    things: list[Thing] = []
    asks: list[ShapesSentence] = []

    def add(noun: tuple[int, int], start: int, end: int, texture: int | None = None, free: bool = True) -> Thing:
        number = len(things)
        texture = looks.ranked(number, noun[1])[0] if texture is None else texture
        things.append(Thing(number, *noun, texture, start, end, free=free))
        return things[-1]

    def acting(events: list[int]) -> None:
        noun = looks.noun()
        first, last = spans[events[0]][0], spans[events[-1]][1]
        u = around[len(things)]
        start, end = (0, ticks) if u[0] < 0.5 else (int(u[1] * (first + 1)), last + int(u[2] * (ticks - last + 1)))
        thing = add(noun, start, end, free=False)
        for verb, k in zip(_verbs(world, verbs[thing.number], noun[1]), events, strict=False):
            thing.acts.append(Act(verb, *spans[k]))
            asks.append(ShapesSentence("action", (thing.number,), noun, verb=verb))
            free.remove(k)

    if chance[0] < world.twofold and (pair := _apart(spans, free, 2)):
        acting(pair)
    if chance[1] < world.acts and free:
        acting(free[:1])
    if barred and chance[2] < 0.8 and len(free) >= 2:
        noun = looks.noun()
        flip = chance[3] < 0.5
        for side in (0, 1):
            thing = add(noun, *spans[free.pop(0)], free=False)
            thing.side = int(2 * (barred - 1) + (side ^ flip))
            asks.append(ShapesSentence("relation", (thing.number,), noun, side=thing.side))
    if chance[4] < 0.5 and len(free) >= 2:
        noun = looks.noun()
        for texture in looks.ranked(len(things), noun[1])[:2]:
            thing = add(noun, *spans[free.pop(0)], texture)
            asks.append(ShapesSentence("texture", (thing.number,), noun, texture))
    several = 2 + (chance[6] < 0.3)
    if chance[5] < world.ambiguous and (group := _apart(spans, free, several)):
        noun = looks.noun()
        asks.append(ShapesSentence("there", tuple(add(noun, *spans[k]).number for k in group), noun))
        free = [k for k in free if k not in group]
    if chance[7] < world.orders and (group := _apart(spans, free, 2)):
        noun = looks.noun()
        for place, k in enumerate(group):
            asks.append(ShapesSentence("order", (add(noun, *spans[k]).number,), noun, order=place))
        free = [k for k in free if k not in group]
    for k in free:
        noun = looks.noun()
        asks.append(ShapesSentence("there", (add(noun, *spans[k]).number,), noun))
    _company(world, seed, ticks, things, add, looks)
    _absent(world, seed, things, asks, looks)
    order = world.stream(seed, "order").random(3 * MAX_SHAPES)[: len(asks)].argsort()
    return ShapesPlan(ticks, things, [asks[i] for i in order], barred)


def _company(world: ShapesWorld, seed: int, ticks: int, things: list[Thing], add: Callable[..., Thing],
             looks: _Looks) -> None:  # fmt: skip
    """Adds shapes that no sentence is about: one that is present when another is, then as many as the world wants."""
    rng = world.stream(seed, "company")
    wanted = int(rng.integers(world.objects[0], world.objects[1] + 1))
    chance, u = rng.random(2), rng.random((MAX_SHAPES, 3))
    passing = [t for t in things if not t.acts]
    if passing and chance[0] < world.cotemporal and len(things) < 20:
        same = passing[int(chance[1] * len(passing))]
        add(looks.noun(), same.start, same.end)
    lo, hi = world.fraction
    while len(things) < min(wanted, 20):
        a, b, c = u[len(things)]
        length = max(1, min(ticks - 1, round(lo * (hi / lo) ** float(a) * ticks)))
        start = int(b * (ticks - length + 1))
        if c < 0.4:
            start, length = 0, ticks
        add(looks.noun(), start, start + length)


def _absent(world: ShapesWorld, seed: int, things: list[Thing], asks: list[ShapesSentence], looks: _Looks) -> None:
    """Adds sentences about something that is not there, or that is there but does not do what they say."""
    rng = world.stream(seed, "absent")
    u = rng.random((MAX_SHAPES, 4))
    doing = [t for t in things if t.acts]
    for k in range(len(asks)):
        if u[k, 0] >= world.absent / (1 - world.absent):
            continue
        what = u[k, 1]
        if what < 0.3 and doing:
            thing = doing[int(u[k, 2] * len(doing))]
            done = {a.verb for a in thing.acts}
            verbs = [v for v in range(len(SHAPE_VERBS)) if v not in done and not held_out_act(v, thing.shape)]
            noun = (thing.colour, thing.shape)
            ask = ShapesSentence("action", (), noun, verb=verbs[int(u[k, 3] * len(verbs))])
        elif what < 0.5:  # a noun that is there, in a texture that is not
            thing = things[int(u[k, 2] * len(things))]
            noun = (thing.colour, thing.shape)
            worn = {t.texture for t in things if (t.colour, t.shape) == noun}
            others = [t for t in range(len(SHAPE_TEXTURES)) if t not in worn and not held_out_texture(t, thing.shape)]
            if not others:  # it is present in every texture that it may have
                continue
            ask = ShapesSentence("texture", (), noun, others[int(u[k, 3] * len(others))])
        else:
            ask = ShapesSentence("there", (), looks.nouns[int(u[k, 2] * len(looks.nouns))])
        if ask not in asks:
            asks.append(ask)
