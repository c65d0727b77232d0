"""Sentences whose referent is unique by construction.

A sentence is a conjunction of predicates: a noun phrase (kind, colours, clothes, texture, size, side, order) and what
its referent does (an event of `truth`, with direction), possibly tied in time to another event. For every event of the
clip, the solver decides whether the sentence *holds* as a careful viewer would judge, and whether it *might* be taken
to hold by a careless one (silver for white, a crossing for a leaving, a van for a car). A sentence is used only if it
holds for exactly one referent (actor and time) and might hold for no other.

These are the kinds of sentences and the times that answer them (words in quotes are events, defined in `truth`):

- `appearance`, `clothing`, `size`, `side`: "there", all the time the actor is in the picture.
- `order`: "there" of the first, second, third or last actor that the noun phrase fits, by when they come in.
- `direction`: "cross", the whole visit.
- `enter`, `leave`, `return`, `stand`, `turn`, `put`, `taken`, `rest`, `appear`, `vanish`: the time of that event.
- `while`: the time of the main clause's event, which lies almost wholly inside that of the other clause, so that the
  intersection, the other possible reading, is nearly the same.
- `after`, `before`: the time of the main clause's event, which starts after the other has ended, or ends before it
  starts.
- `absent`: nothing fits, neither carefully nor carelessly, and the answer is empty. Half of these sentences name
  something that is not there, half something that is there but does not do this.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from whenwhere.stage.casting import FAMILY, pick
from whenwhere.stage.compose import Seen
from whenwhere.stage.heldout import HELDOUT
from whenwhere.stage.palette import HAIR, PAINTS
from whenwhere.stage.people import PersonLook
from whenwhere.stage.solver import KIND_GROUPS, TAKEN_FOR, Phrase, Solver, referents
from whenwhere.stage.splits import EVERY_PLACE
from whenwhere.stage.streams import random_stream
from whenwhere.stage.truth import Event
from whenwhere.stage.val import VAL
from whenwhere.stage.wordings import DEV, Words
from whenwhere.stage.world import Actor, World

SPLIT_WORDS: dict[str, Words] = {"dev": DEV, "val": VAL, "heldout": HELDOUT}

_KIND_OF = {"cross": "direction", "back": "return"}
#: Kinds that nearly every clip offers.
_COMMON = {"order", "side", "rest", "while", "after", "before"}
#: Shortest event, in seconds, that is asked about.
MIN_EVENT = 0.8


@dataclass(frozen=True)
class Sentence:
    """A sentence and the event that answers it.

    Attributes:
        text: The sentence.
        kind: Kind of sentence, one of the module's list.
        event: The event that the sentence asks for. None where nothing in the clip fits.
        phrase: The noun phrase of the referent, as predicates.
    """

    text: str
    kind: str
    event: Event | None
    phrase: Phrase


class Speaker:
    """Turns predicates into words of one split, drawing among synonyms.

    Args:
        world: The clip, whose split decides the vocabulary.
        rng: Random stream of the words.
    """

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng, self.words = world, rng, SPLIT_WORDS[world.split]

    def choose(self, options: tuple[str, ...]) -> str:
        """One of several wordings, drawn at random."""
        return options[int(self.rng.integers(len(options)))]

    def noun_phrase(self, p: Phrase, actor: Actor | None = None) -> str:
        """The phrase in words, with its article.

        Args:
            p: The phrase.
            actor: Actor that the phrase describes, so that its clothes can be named as what they are. None if there is
                no such actor.
        """
        w = self.words
        nouns = w.nouns[p.noun] + (w.pronouns if p.noun == "person" and p.order is None else ())
        noun = self.choose(nouns)
        before, after = [], ""
        if p.size:
            before.append(self.choose(w.size[p.size]))
        if p.part == "body" and p.paint and "body" in w.clothes and not p.texture and self.rng.random() < 0.25:
            after = self.choose(w.clothes["body"]).format(c=self.choose(p.paint.words))
        elif p.part == "body" and p.paint:
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
            if look and look.shorts and piece == "bottom":
                piece = "shorts"
            if p.second:
                both = "both shorts" if look and look.shorts else "both"
                after = self.choose(w.clothes[both]).format(c=colour, d=self.choose(p.second.words))
            else:
                # The word of a texture needs a noun after it, so that it cannot be put into the bare "in red".
                options = tuple(o for o in w.clothes[piece] if not (p.texture and o.endswith("in {c}")))
                after = self.choose(options).format(c=colour)
        if p.order is not None:
            ordinal = self.choose(w.order[p.order])
            article = "the " + ordinal
        else:
            u = self.rng.random()
            article = next(word for word, share in w.articles if u < share)
            if noun in w.pronouns:
                article = ""
        side = self.choose(w.sides[p.side]) if p.side else ""
        text = " ".join(part for part in (article, *before, noun, after, side) if part)
        # For all words here the first letter alone decides between "a" and "an".
        return re.sub(r"\ba (?=[aeiou])", "an ", text)

    def clause(
        self, np_text: str, what: str, direction: str, family: str, fast: bool, place: str, finite: bool = False
    ) -> str:
        """A noun phrase with its verb.

        Args:
            np_text: The noun phrase.
            what: The event (see `truth`).
            direction: Direction of the movement, or empty.
            family: Family of the actor.
            fast: Whether the actor is in a hurry.
            place: What the thing stands on, or empty.
            finite: Whether the wording must be one that can be a clause of a longer sentence.
        """
        w = self.words
        key = what
        if what == "cross" and direction in ("up", "down"):
            key = direction
        if f"{key} {family}" in w.templates:
            key = f"{key} {family}"
        other = {"left": "right", "right": "left", "up": "bottom", "down": "top"}.get(direction, "")
        options = tuple(o for o in w.templates[key] if not (finite and o.startswith("~")))
        moves = self.choose(w.moves[family][int(fast)]) if family in w.moves else ""
        where = self.choose(w.places[place]) if place else ""
        pattern = self.choose(options)
        moving, move = w.forms.get(moves, ("", ""))
        text = pattern.removeprefix("~").format(np=np_text, moves=moves, moving=moving, move=move, side=direction,
                                                other=other, place=where)  # fmt: skip
        return text if finite or pattern.startswith("~") else self.framed(text)

    def framed(self, text: str) -> str:
        """A whole clause, put as somebody who searches for it would type it."""
        return self.choose(self.words.frames).format(s=text) if self.words.frames else text


def _phrases(solver: Solver, actor: Actor, rng: np.random.Generator) -> list[Phrase]:
    """Noun phrases that are true of the actor and can be seen at its size, in random order."""
    small = solver.height[actor.id] < 0.25
    groups = [g for g, members in KIND_GROUPS.items() if actor.kind in members]
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
    """A sentence of one clause about the event; None where no true phrase singles it out."""
    actor = world.actors[e.actor]
    for p in _phrases(solver, actor, rng):
        if e.what == "there":
            options = [(p, ""), (replace(p, side="left"), "side"), (replace(p, side="right"), "side")]
            options += [(replace(p, order=int(rng.choice([0, 1, 2, -1]))), "order")]
            for q, kind in (options[i] for i in rng.permutation(len(options))):
                if q.side and (not solver.fits(q, actor) or solver.unique(replace(q, side=""), "there")):
                    continue  # a side is named only where it is needed
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
    """A sentence of two clauses, which ties the event `e` in time to another actor's; None where none is unique."""
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
                if len(referents(exact)) != 1 or exact[0].actor != e.actor or referents(loose) != referents(exact):
                    continue
                if solver.unique(p, e.what, d) and rng.random() < 0.7:
                    continue  # prefer sentences in which the second clause is needed
                main = speaker.clause(speaker.noun_phrase(p, actor), e.what, d, actor.family, e.fast, actor.place,
                                      True)  # fmt: skip
                rest = speaker.clause(speaker.noun_phrase(q, sub), o.what, od, sub.family, o.fast, sub.place, True)
                pattern = speaker.choose(speaker.words.links[link])
                text = pattern.format(main=main, sub=rest)
                if pattern.startswith("{main}"):
                    text = speaker.framed(text)
                return Sentence(text, link, exact[0], p)
    return None


