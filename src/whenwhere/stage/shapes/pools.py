"""Pools of clips for retrieval and recognition, in which every clip has exactly one right answer.

In `unique_pool` no caption is true of two clips, so that R@1 can reach 1. In `hard_pool` clips come in pairs that
differ in one thing: two shapes have exchanged their colours, their textures or what they do. Both captions of a pair
have the same words, so that a model that reads them as a bag of words is right in half of the cases. In
`recognition_pool` one shape does one thing, and the class is its verb.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from whenwhere.errors import SettingError
from whenwhere.stage.shapes.captioned import (
    Attribute,
    CaptionedShapes,
    exchanged,
    finish,
    make_captioned,
    plan_captioned,
    render,
)
from whenwhere.stage.shapes.corpus import ShapesCorpus
from whenwhere.stage.shapes.plan import ShapesPlan
from whenwhere.stage.shapes.words import SHAPE_VERBS

T = TypeVar("T")
ATTRIBUTES: tuple[Attribute, ...] = ("colour", "texture", "action")
#: Prompts for recognition, in which the name of an action replaces {}. The first is worded as captions are.
SHAPES_TEMPLATES = ("the shape {}", "a shape {}", "there is a shape and it {}")
#: A pool is called impossible after this many seeds for each of its clips.
_TRIES = 20


@dataclass(frozen=True, eq=False)
class HardPair:
    """Two clips that differ in one exchange between their named shapes.

    Attributes:
        what: What was exchanged: `colour`, `texture` or `action`.
        first: The clip as it was drawn.
        second: The clip after the exchange, with the same layout, camera and background.
    """

    what: Attribute
    first: CaptionedShapes
    second: CaptionedShapes


@dataclass(frozen=True, eq=False)
class RecognitionClip:
    """A clip for action recognition.

    Attributes:
        clip: The clip, whose caption names one shape.
        label: Index into `SHAPE_VERBS` of what that shape does.
    """

    clip: CaptionedShapes
    label: int


def _facts(plan: ShapesPlan, things: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The most that a caption can say of each shape: colour, shape, texture (0 if plain) and verb (-1 if none)."""
    for i in things:
        thing = plan.things[i]
        for verb in [a.verb for a in thing.acts] or [-1]:
            yield thing.colour, thing.shape, thing.texture, verb


def _true_of(plan: ShapesPlan) -> set[tuple[int, ...]]:
    """Everything that a caption can truly say of one shape of a clip; 0 and -1 leave out texture and verb."""
    out: set[tuple[int, ...]] = set()
    for colour, shape, texture, verb in _facts(plan, range(len(plan.things))):
        out |= {(colour, shape, t, v) for t in {texture, 0} for v in {verb, -1}}
    return out


class _Distinct:
    """Admits clips to a pool as long as no caption is true of two of them."""

    def __init__(self) -> None:
        self._said: list[set[tuple[int, ...]]] = []
        self._true: list[set[tuple[int, ...]]] = []

    def admits(self, plans: Sequence[ShapesPlan], named: Sequence[int]) -> bool:
        """Admits clips if no caption, of these or of those admitted before, is then true of two; says whether it did.

        Args:
            plans: What happens in the clips.
            named: Indices of the shapes that their captions name.
        """
        said = [set(_facts(plan, named)) for plan in plans]
        true = [_true_of(plan) for plan in plans]
        if any(s <= t for s in said for t in self._true) or any(s <= t for s in self._said for t in true):
            return False
        self._said += said
        self._true += true
        return True


def unique_pool(corpus: ShapesCorpus, count: int, first_seed: int = 0) -> list[CaptionedShapes]:
    """Clips of which none has a caption that is true of another.

    Args:
        corpus: The corpus.
        count: Number of clips.
        first_seed: Seed of the first clip. A seed is left out if its caption is true of a clip in the pool, or its clip
            fits a caption in the pool.

    Raises:
        SettingError: The corpus has too few different captions for a pool of this size.
    """
    seeds: list[int] = []
    distinct = _Distinct()
    for seed in range(first_seed, first_seed + _TRIES * count):
        if len(seeds) == count:
            break
        plan, named = plan_captioned(corpus, seed)
        if distinct.admits([plan], named):
            seeds.append(seed)
    return [make_captioned(corpus, seed) for seed in _whole(seeds, count)]


