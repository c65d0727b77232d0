"""Reading a sentence into properties that can be seen: kind, colours and their parts, direction, side, order, events.

There is no more grammar than needed: the sentence is divided at sub-clause words (while, after ...), each clause is
searched for its head noun, colours are attached to the next noun, and events are patterns over base forms. The reading
is returned with every answer, so that a person sees at once what was understood and what was ignored.
"""

import re

from whenwhere.grounders.motion import event_lexicon, grammar, scope
from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.described_colours import attach_colours
from whenwhere.grounders.motion.grammar import VERBS, is_noun
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.query_rewriting import rewrite_query, without_request
from whenwhere.grounders.motion.wearers import is_a_place


def read_query(sentence: str) -> QueryReading:
    """The reading of a sentence.

    >>> r = read_query("the second man in a red jacket walks from right to left while a white van parks")
    >>> r.noun, r.kind, r.colours, r.direction, r.order
    ('man', 'person', [('red', 'upper')], 'left', 2)
    >>> r.relation[0], r.relation[1].kind, r.relation[1].events
    ('while', 'vehicle', ['stop'])
    >>> read_query("the hand puts the bottle back").record()
    {'thing': 'hand', 'kind': 'hand', 'events': ['put_down'], 'object': {'thing': 'bottle', 'kind': 'object'}}
    """
    text = scope.plain(sentence)
    asked = without_request(text)
    if offered := scope.alternatives(asked):
        readings = [read_query(s) for s in offered]
        for reading, part in zip(readings, offered, strict=True):
            reading.every = reading.every or part.startswith(("a ", "an ", "any "))
        return QueryReading(alternatives=readings)
    if denied := scope.denied_presence(asked):
        return QueryReading(relation=(denied[0], read_query(denied[1])), alone=True)
    clauses = grammar.clauses(grammar.query_tokens(text))
    main = _read_clause(clauses[0][1])
    main.every = main.order is None and scope.asks_for_every(text, main.noun, bool(main.events))
    if main.every and "both" in text.split():
        main.count = max(main.count, 2)
    main.unapplied += scope.unapplied_parts(text, rewrite_query(text))
    for relation, body in clauses[1:]:
        other = _read_clause(body)
        if relation and main.relation is None:
            other.every = scope.is_plural(other.noun)
            main.relation = (relation, other)
        else:
            main.unapplied.append(" ".join(body[:6]))
        main.unapplied += other.unapplied
    main.alone = main.relation is not None and set(clauses[0][1]) <= scope.FILLERS
    if main.alone and scope.loosely_timed(text):
        main.unapplied.append(" ".join(text.split()[:3]))
    return main


def _read_clause(words: list[str]) -> QueryReading:
    """The reading of one clause."""
    r = QueryReading(words=tuple(words))
    nouns = grammar.nouns_of(words)
    subject = grammar.subject_of(words, nouns)
    text = grammar.base_text(words)
    r.events = grammar.events_of(text, words)
    if subject is not None:
        at, kind = subject
        r.noun, r.kind = words[at], kind
        if kind == "child":
            r.kind, r.child = "person", True
    if (head := grammar.unknown_head(words, nouns)) is not None:
        # "The orange feathers on the bird's head" asks for the feathers, whatever they are.
        subject = (head, "unknown")
        r.noun, r.kind = words[head], None
    riding = re.search(
        r"\b(ride|cycle|pedal|on (a|the|his|her)( \S+)? (bike|bicycle|motorbike|scooter|motorcycle))\b", text
    )
    named = subject is None and "ride" in words  # "the red ride" is a thing of some kind
    if riding and r.kind in ("person", None) and "horse" not in text and not named:
        r.kind = "cyclist"
    others = [(i, k) for i, k in nouns if subject is None or i != subject[0]]
    if (thing := grammar.object_of(words, others, subject)) is not None:
        r.object = QueryReading(noun=thing[0], kind=thing[1])
    r.companions = [
        (grammar.preposition_of(words, i), words[i], kind)
        for i, kind in others
        if not (kind in ("person", "child", "animal", "vehicle") and _tells_of_another_thing(words, i))
        and not (subject is not None and i == subject[0] - 1)  # "a glass bowl"
    ]
    if _DRESSES.search(text) and _dresses(words[subject[0] + 1 :] if subject else words, r.object):
        r.events = [e for e in r.events if e not in ("put_down", "pick_up", "start")]
    attach_colours(r, words, subject, others)
    held = r.object is not None and r.object.kind == "object" and not {"put_down", "pick_up"} & set(r.events)
    if held and r.object is not None and not is_a_place(words, words.index(r.object.noun)):
        r.colours += [(c, "carried") for c, _ in r.object.colours]
    _places(r, words, text)
    if r.side == "near" or r.direction in ("towards", "away"):
        r.companions = [c for c in r.companions if c[1] not in _VIEWER]
    _numbers(r, words, subject)
    for w in words:
        for form in lex.lemmas(w):
            r.speed = r.speed or lex.SPEEDS.get(form)
        if w in lex.SLEEVES:
            r.sleeves = lex.SLEEVES[w]
    if "vanish" not in r.events:
        # A time clause without a noun of its own, as in "before it stops" and "after the red one".
        r.unapplied += [
            " ".join(words[i : i + 4])
            for i, w in enumerate(words)
            if w in ("before", "after", "until")
            and not {"vanish", "disappear"} & set(lex.lemmas("".join(words[i + 1 : i + 2])))
        ]
    if subject is not None:
        before = words[max(0, subject[0] - 4) : subject[0]]
        r.modifier = next((w for w in before[-1:] if grammar.is_modifier(w)), "")
        after = [w for w in words[subject[0] + 1 : subject[0] + 3] if w.endswith("est")]
        r.size = next((lex.SIZES[w] for w in [*before, *after] if w in lex.SIZES), None)
        if not r.events and r.kind in ("person", "cyclist", "animal", "vehicle"):
            r.events = [event_lexicon.STATES[w] for w in before if w in event_lexicon.STATES][-1:]
        elif "stop" in r.events and "parked" in before:
            r.events = ["stand" if event == "stop" else event for event in r.events]
    return r


