"""The record of what was understood of a sentence, which is returned with every answer."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class QueryReading:
    """What was understood of a sentence.

    Attributes:
        noun: The word for the thing that is asked for; "" if none was found.
        kind: Its kind (a key of `lexicon.NOUNS`), or None if unknown.
        modifier: The word right before the noun if it tells which sort it is, as in "teddy bear" and "toy car".
        colours: (colour, part) pairs; the part is whole, upper, lower, hair, head, feet or carried.
        direction: Where it moves: left, right, up, down, towards or away.
        origin: The side that it comes from.
        side: Where it is: left, right, top, bottom, middle, near or far.
        order: 1 for the first, 2 for the second ..., -1 for the last thing.
        occurrence: The same for the event ("for the second time").
        count: How many things are meant.
        size: big or small.
        speed: fast or slow.
        sleeves: short or long.
        child: Whether a child is meant.
        events: What happens, in the order told (keys of `event_lexicon.EVENTS`).
        object: Another thing that it happens to, with kind and colours.
        companions: The other things of the clause as (preposition or "", noun, kind), in their order; the preposition
            is the one before the noun, as in "on the bed".
        relation: (while, after, before or not, the reading of the other clause); "not" is the time outside of it.
        alone: Whether the sentence is its other clause alone, as in "before the car comes"; then it asks for a time.
        every: Whether every thing or time that fits is meant.
        alternatives: The readings of the sentences that "or" offers; everything else is empty then.
        unapplied: Parts of the sentence that change its meaning and cannot be applied, word for word.
        words: The words of the clause that was read, in plain wording (`grammar.query_tokens`).
    """

    noun: str = ""
    kind: str | None = None
    modifier: str = ""
    colours: list[tuple[str, str]] = field(default_factory=list)
    direction: str | None = None
    origin: str | None = None
    side: str | None = None
    order: int | None = None
    occurrence: int | None = None
    count: int = 1
    size: str | None = None
    speed: str | None = None
    sleeves: str | None = None
    child: bool = False
    events: list[str] = field(default_factory=list)
    object: "QueryReading | None" = None
    companions: list[tuple[str, str, str]] = field(default_factory=list)
    relation: "tuple[str, QueryReading] | None" = None
    alone: bool = False
    every: bool = False
    alternatives: "list[QueryReading]" = field(default_factory=list)
    unapplied: list[str] = field(default_factory=list)
    words: tuple[str, ...] = ()

    def clauses(self) -> "list[QueryReading]":
        """The readings of all clauses: itself, those that "or" offers, and the one beside it."""
        others = [*self.alternatives, *([self.relation[1]] if self.relation is not None else [])]
        return [self, *(one for other in others for one in other.clauses())]

    @property
    def usable(self) -> bool:
        """Whether anything was understood that could tell one thing from another."""
        return bool(
            self.kind
            or self.colours
            or self.direction
            or self.origin
            or self.side
            or self.events
            or self.order
            or self.size
        )

    @property
    def telling(self) -> int:
        """The number of properties named beyond the kind of thing."""
        return (
            len(self.colours)
            + sum(x is not None for x in (self.direction or self.origin, self.side, self.order, self.size, self.speed))
            + len(self.events)
            + (self.relation is not None)
        )

    def record(self) -> dict[str, Any]:
        """What was understood as JSON values, for the grounding record."""
        out: dict[str, Any] = {}
        if self.noun or self.kind:
            out["thing"] = self.noun
            out["kind"] = self.kind
        if self.colours:
            out["colours"] = [c if p == "whole" else f"{c} ({p})" for c, p in self.colours]
        for name in ("direction", "origin", "side", "order", "occurrence", "size", "speed", "sleeves"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        if self.count > 1:
            out["count"] = self.count
        if self.events:
            out["events"] = list(self.events)
        if self.object is not None:
            out["object"] = self.object.record()
        if self.every:
            out["every"] = True
        if self.relation is not None:
            out[self.relation[0]] = self.relation[1].record()
        if self.alternatives:
            out["either"] = [r.record() for r in self.alternatives]
        if self.unapplied:
            out["not_applied"] = list(self.unapplied)
        return out