def hard_pool(
    corpus: ShapesCorpus, count: int, first_seed: int = 0, attributes: Sequence[Attribute] = ATTRIBUTES
) -> list[HardPair]:
    """Pairs of clips that differ in one exchange, such that no caption is true of two clips.

    Args:
        corpus: The corpus; it must name at least two shapes.
        count: Number of pairs.
        first_seed: Seed of the first pair. A seed is left out if one of its captions is true of a clip in the pool, or
            one of its clips fits a caption in the pool.
        attributes: What is exchanged; the pairs take them in turn.

    Raises:
        SettingError: The corpus names only one shape, lacks the textures or actions to exchange, or has too few
            different captions for a pool of this size.
    """
    if corpus.named < 2:
        raise SettingError("a hard pool needs a corpus that names at least two shapes: give named = 2")
    if "texture" in attributes and not corpus.textures:
        raise SettingError("a hard pool that exchanges textures needs a corpus with textures = true")
    if "action" in attributes and (not corpus.acting or corpus.compositions == "held out"):
        raise SettingError("a hard pool that exchanges actions needs a corpus in which shapes act in seen compositions")
    pairs: list[HardPair] = []
    distinct = _Distinct()
    for seed in range(first_seed, first_seed + _TRIES * count):
        if len(pairs) == count:
            break
        what = attributes[len(pairs) % len(attributes)]
        plan, named = plan_captioned(corpus, seed)
        plans = [plan, exchanged(plan, named, what)]
        if distinct.admits(plans, named):
            name, painted = f"{corpus.split}-{seed:07d}", render(corpus, seed, plans, named)
            first = finish(corpus, name, plans[0], named, painted[0])
            second = finish(corpus, f"{name}-{what}", plans[1], named, painted[1])
            pairs.append(HardPair(what, first, second))
    return _whole(pairs, count)


def _whole(pool: list[T], count: int) -> list[T]:
    """The pool, after a check that it has `count` clips."""
    if len(pool) < count:
        raise SettingError(
            f"only {len(pool)} of {count} captions are true of one clip alone: ask for a smaller pool, or give a "
            "larger named"
        )
    return pool


def recognition_pool(corpus: ShapesCorpus, count: int, first_seed: int = 0, bystanders: float = 0.0
                     ) -> list[RecognitionClip]:  # fmt: skip
    """Clips in which one shape does something; the class is the verb, and all verbs are equally frequent.

    With `compositions = "held out"` the verb is one that no caption for training says of that shape, which is what
    makes recognition from prompts zero-shot.

    Args:
        corpus: The corpus, in which shapes must act. Its `named`, `bystanders`, `drift`, `transient`, `middle` and
            `timing` are replaced, so that one shape acts at a time of its own.
        count: Number of clips.
        first_seed: Seed of the first clip. Seeds whose verb has enough clips already are left out.
        bystanders: Share of the other shapes that act too.

    Raises:
        SettingError: The shapes of the corpus do not act.
    """
    if not corpus.acting:
        raise SettingError("recognition needs a corpus in which shapes act: homogeneous has them, stills has not")
    one = replace(corpus, named=1, bystanders=bystanders, drift=0.0, transient=False, middle=None, timing="free")
    left = Counter(
        {verb: (count - verb + len(SHAPE_VERBS) - 1) // len(SHAPE_VERBS) for verb in range(len(SHAPE_VERBS))}
    )
    clips: list[RecognitionClip] = []
    seed = first_seed
    while len(clips) < count:
        plan, named = plan_captioned(one, seed)
        verb = plan.things[named[0]].acts[0].verb
        if left[verb] > 0:
            left[verb] -= 1
            (painted,) = render(one, seed, [plan], named)
            clips.append(RecognitionClip(finish(one, f"{one.split}-{seed:07d}", plan, named, painted), verb))
        seed += 1
    return clips


def recognition_classes() -> tuple[str, ...]:
    """Names of the classes of `recognition_pool`, to be put into `SHAPES_TEMPLATES`."""
    return SHAPE_VERBS
