"""Sentences whose referent is unique by construction, and the solver that makes sure.

A sentence is a conjunction of predicates: a noun phrase (kind, colours, clothes, texture, size, side, order) and
what it does (an event of `truth`, with direction), possibly tied in time to another event. The solver asks of
every event of the clip whether the sentence *holds* for it as a careful viewer would judge, and whether it *might*
be taken to hold by a careless one (silver for white, a crossing for a leaving, a van for a car). A sentence is
used only when it holds for exactly one referent (actor and time) and might hold for no other.

Kinds of sentences, and which time is the answer (the words in quotes are events, defined in `truth`):

- `appearance`, `clothing`, `size`, `side`: "there", all the time the actor is in the picture.
- `order`: "there" of the first, second, third or last actor that the noun phrase fits, by when they come in.
- `direction`: "cross", the whole visit.
- `enter`, `leave`, `return`, `stand`, `turn`, `put`, `taken`, `rest`, `appear`, `vanish`: that event's own time.
- `while`: the time of the main clause's event, which lies almost wholly inside that of the other clause, so that
  the intersection, the other possible reading, is nearly the same.
- `after`, `before`: the time of the main clause's event, which starts after the other has ended, or ends
  before it starts.
- `absent`: nothing fits, neither carefully nor carelessly; the answer is empty. Half of them name something that is
  not there, half something that is there but does not do this.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from whenwhere.stage.casting import FAMILY, pick
from whenwhere.stage.compose import Seen
from whenwhere.stage.domains import DOMAINS
from whenwhere.stage.heldout import HELDOUT
from whenwhere.stage.palette import HAIR, PAINTS, Paint, may_be
from whenwhere.stage.people import PersonLook
from whenwhere.stage.streams import stream
from whenwhere.stage.truth import Event
from whenwhere.stage.wordings import DEV, Words
from whenwhere.stage.world import Actor, World

WORDS: dict[str, Words] = {"dev": DEV, "heldout": HELDOUT}

#: Kinds that a careless viewer may name by each other's noun.
_ALIKE = (
    {"car", "van"}, {"van", "truck"}, {"van", "bus"}, {"truck", "bus"}, {"dog", "cat"}, {"dog", "horse"},
    {"box", "bag"}, {"box", "suitcase"}, {"bag", "suitcase"}, {"bottle", "vase"}, {"cup", "vase"}, {"box", "book"},
    {"child", "man"}, {"child", "woman"},
)  # fmt: skip
_PEOPLE, _VEHICLES, _ANIMALS = {"man", "woman", "child"}, {"car", "van", "truck", "bus"}, {"dog", "cat", "horse"}
_GROUPS = {"person": _PEOPLE, "vehicle": _VEHICLES, "animal": _ANIMALS}

#: Asked-for event → events that may be taken for it.
_TAKEN_FOR = {
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
_KIND_OF = {"cross": "direction", "back": "return"}
#: Kinds that nearly every clip offers.
_COMMON = {"order", "side", "rest", "while", "after", "before"}
#: Seconds below which an event is too short to be asked about.
SHORTEST = 0.8


@dataclass(frozen=True)
class Phrase:
    """A noun phrase as predicates.

    Attributes:
        noun: a kind or a group.
        part: which colour is named: `body`, `top`, `bottom`, `hair`, or empty.
        paint: the colour, where a part is named.
        second: the trousers' colour, where both pieces are named.
        texture: whether the texture is named.
        size: `big`, `small` or empty.
        side: `left`, `right` or empty.
        order: 0-based place among those that fit the rest, -1 for the last, None.
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
    return _GROUPS.get(noun, {noun})


