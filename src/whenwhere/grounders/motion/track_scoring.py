"""Track scoring: the terms of an actor that do not depend on time (kind, colours, size, speed); groups of actors."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import lexicon
from whenwhere.grounders.motion.attributes import PICTURED, REGION, Memo, TrackedActor, kind_score
from whenwhere.grounders.motion.colours import COLOURS, COLUMNS
from whenwhere.grounders.motion.kind_model import kind_probability
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.spans import Span, SpanSet

_ZONES = {
    "whole": slice(0, 5), "upper": slice(1, 3), "lower": slice(3, 5), "hair": slice(0, 1), "head": slice(0, 1),
    "feet": slice(4, 5), "carried": slice(1, 4),
}  # fmt: skip


#: Weights of the two scores of kind, hand-set and fitted; a higher weight of the fitted one costs on real clips.
SHAPE, FITTED = 0.6, 0.5
#: Prior shares of colours on moving things; the colours of pavement are common and so say little.
_COMMON = {"black": 0.30, "grey": 0.28, "white": 0.14, "brown": 0.09, "blue": 0.08, "red": 0.04}


def track_terms(
    reading: QueryReading, pool: list[TrackedActor], kinds: NDArray[np.float64] | None = None
) -> dict[int, dict[str, float]]:
    """The terms of every actor that do not depend on time, by the actor's `id()`.

    Args:
        reading: The reading of the sentence.
        pool: The actors.
        kinds: (n,) how well each actor is of the kind that is asked for, as log-likelihood ratios. None judges it by
            shape and motion.
    """
    n = len(pool)
    columns: dict[str, NDArray[np.float64]] = {}
    mass = np.array([a.mass for a in pool])
    seen = np.maximum(-1.6, 0.3 * np.log(mass / max(mass, default=1.0))) if n else mass
    # Leaves, screens and reflections tremble in one place and never enter or leave. What was found by looks, and not
    # by motion, may well stand still.
    idle = [
        np.abs(a.shift).max() < 0.03
        and a.path < 0.1
        and not (a.entry or a.exit or len(a.classes) or a.id in (REGION, PICTURED))
        for a in pool
    ]
    columns["seen"] = seen - 0.8 * np.array(idle, float)
    if kinds is not None:
        columns["kind"] = kinds
    elif reading.kind is not None and n:
        biggest = max(a.area for a in pool)
        fits = np.array([kind_term(a, reading.kind, biggest) for a in pool])
        columns["kind"] = fits - fits.max()
    person = reading.kind in ("person", "cyclist")
    for colour, part in reading.colours:
        name = colour if part == "whole" else f"{colour} {part}"
        columns[name] = colour_terms(colour, part, pool, person)
    if reading.sleeves is not None:
        skin = np.array([a.share("skin", slice(1, 3)) for a in pool])
        columns["sleeves"] = np.clip((skin - 0.12) * 6, -0.7, 0.7) * (1 if reading.sleeves == "short" else -1)
    if n and (reading.size is not None or reading.child) and reading.side not in ("near", "far"):
        # Near the camera a child is bigger than whoever stands far off.
        sign = -1 if reading.size == "small" or reading.child else 1
        # "The big ball" is big for a ball.
        alike = np.exp(2.0 * columns["kind"]) if "kind" in columns else np.ones(n)
        columns["size"] = 0.7 * sign * _standard_scores([np.sqrt(a.area) for a in pool], alike)
    if reading.speed is not None:
        columns["speed"] = (0.7 if reading.speed == "fast" else -0.7) * _standard_scores([a.brisk + 0.05 for a in pool])
    return {id(a): {k: float(v[i]) for k, v in columns.items()} for i, a in enumerate(pool)}


def kind_term(actor: TrackedActor, kind: str, biggest: float) -> float:
    """How well an actor fits a kind, by hand-set shapes and, if the kind belongs to a family, by the fitted model."""
    fit = kind_score(actor, kind, biggest)
    p = kind_probability(actor, kind)
    return fit if p is None else SHAPE * fit + FITTED * float(np.log(3 * p))


def _standard_scores(values: list[float], weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(n,) standard scores of the logarithms of values, with a (weighted) mean, between -1.7 and 1.7."""
    logs = np.log(np.array(values))
    mean = float(np.average(logs, weights=weights))
    spread = float(np.sqrt(np.average((logs - mean) ** 2, weights=weights)))
    scores: NDArray[np.float64] = np.clip((logs - mean) / max(0.25, spread), -1.7, 1.7)
    return scores


def colour_word_share(share: NDArray, word: str) -> NDArray[np.float64]:
    """The share in 0-1 of (..., 13) colour rows that a colour word describes."""
    total = np.zeros(share.shape[:-1])
    for column, weight in lexicon.mix_of(word).items():
        total = total + weight * share[..., COLUMNS.index(column)]
    return np.minimum(1.0, total)