#: Words for the camera, which is not a thing in the picture in "near the camera".
_VIEWER = frozenset({"camera", "lens", "viewer", "screen"})
#: Putting garments on and off, which is no putting down or taking away.
_DRESSES = re.compile(r"\bput on\b|\btake off\b|\b(put|take) .* (on|off)$")


#: Words after a vehicle or an animal that name a place.
_PLACES = frozenset({"stop", "station", "park", "house", "lane", "seat"})


def _tells_of_another_thing(words: list[str], i: int) -> bool:
    """Whether a word for somebody, an animal or a vehicle tells of something else.

    "A toy car" is no car, "a teddy bear" no bear, and "a bear costume" and "a bus stop" are neither.

    Args:
        words: The words of a clause.
        i: Position of the word.
    """
    after = words[i + 1] if i + 1 < len(words) else ""
    sort = (is_noun(after) and not lex.colour_of(after) and not grammar.is_verb_form(words, i + 1)) or after in _PLACES
    return sort or bool(i and words[i - 1] in lex.IMITATIONS)


def _dresses(words: list[str], thing: QueryReading | None) -> bool:
    """Whether what is put on or taken off, which follows the subject, is a garment."""
    named = words if thing is None else [thing.noun]
    return any(lex.body_part(w) not in (None, "carried") for w in named)


def _side_after(words: list[str], i: int) -> str | None:
    """The side named in the few words after position `i`, as in "from the far left of the picture"; else None."""
    for k in range(i + 1, min(i + 5, len(words))):
        w = words[k]
        if w in ("to", "from", "and", "while", ",", "wearing", "with", "is", "are", "was", "were"):
            return None
        if lex.body_part(w) and words[k - 1] not in ("the", "very", "at", "to", "from", "on"):
            return None  # "in a red top"
        if w in lex.SIDES and w not in ("front", "back"):
            return lex.SIDES[w]
    return None


def _edge_after(words: list[str], i: int) -> str | None:
    """The side named after position `i` as a place: "by the right edge", "nearer to the left"; else None."""
    rest = [w for w in words[i + 1 : i + 5] if w not in ("to", "the", "very", "far")][:2]
    side = lex.SIDES.get(rest[0]) if rest else None
    if side in ("left", "right", "top", "bottom") and (
        words[i] != "by" or rest[1:] in (["edge"], ["side"], ["border"])
    ):
        return side
    return None


#: Verbs after which "left" or "right" is a direction.
_TOWARDS_SIDE = frozenset({
    "turns", "goes", "moves", "walks", "going", "moving", "walking", "driving", "drives", "heading", "heads", "running",
    "runs", "facing", "turning", "rides", "riding",
})  # fmt: skip
#: "leaves on the left" and "walks out of the picture on the left" say where it goes.
_LEAVES = re.compile(
    r"\b(leav(e|es|ing)|left|exit(s|ed|ing)?|disappears?|out of)( (the|picture|frame|view|scene|image|video|room))*$"
)


#: Words before "the camera" with which something is near it.
_AT = "up to|close to|closer to|right at|against|in front of|into|near|at|touch|touches|touching|poking at|front of"