class Solver:
    """Judges sentences against one clip's facts.

    Args:
        world: the clip.
        seen: its boxes.
        happenings: its events.
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
        """Whether the phrase, but for its order, is true of the actor."""
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
        """Whether a careless viewer may accept the phrase, but for its order, for the actor."""
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
        # the second colour of a pattern, of a truck's load, of an animal's patches
        two = actor.texture != "plain" or actor.kind in ("truck", "bottle", "book") or actor.family == "animal"
        return two and part != "hair" and family in ("white", "grey", "black")

    def _peers(self, actor: Actor) -> list[float]:
        return [self.area[a] for a in self.there if self.world.actors[a].kind == actor.kind and a != actor.id]

    def _stands_out(self, actor: Actor, size: str) -> bool:
        """Whether the actor is clearly the bigger (smaller) one among others of its kind."""
        peers, own = self._peers(actor), self.area[actor.id]
        return bool(peers) and (own > 1.3 * max(peers) if size == "big" else own < min(peers) / 1.3)

    def _sized(self, actor: Actor, size: str) -> bool:
        """Whether the actor may pass for big (small) among its own kind: not when it is clearly the other one."""
        peers, own = self._peers(actor), self.area[actor.id]
        return not peers or (own > 0.8 * max(peers) if size == "big" else own < 1.25 * min(peers))

    def ordered(self, p: Phrase) -> list[int] | None:
        """Actors the phrase fits by when they come in; None where their order or their number is debatable."""
        loose = replace(p, order=None)
        pool = [a for a in self.there if self.might(loose, self.world.actors[a])]
        if not all(self.fits(loose, self.world.actors[a]) for a in pool):
            return None
        pool.sort(key=lambda a: self.there[a].start)
        starts = [self.there[a].start for a in pool]
        return pool if len(pool) > 1 and min(np.diff(starts)) >= 0.7 else None

    def shown(self, e: Event) -> bool:
        """Whether the event can be seen happening: its actor is hidden for less than a third of the time."""
        inside = e.spans.index(np.arange(self.world.frames) / self.world.fps + 1e-9) >= 0
        return bool(self.present[e.actor][inside].mean() > 2 / 3)

    # -- whole sentences ----------------------------------------------------------------------------------------------

    def holders(self, p: Phrase, what: str, direction: str, careless: bool) -> list[Event]:
        """Events that the clause fits (or, `careless`, may be taken to fit)."""
        whats = _TAKEN_FOR[what] if careless else {what}
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
        """The one event the clause refers to, None where there is none or where it is not beyond doubt."""
        exact = self.holders(p, what, direction, False)
        loose = self.holders(p, what, direction, True)
        return exact[0] if len(_referents(exact)) == 1 and _referents(loose) == _referents(exact) else None


def _referents(found: list[Event]) -> set[tuple[int, tuple[float, ...]]]:
    """Who and when: two events of one actor over the same time are one referent."""
    return {(e.actor, (*e.spans.starts.tolist(), *e.spans.ends.tolist())) for e in found}


@dataclass(frozen=True)
class Sentence:
    """A sentence and the event that answers it; None: absent."""

    text: str
    kind: str
    event: Event | None
    phrase: Phrase


class Speaker:
    """Turns predicates into words of one split, drawing among synonyms."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng, self.words = world, rng, WORDS[world.split]

    def choose(self, options: tuple[str, ...]) -> str:
        """One of several wordings."""
        return options[int(self.rng.integers(len(options)))]

    def noun_phrase(self, p: Phrase, actor: Actor | None = None) -> str:
        """The phrase with its article."""
        w = self.words
        noun = self.choose(w.nouns[p.noun])
        before, after = [], ""
        if p.size:
            before.append(self.choose(w.size[p.size]))
        if p.part == "body" and p.paint:
            before.append(self.choose(p.paint.words))
            if p.texture:
                before.append(self.choose(w.texture[p.texture]))
        elif p.part and p.paint:
            colour = self.choose(p.paint.words)
            if p.texture:
                colour += " " + self.choose(w.texture[p.texture])
            look = actor.look if actor is not None and isinstance(actor.look, PersonLook) else None
            piece = p.part
            if look and piece == "top" and look.coat:
                piece = "coat"
            if look and piece == "bottom" and look.skirt:
                piece = "skirt"
            if p.second:
                after = self.choose(w.clothes["both"]).format(c=colour, d=self.choose(p.second.words))
            else:
                # bare "in red" only where no texture word would be left hanging
                options = tuple(o for o in w.clothes[piece] if not (p.texture and o.endswith("in {c}")))
                after = self.choose(options).format(c=colour)
        if p.order is not None:
            ordinal = self.choose(w.order[p.order])
            article = "the " + ordinal
        else:
            article = "the" if self.rng.random() < 0.6 else "a"
        side = self.choose(w.sides[p.side]) if p.side else ""
        text = " ".join(part for part in (article, *before, noun, after, side) if part)
        # no word here begins with a vowel letter and a consonant's sound
        return re.sub(r"\ba (?=[aeiou])", "an ", text)

    def clause(
        self, np_text: str, what: str, direction: str, family: str, fast: bool, place: str, finite: bool = False
    ) -> str:
        """The noun phrase with its verb; `finite`: as a clause of a longer sentence."""
        w = self.words
        key = what
        if what == "cross" and direction in ("up", "down"):
            key = direction
        if what == "stand" and family == "vehicle":
            key = "stand vehicle"
        other = {"left": "right", "right": "left", "up": "bottom", "down": "top"}.get(direction, "")
        options = tuple(o for o in w.templates[key] if not (finite and o.startswith("~")))
        moves = self.choose(w.moves[family][int(fast)]) if family in w.moves else ""
        where = self.choose(w.places[place]) if place else ""
        text = self.choose(options).removeprefix("~")
        return text.format(np=np_text, moves=moves, side=direction, other=other, place=where)


