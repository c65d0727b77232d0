"""The solver: which actors and events of a clip a sentence is true of, and which it might be taken to be true of.

A careful viewer judges by `Solver.fits`, a careless one, who takes silver for white or a van for a car, by
`Solver.might`. A careless viewer also takes one event for another, such as a crossing for a leaving (`TAKEN_FOR`). A
clause is unique if both viewers find the same single referent.
"""

from dataclasses import dataclass, replace

import numpy as np

from whenwhere.stage.compose import Seen
from whenwhere.stage.palette import Paint, may_be
from whenwhere.stage.truth import Event
from whenwhere.stage.world import Actor, World

#: Pairs of kinds of which a careless viewer may take one for the other.
_ALIKE = (
    {"car", "van"}, {"van", "truck"}, {"van", "bus"}, {"truck", "bus"}, {"dog", "cat"}, {"dog", "horse"},
    {"box", "bag"}, {"box", "suitcase"}, {"bag", "suitcase"}, {"bottle", "vase"}, {"cup", "vase"}, {"box", "book"},
    {"child", "man"}, {"child", "woman"}, {"sheep", "dog"}, {"sheep", "horse"}, {"bucket", "bag"}, {"bucket", "box"},
    {"bucket", "cup"}, {"bucket", "vase"},
)  # fmt: skip
_PEOPLE, _VEHICLES = {"man", "woman", "child"}, {"car", "van", "truck", "bus"}
_ANIMALS = {"dog", "cat", "horse", "sheep"}
KIND_GROUPS = {"person": _PEOPLE, "vehicle": _VEHICLES, "animal": _ANIMALS}