def _places(r: QueryReading, words: list[str], text: str) -> None:
    """Set direction, origin and side of a reading, given the words and the text in base form."""
    moves = {"left": "left", "right": "right", "top": "up", "bottom": "down"}
    opposite = {"left": "right", "right": "left", "top": "down", "bottom": "up"}
    for i, w in enumerate(words):
        leaving = w in ("on", "at", "by", "via") and bool(_LEAVES.search(" ".join(words[max(0, i - 4) : i])))
        if leaving or w in ("to", "towards", "toward", "into", "through", "off", "out"):
            side = _side_after(words, i)
            if side in moves:
                r.direction = r.direction or moves[side]
        elif w == "from":
            side = _side_after(words, i)
            if side in moves:
                r.origin = side
        elif w in ("on", "at", "in") and r.side is None:
            side = None if words[i + 1 : i + 3] == ["top", "of"] else _side_after(words, i)
            if side:
                r.side = side
        elif w in lex.DIRECTIONS:
            # "Walks up the road" is a direction; "picks up", "turns up" and "up to" are not.
            onwards = re.search(rf"\b({event_lexicon.MOVING}) {w}(?! (to|and))\b", text)
            if w not in ("up", "down") or onwards:
                r.direction = r.direction or lex.DIRECTIONS[w]
        elif w in ("left", "right") and i and words[i - 1] in _TOWARDS_SIDE:
            r.direction = r.direction or w
        elif w in ("leftmost", "rightmost"):
            r.side = w[:-4]
        elif w in ("left", "right") and words[i + 1 : i + 2] == ["of"] and not (i and words[i - 1] == "the"):
            r.side = r.side or w  # "left of the middle"
        elif w in ("close", "closer", "near", "nearer", "nearest", "by") and (side := _edge_after(words, i)):
            r.side = r.side or side
        elif (
            w in ("left", "right", "left-hand", "right-hand", "lefthand", "righthand")
            and i + 1 < len(words)
            and lex.noun_kind(words[i + 1])
            and i
            and words[i - 1] == "the"
        ):
            r.side = lex.SIDES[w]
    if re.search(
        r"towards? (the camera|us|the viewer|me\b)"
        r"|(walk|come|run|drive|go|ride) (right )?(up )?to (the camera|us\b|me\b)"
        r"|(come|drive|walk|run|go) (closer|nearer)|headlights",
        text,
    ):
        r.direction = r.direction or "towards"
    elif re.search(r"away from (the camera|us|me\b)|into the (distance|background)", text):
        r.direction = r.direction or "away"
    if r.direction is None and re.search(rf"\b({_AT}) (the |our |my )?(camera|lens|viewer|screen)\b", text):
        r.side = r.side or "near"
    if r.origin and r.direction is None and ("pass" in r.events or "enter" not in r.events):
        r.direction = None  # the origin alone is scored
    if r.origin and r.direction and moves.get(r.origin) == r.direction:
        r.direction = opposite[r.origin]
    if r.direction in ("left", "right") and not r.origin and not _goes(r.events, words):
        r.side, r.direction = r.side or r.direction, None  # "the cup over to the right", "to the left of the door"
    if r.side in ("left", "right") and "enter" in r.events and r.origin is None and r.direction is None:
        r.side, r.origin = None, r.side  # "appears on the left"
    if r.side in ("near", "far") and "queue" in text:
        r.side = None


def _goes(events: list[str], words: list[str]) -> bool:
    """Whether anything is said to move, turn or look to a side."""
    faces = {"face", "look", "point", "bound", "head", "way", "direction"}
    return bool(set(events) - {"stand", "put_down", "pick_up", "vanish"}) or any(
        form in faces for w in words for form in lex.lemmas(w)
    )


#: "He sits down at the end": the last time that he does so.
_FIRST_OR_LAST = re.compile(r"\b(?:at|in|near) the (?:very )?(?:beginning|start|(?P<end>end))$")


def _numbers(r: QueryReading, words: list[str], subject: tuple[int, str] | None) -> None:
    """Set order, occurrence and count of a reading."""
    for i, w in enumerate(words):
        if w in lex.ORDINALS and (w != "opening" or words[i - 1 : i] == ["the"]):
            after = words[i + 1 : i + 4]
            if after[:1] in (["time"], ["occasion"]):
                if w in ("next", "another"):
                    r.unapplied.append(f"{w} {after[0]}")
                else:
                    r.occurrence = lex.ORDINALS[w]
            elif w == "another" or (w == "next" and after[:1] == ["to"]) or (i and words[i - 1].isdigit()):
                continue
            elif w in ("last", "first") and r.order is None and not any(lex.noun_kind(x) for x in after):
                if i and (words[i - 1] in ("the", "very", "who") or set(lex.lemmas(words[i - 1])) & VERBS):
                    r.order = lex.ORDINALS[w]
            elif r.order is None:
                r.order = lex.ORDINALS[w]
        elif w == "again" and not {"turn_back", "return"} & set(r.events):
            r.occurrence = r.occurrence or 2
    if r.events and r.occurrence is None and (when := _FIRST_OR_LAST.search(" ".join(words).rstrip(" ,"))):
        r.occurrence = -1 if when["end"] else 1
    if subject is not None:
        at = subject[0]
        near = words[max(0, at - 4) : at + 1]
        for w in near:
            if w in lex.GROUPS and w != "people":
                r.count = max(r.count, lex.GROUPS[w])
        if r.count == 1 and words[at] == "people":
            r.count = 2
        if "and" in words[at + 1 : at + 2] or re.search(
            r"\band (a|an|the|another)\b", " ".join(words[at + 1 : at + 6])
        ):
            following = [lex.noun_kind(x) for x in words[at + 1 : at + 6]]
            if any(k in ("person", "child") for k in following) and r.kind == "person" and not r.colours:
                r.count = max(r.count, 2)
        if r.count == 1 and (beside := grammar.coordinated(words, at)):
            r.unapplied.append(beside)