def _phrases(solver: Solver, actor: Actor, rng: np.random.Generator) -> list[Phrase]:
    """Noun phrases that are true of the actor and can be seen at its size, in random order."""
    small = solver.height[actor.id] < 0.25
    groups = [g for g, members in _GROUPS.items() if actor.kind in members]
    nouns = [actor.kind] * 4 + groups
    noun = nouns[int(rng.integers(len(nouns)))]
    out = [Phrase(noun)]
    for part in actor.paints:
        hidden = part == "bottom" and isinstance(actor.look, PersonLook) and actor.look.coat
        if not (hidden or (part == "hair" and small)):
            out.append(Phrase(noun, part, actor.paints[part]))
    main = "body" if "body" in actor.paints else "top"
    if actor.texture != "plain":
        out.append(Phrase(noun, main, actor.paints[main], texture=actor.texture))
    if "bottom" in actor.paints and not (isinstance(actor.look, PersonLook) and (actor.look.skirt or actor.look.coat)):
        out.append(Phrase(noun, "top", actor.paints["top"], actor.paints["bottom"]))
    if actor.big:
        out.append(Phrase(noun, size=actor.big))
        out.append(Phrase(noun, main, actor.paints[main], size=actor.big))
    return [out[i] for i in rng.permutation(len(out))]