def colour_shares(word: str, part: str, colour: NDArray, person: bool = False) -> NDArray[np.float64]:
    """(n,) the share in 0-1 of a part of each actor that has a colour.

    Args:
        word: The colour word.
        part: The part that it describes: whole, upper, lower, hair, head, feet or carried.
        colour: (n, 5, 13) the actors' colours.
        person: Whether the actors are people, whose colour is that of their clothes.
    """
    zones = colour[:, _ZONES[part]]
    share = colour_word_share(zones.mean(1), word)
    if part == "whole" and person:
        # "A man in black", "a girl in red": the clothes count, not head and feet.
        return np.maximum(share, colour_word_share(colour[:, 1:4].mean(1), word))
    if part == "whole":
        return 0.6 * share + 0.4 * colour_word_share(zones, word).max(1)
    if part in ("carried", "head", "feet"):
        best: NDArray[np.float64] = colour_word_share(zones, word).max(1)
        return best
    return share


def colour_terms(word: str, part: str, pool: list[TrackedActor], person: bool = False) -> NDArray[np.float64]:
    """(n,) log-likelihood ratios of a colour, relative to the clip's other actors and to what is common."""
    if not pool:
        return np.zeros(0)
    main = max(lexicon.mix_of(word), key=lambda c: lexicon.mix_of(word)[c])
    share = colour_shares(word, part, np.stack([a.colour for a in pool]), person)
    weights = np.sqrt([a.mass for a in pool])
    usual = 0.5 * _COMMON.get(main, 0.05) + 0.5 * float(np.average(np.minimum(share, 0.5), weights=weights))
    strength = {"whole": 1.2, "upper": 1.2, "lower": 1.0, "hair": 0.8}.get(part, 0.5)
    if main in COLOURS[3:]:
        share = np.minimum(1.0, share * 1.6)  # windows, skin and shadow cover a part of everything coloured
    terms: NDArray[np.float64] = np.clip(strength * np.log((share + 0.05) / (usual + 0.05)), -2.2, 2.2)
    # A speaker names the colour of the actor that shows it best: the others get less.
    terms = terms + 0.7 * strength * np.maximum(np.log((share + 0.05) / (share.max() + 0.05)), -2.0)
    return terms


def actor_groups(pool: list[TrackedActor], count: int) -> list[TrackedActor]:
    """Groups of `count` actors (or of two) that move together: near each other, at the same time, in one direction."""
    out = []
    for i, a in enumerate(pool):
        for b in pool[i + 1 :]:
            joint = group_actor([a, b])
            if joint is not None:
                out.append(joint)
    if count > 2:
        grown = []
        for g in out:
            for c in pool:
                if all(c is not m for m in g.members):
                    joint = group_actor([*g.members, c])
                    if joint is not None:
                        grown.append(joint)
        out = grown or out
    return out


def group_actor(members: list[TrackedActor]) -> TrackedActor | None:
    """One actor whose boxes hold all members while all are seen; None if the members do not move together."""
    start, end = max(m.span.start for m in members), min(m.span.end for m in members)
    longest = max(m.span.duration for m in members)
    if end - start < max(0.6, 0.4 * longest):
        return None
    lead = max(members, key=lambda m: m.span.duration)
    rows = lead.within(start, end)
    times = lead.times[rows]
    if len(times) < 3:
        return None
    boxes = np.stack([m.at(times) for m in members])
    centre = (boxes[:, :, :2] + boxes[:, :, 2:]) / 2
    reach = (boxes[:, :, 2:] - boxes[:, :, :2]).max(2).mean()
    spread = float(np.median(np.linalg.norm(centre - centre.mean(0), axis=2)))
    if spread > 1.5 * reach:
        return None
    v = np.stack(
        [np.median(m.velocity[m.within(start, end)], 0) if m.within(start, end).any() else m.shift for m in members]
    )
    if np.linalg.norm(v - v.mean(0), axis=1).max() > 0.6 * np.linalg.norm(v, axis=1).max() + 0.02:
        return None
    hull = np.concatenate([boxes[:, :, :2].min(0), boxes[:, :, 2:].max(0)], 1)
    ratio = (hull[:, 2:] - hull[:, :2]) / (lead.boxes[rows][:, 2:] - lead.boxes[rows][:, :2]).clip(1)
    size = lead.size[rows] * ratio
    # The group is seen from the entry of its first to the exit of its last member.
    span = Span(min(m.span.start for m in members), max(m.span.end for m in members))
    frame = lead.size[rows] / (lead.boxes[rows][:, 2:] - lead.boxes[rows][:, :2]).clip(1e-6)
    middle = (hull[:, :2] + hull[:, 2:]) / 2 * frame
    return replace(
        lead, id=-1, times=times, boxes=hull, span=span, spans=SpanSet([span]), centre=middle, size=size,
        way=middle + lead.way[rows] - lead.centre[rows],
        touch=lead.touch[rows], velocity=lead.velocity[rows], pace=lead.pace[rows], still=lead.still[rows],
        joints=np.zeros((0, *lead.joints.shape[1:]), np.float32),
        colour=np.mean([m.colour for m in members], 0), area=sum(m.area for m in members), members=members, memo=Memo(),
    )  # fmt: skip