#: Events that a careless viewer may take for the event that a sentence asks for.
TAKEN_FOR = {
    "there": {"there"},
    "cross": {"cross", "enter", "leave", "back", "turn", "partial"},
    "enter": {"enter", "back", "cross", "partial"},
    "leave": {"leave", "cross", "turn", "partial"},
    "back": {"back", "turn"},
    "stand": {"stand"},
    "turn": {"turn", "back"},
    "put": {"put", "appear"},
    "taken": {"taken", "vanish"},
    "rest": {"rest", "appear", "vanish", "put", "taken"},
    "appear": {"appear", "put"},
    "vanish": {"vanish", "taken"},
}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase as predicates.

    Attributes:
        noun: A kind, or a group of kinds (`person`, `vehicle`, `animal`).
        part: The part whose colour is named: `body`, `top`, `bottom`, `hair`, or empty for none.
        paint: The colour of that part. None if no part is named.
        second: The colour of the trousers, if both pieces of clothing are named, else None.
        texture: The texture, or empty if none is named.
        size: `big`, `small`, or empty if no size is named.
        side: `left`, `right`, or empty if no side is named.
        order: Index among the actors that fit the rest, by when they come in, starting at 0; -1 for the last. None if
            no order is named.
    """

    noun: str
    part: str = ""
    paint: Paint | None = None
    second: Paint | None = None
    texture: str = ""
    size: str = ""
    side: str = ""
    order: int | None = None


def _members(noun: str) -> set[str]:
    return KIND_GROUPS.get(noun, {noun})


class Solver:
    """Judges sentences against the facts of one clip.

    Args:
        world: The clip.
        seen: The boxes of its actors.
        happenings: Its events (`truth.clip_events`).
    """

    def __init__(self, world: World, seen: Seen, happenings: list[Event]) -> None:
        self.world, self.events, self.present = world, happenings, seen.present
        self.there = {e.actor: e for e in happenings if e.what == "there"}
        centre = (seen.boxes[..., 0] + seen.boxes[..., 2]) / 2 / world.width
        self.left = {}
        for a in self.there:
            c = centre[a][~np.isnan(centre[a])]
            self.left[a] = (float(np.mean(c < 0.5)), float(c.min()), float(c.max()))
        areas = (seen.boxes[..., 2] - seen.boxes[..., 0]) * (seen.boxes[..., 3] - seen.boxes[..., 1])
        tall = (seen.boxes[..., 3] - seen.boxes[..., 1]) / world.height
        self.height = {a: float(np.nanmax(tall[a])) for a in self.there}
        self.area = {a: float(np.nanmax(areas[a])) for a in self.there}

    # -- noun phrases -------------------------------------------------------------------------------------------------

    def fits(self, p: Phrase, actor: Actor) -> bool:
        """Whether the phrase, apart from its order, is true of the actor."""
        if actor.kind not in _members(p.noun) or (p.texture and actor.texture != p.texture):
            return False
        if p.part and p.paint and actor.paints.get(p.part, p.paint).family != p.paint.family:
            return False
        if p.part and p.part not in actor.paints:
            return False
        if p.second and actor.paints["bottom"].family != p.second.family:
            return False
        if p.size and not (actor.big == p.size and self._stands_out(actor, p.size)):
            return False
        _, low, high = self.left[actor.id]
        return not p.side or (high < 0.47 if p.side == "left" else low > 0.53)

    def might(self, p: Phrase, actor: Actor) -> bool:
        """Whether a careless viewer may accept the phrase, apart from its order, for the actor."""
        if not any(actor.kind == k or {actor.kind, k} in _ALIKE for k in _members(p.noun)):
            return False
        if p.paint and not self._coloured(actor, p.part, p.paint.family):
            return False
        if p.second and not self._coloured(actor, "bottom", p.second.family):
            return False
        if p.texture and actor.texture == "plain":
            return False
        if p.size and not self._sized(actor, p.size):
            return False
        share = self.left[actor.id][0] if p.side != "right" else 1 - self.left[actor.id][0]
        return not p.side or share > 0.15

    def _coloured(self, actor: Actor, part: str, family: str) -> bool:
        names = ("body",) if "body" in actor.paints else ("hair",) if part == "hair" else ("top", "bottom")
        if any(may_be(actor.paints[n].family, family) for n in names):
            return True
        # A pattern, a truck's load or an animal's patches may show a second colour.
        two = actor.texture != "plain" or actor.kind in ("truck", "bottle", "book") or actor.family == "animal"
        return two and part != "hair" and family in ("white", "grey", "black")

    def _peers(self, actor: Actor) -> list[float]:
        return [self.area[a] for a in self.there if self.world.actors[a].kind == actor.kind and a != actor.id]

    def _stands_out(self, actor: Actor, size: str) -> bool:
        """Whether the actor is clearly the biggest (smallest) of its kind."""
        peers, own = self._peers(actor), self.area[actor.id]
        return bool(peers) and (own > 1.3 * max(peers) if size == "big" else own < min(peers) / 1.3)

    def _sized(self, actor: Actor, size: str) -> bool:
        """Whether the actor may pass for big (small) among its kind, that is, is not clearly the opposite."""
        peers, own = self._peers(actor), self.area[actor.id]
        return not peers or (own > 0.8 * max(peers) if size == "big" else own < 1.25 * min(peers))

    def ordered(self, p: Phrase) -> list[int] | None:
        """Ids of the actors that the phrase fits, by when they come in; None where order or number is debatable."""
        loose = replace(p, order=None)
        pool = [a for a in self.there if self.might(loose, self.world.actors[a])]
        if not all(self.fits(loose, self.world.actors[a]) for a in pool):
            return None
        pool.sort(key=lambda a: self.there[a].start)
        starts = [self.there[a].start for a in pool]
        return pool if len(pool) > 1 and min(np.diff(starts)) >= 0.7 else None

    def shown(self, e: Event) -> bool:
        """Whether the event can be seen, that is, its actor is hidden for less than a third of the time."""
        inside = e.spans.index(np.arange(self.world.frames) / self.world.fps + 1e-9) >= 0
        return bool(self.present[e.actor][inside].mean() > 2 / 3)

    # -- whole sentences ----------------------------------------------------------------------------------------------

    def holders(self, p: Phrase, what: str, direction: str, careless: bool) -> list[Event]:
        """Events that a clause fits.

        Args:
            p: The noun phrase.
            what: The event that the clause names.
            direction: The direction that the clause names, or empty.
            careless: Whether to judge as a careless viewer would.
        """
        whats = TAKEN_FOR[what] if careless else {what}
        judge = self.might if careless else self.fits
        order = self.ordered(p) if p.order is not None else None
        if p.order is not None and (order is None or not -len(order) <= p.order < len(order)):
            return []
        out = []
        for e in self.events:
            if e.what not in whats or not judge(p, self.world.actors[e.actor]):
                continue
            if order is not None and p.order is not None and e.actor != order[p.order]:
                continue
            if direction and e.direction != direction and not (careless and not e.direction):
                continue
            out.append(e)
        return out

    def unique(self, p: Phrase, what: str, direction: str = "") -> Event | None:
        """The one event that a clause refers to; None where there is none or it is debatable.

        Args:
            p: The noun phrase.
            what: The event that the clause names.
            direction: The direction that the clause names, or empty.
        """
        exact = self.holders(p, what, direction, False)
        loose = self.holders(p, what, direction, True)
        return exact[0] if len(referents(exact)) == 1 and referents(loose) == referents(exact) else None


def referents(found: list[Event]) -> set[tuple[int, tuple[float, ...]]]:
    """Actor and time of each event; two events of one actor over the same time are one referent."""
    return {(e.actor, (*e.spans.starts.tolist(), *e.spans.ends.tolist())) for e in found}