def _single(world: World, solver: Solver, speaker: Speaker, e: Event, rng: np.random.Generator) -> Sentence | None:
    """A sentence of one clause for the event, None where no true phrase singles it out."""
    actor = world.actors[e.actor]
    for p in _phrases(solver, actor, rng):
        if e.what == "there":
            options = [(p, ""), (replace(p, side="left"), "side"), (replace(p, side="right"), "side")]
            options += [(replace(p, order=int(rng.choice([0, 1, 2, -1]))), "order")]
            for q, kind in (options[i] for i in rng.permutation(len(options))):
                if q.side and (not solver.fits(q, actor) or solver.unique(replace(q, side=""), "there")):
                    continue  # a side is only named where it is needed
                found = solver.unique(q, "there")
                if found is not None and found.actor == e.actor:
                    worn = q.part in ("top", "bottom", "hair")
                    kind = kind or ("size" if q.size else "clothing" if worn else "appearance")
                    if q.order is not None and len(solver.ordered(q) or []) == 2 and q.order == -1:
                        q = replace(q, order=1)
                    text = speaker.clause(speaker.noun_phrase(q, actor), "there", "", actor.family, False, "")
                    return Sentence(text, kind, found, q)
            continue
        if e.what in ("enter", "leave") and e.direction not in ("left", "right"):
            return None
        direction = e.direction if e.what in ("cross", "enter", "leave") else ""
        if e.what == "cross" and not direction:
            return None
        found = solver.unique(p, e.what, direction)
        if found is not None and found.actor == e.actor:
            text = speaker.clause(speaker.noun_phrase(p, actor), e.what, direction, actor.family, e.fast, actor.place)
            return Sentence(text, _KIND_OF.get(e.what, e.what), found, p)
    return None


def _linked(world: World, solver: Solver, speaker: Speaker, e: Event, rng: np.random.Generator) -> Sentence | None:
    """A sentence of two clauses: the event `e`, tied to another actor's event."""
    if e.what not in ("cross", "stand", "enter", "leave") or (e.what != "stand" and not e.direction):
        return None
    others = [o for o in solver.events if o.actor != e.actor and (o.what == "stand" or (
              o.direction and o.what in ("cross", "leave", "enter")))]  # fmt: skip
    actor = world.actors[e.actor]
    for o in (others[i] for i in rng.permutation(len(others))):
        overlap = (e.spans & o.spans).duration
        if overlap >= 0.8 * e.spans.duration:
            link = "while"
        elif e.start >= o.end + 0.1:
            link = "after"
        elif e.end <= o.start - 0.1:
            link = "before"
        else:
            continue
        sub = world.actors[o.actor]
        for q in _phrases(solver, sub, rng):
            od = "" if o.what == "stand" else o.direction
            found = solver.unique(q, o.what, od)
            if found is None or found.actor != o.actor or (od in ("up", "down") and o.what != "cross"):
                continue
            for p in _phrases(solver, actor, rng):
                d = "" if e.what == "stand" else e.direction
                if d in ("up", "down") and e.what != "cross":
                    continue
                exact = [x for x in solver.holders(p, e.what, d, False) if _tied(x, o, link, False)]
                loose = [x for x in solver.holders(p, e.what, d, True) if _tied(x, o, link, True)]
                if len(_referents(exact)) != 1 or exact[0].actor != e.actor or _referents(loose) != _referents(exact):
                    continue
                if solver.unique(p, e.what, d) and rng.random() < 0.7:
                    continue  # rather sentences in which the second clause is needed
                main = speaker.clause(speaker.noun_phrase(p, actor), e.what, d, actor.family, e.fast, actor.place,
                                      True)  # fmt: skip
                rest = speaker.clause(speaker.noun_phrase(q, sub), o.what, od, sub.family, o.fast, sub.place, True)
                text = speaker.choose(speaker.words.links[link]).format(main=main, sub=rest)
                return Sentence(text, link, exact[0], p)
    return None


def _tied(e: Event, o: Event, link: str, careless: bool) -> bool:
    """Whether event `e` stands to `o` as the link says; a careless reading counts starts only."""
    if link == "while":
        overlap = (e.spans & o.spans).duration
        return overlap > 0.15 if careless else overlap >= 0.8 * e.spans.duration
    if link == "after":
        return e.start >= o.start if careless else e.start >= o.end
    return e.start <= o.end if careless else e.end <= o.start