def _tied(e: Event, o: Event, link: str, careless: bool) -> bool:
    """Whether event `e` relates to `o` in time as the link says, exactly or (`careless`) at a tolerant reading."""
    if link == "while":
        overlap = (e.spans & o.spans).duration
        return overlap > 0.15 if careless else overlap >= 0.8 * e.spans.duration
    if link == "after":
        return e.start >= o.start if careless else e.start >= o.end
    return e.start <= o.end if careless else e.end <= o.start


def _absent(world: World, solver: Solver, speaker: Speaker, rng: np.random.Generator) -> Sentence | None:
    """A sentence about something that is not there or does not happen; None where none was found."""
    domain = EVERY_PLACE[world.domain]
    if rng.random() < 0.5 and solver.there:
        actors = [world.actors[a] for a in solver.there]
        actor = actors[int(rng.integers(len(actors)))]
        p = next((p for p in _phrases(solver, actor, rng) if p.part), Phrase(actor.kind))
        tries = [("cross", d) for d in ("left", "right")] + [("stand", ""), ("turn", ""), ("back", "")]
        if actor.place:
            tries = [("put", ""), ("taken", "")]
        if actor.family == "vehicle":
            upright = domain.above and domain.lanes[0][1] in ("up", "down")
            tries = [("stand", ""), *([("cross", "up"), ("cross", "down")] if upright else tries[:2])]
        if actor.kind == "ball":
            tries = tries[:2]
        if world.cuts:  # a cut back to the first camera may be taken for a return
            tries = [t for t in tries if t[0] != "back"]
        for what, d in (tries[i] for i in rng.permutation(len(tries))):
            # No actor of its kind may do it: "the red car turns" is not safely absent where a blue car turns.
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


def make_sentences(
    world: World, seen: Seen, happenings: list[Event], count: int = 6, absent: float = 0.12
) -> list[Sentence]:
    """Up to `count` sentences about a clip, of kinds as varied as it offers.

    Args:
        world: The clip.
        seen: The boxes of its actors.
        happenings: Its events (`truth.clip_events`).
        count: Largest number of sentences. A clip in which little happens gives fewer.
        absent: Share of sentences about something that is not there or does not happen.

    Returns:
        Sentences with different texts, each about a referent that is unique in the clip, or about none.
    """
    rng = random_stream(world.seed, "sentences")
    solver, speaker = Solver(world, seen, happenings), Speaker(world, random_stream(world.seed, "words"))
    askable = [e for e in happenings if e.what in TAKEN_FOR and e.spans.duration >= MIN_EVENT and solver.shown(e)]
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
        # Kinds and actors used little so far tend to come first, and rare kinds before common ones.
        kinds = [x.kind for x in out]
        who = [x.event.actor for x in out if x.event]
        used = [kinds.count(s.kind) + 0.3 * who.count(s.event.actor) for s in pool if s.event]
        rank = np.array(used) + [0.35 * (s.kind in _COMMON) for s in pool] + rng.uniform(0, 0.6, len(pool))
        s = pool.pop(int(rank.argmin()))
        if s.text not in {x.text for x in out}:
            out.append(s)
    return out