def _absent(world: World, solver: Solver, speaker: Speaker, rng: np.random.Generator) -> Sentence | None:
    """A sentence about something that is not there, or does not happen."""
    domain = DOMAINS[world.domain]
    if rng.random() < 0.5 and solver.there:
        actors = [world.actors[a] for a in solver.there]
        actor = actors[int(rng.integers(len(actors)))]
        p = next((p for p in _phrases(solver, actor, rng) if p.part), Phrase(actor.kind))
        tries = [("cross", d) for d in ("left", "right")] + [("stand", ""), ("turn", ""), ("back", "")]
        if actor.place:
            tries = [("put", ""), ("taken", "")]
        if actor.family == "vehicle":
            tries = [("stand", ""), *([("cross", "up"), ("cross", "down")] if domain.above else tries[:2])]
        if actor.kind == "ball":
            tries = tries[:2]
        if world.cuts:  # a cut back to the first camera may be taken for a return
            tries = [t for t in tries if t[0] != "back"]
        for what, d in (tries[i] for i in rng.permutation(len(tries))):
            # neither it nor another of its kind: "the red car" that does not turn must not be saved by a blue one
            if not solver.holders(replace(p, part="", paint=None, second=None, texture=""), what, d, True):
                text = speaker.clause(speaker.noun_phrase(p, actor), what, d, actor.family, False, actor.place)
                return Sentence(text, "absent", None, p)
    for _ in range(12):
        kind = pick(rng, dict.fromkeys(domain.sizes, 1.0))
        if world.split == "dev" and kind in ("vase", "suitcase", "horse"):
            continue
        family = FAMILY.get(kind, "thing")
        paints = HAIR[world.split] if family == "person" and rng.random() < 0.2 else PAINTS[world.split]
        part = "body" if family != "person" else "hair" if paints is HAIR[world.split] else "top"
        if family == "animal":
            paints = tuple(x for x in paints if x.family in ("brown", "black", "white", "grey", "orange"))
        p = Phrase(kind, part, paints[int(rng.integers(len(paints)))])
        if not any(solver.might(p, world.actors[a]) for a in solver.there):
            return Sentence(speaker.clause(speaker.noun_phrase(p), "there", "", family, False, ""), "absent", None, p)
    return None


def sentences(
    world: World, seen: Seen, happenings: list[Event], count: int = 6, absent: float = 0.12
) -> list[Sentence]:
    """Up to `count` sentences about a clip, of kinds as different as it offers.

    Args:
        world: the clip.
        seen: its boxes.
        happenings: its events.
        count: how many at most; a clip in which little happens gives fewer.
        absent: share of sentences about nothing that is there.

    Returns:
        Sentences with different texts; each about a referent that is unique in the clip, or about none.
    """
    rng = stream(world.seed, "sentences")
    solver, speaker = Solver(world, seen, happenings), Speaker(world, stream(world.seed, "words"))
    askable = [e for e in happenings if e.what in _TAKEN_FOR and e.spans.duration >= SHORTEST and solver.shown(e)]
    pool: list[Sentence] = []
    for e in (askable[i] for i in rng.permutation(len(askable))):
        made = [_single(world, solver, speaker, e, rng)]
        if e.what == "there":
            made.append(_single(world, solver, speaker, e, rng))
        else:
            made.append(_linked(world, solver, speaker, e, rng))
        pool += [s for s in made if s is not None]
    out: list[Sentence] = []
    asks = [rng.random() < absent for _ in range(count)]
    while pool and len(out) < count:
        if asks[len(out)] and (s := _absent(world, solver, speaker, rng)) and s.text not in {x.text for x in out}:
            out.append(s)
            continue
        # kinds and actors that were used little so far come first, and rare kinds before common ones, by and large
        kinds = [x.kind for x in out]
        who = [x.event.actor for x in out if x.event]
        used = [kinds.count(s.kind) + 0.3 * who.count(s.event.actor) for s in pool if s.event]
        rank = np.array(used) + [0.35 * (s.kind in _COMMON) for s in pool] + rng.uniform(0, 0.6, len(pool))
        s = pool.pop(int(rank.argmin()))
        if s.text not in {x.text for x in out}:
            out.append(s)
    return out
