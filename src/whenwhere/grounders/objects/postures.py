"""The postures and gestures that a sentence names."""

import re
from functools import cache, lru_cache

from whenwhere.grounders.motion import grammar
from whenwhere.grounders.motion.lexicon import lemmas
from whenwhere.grounders.motion.query_reading import QueryReading

#: Posture or gesture -> patterns over base forms, checked in this order; `_` stands for up to four words.
POSTURES: dict[str, tuple[str, ...]] = {
    "raise_arms": (
        "(raise|lift|hold|put|throw|stretch|get) (both|two) _ (arm|hand)",
        "(raise|lift|hold|push|press) _ weight (over|above) _ head",
        "(raise|lift|hold|push|press) _ (barbell|dumbbell|bar) (over|above) _ head",
    ),
    "raise_arm": (
        "(raise|lift) _ (arm|hand|finger|fist)",
        "(hold|put|throw|stretch|get) _ (arm|hand|thumb) (up|over|above|in the air)",
        "(arm|hand|thumb) (up|in the air|raised)",
        "(raise|lift|hold|push|swing|put) _ (over|above) (his|her|their|its) head",
    ),
    "spread_arms": (
        "(spread|stretch|open|hold|throw|extend) (his|her|their|both|the|its) arm (wide|out|apart|open|to the side)",
        "arm (spread|outstretched|wide open)", "spread (his|her|their|both|its) arm",
    ),
    "wave": ("wave",),
    "hand_to_face": (
        "(drink|sip|eat|smoke|chew|bite|taste|swallow)",
        "(have|has) _ mouth (on|at|to)",
        "(cover|touch|wipe|scratch|rub|wash|dry) _ (face|mouth|nose|head|eye|cheek|chin|forehead)",
        "(brush|clean) _ teeth", "(adjust|fix) _ (glasses|sunglasses|hair|hat|cap)", "blow _ nose",
        "(talk|speak|be) on (the|a|his|her) (phone|telephone)", "answer (the|a|his|her) (phone|telephone)",
        "put on (a|the|his|her) (hat|cap|glasses|sunglasses|mask|helmet)",
        "(put|hold|place|press|lift|raise|bring) _ (finger|hand|fist) (to|on|over|against) _ (lip|mouth|face|nose|chin|"
        "cheek|ear|head|forehead)",
    ),
    "clap": (
        "(clap|applaud)", "(clasp|join|press|put) (his|her|their|both|the) hand together",
        "fold (his|her|their|both) hand",
    ),
    "point": ("point (at|to|toward|towards|up|out|in)",),
    "sit_down": ("sit (back )?down", "take a seat"),
    "lie_down": ("(lie|lay) (back )?down",),
    "stand_up": ("(stand|get) (back )?up", "rise", "get to _ feet"),
    "kneel": ("(kneel|crouch|squat|stoop|duck)",),
    "bend": ("(bend|bow)", "lean (over|down|forward)"),
    "sit": ("sit", "be seated"),
    "lie": ("(lie|lay)",),
    "stand": ("stand",),
}  # fmt: skip
#: Postures that last, and those of them in which one rests.
STATES, RESTING = frozenset({"sit", "lie", "stand"}), frozenset({"sit", "lie"})
#: Posture or gesture -> events of the motion grounder by which its words are read where joints are not known.
ALSO: dict[str, frozenset[str]] = {
    "raise_arms": frozenset({"pick_up", "throw"}), "raise_arm": frozenset({"pick_up", "throw"}),
    "wave": frozenset({"move"}), "spread_arms": frozenset({"throw"}), "clap": frozenset({"put_down"}),
    "hand_to_face": frozenset({"put_down", "pick_up"}),
    "sit_down": frozenset({"bend", "pick_up"}), "lie_down": frozenset({"bend", "put_down"}),
    "stand_up": frozenset({"rise"}), "kneel": frozenset({"bend"}), "bend": frozenset({"bend"}),
    "sit": frozenset({"stand"}), "lie": frozenset({"stand", "put_down"}), "stand": frozenset({"stand"}),
}  # fmt: skip


def named_postures(sentence: str) -> tuple[str, ...]:
    """The postures and gestures that a sentence names, as keys of `POSTURES`, in the order in which it names them.

    >>> named_postures("a woman sits down and drinks some water"), named_postures("the man walks away")
    (('sit_down', 'hand_to_face'), ())
    >>> named_postures("he raises both hands"), named_postures("she raises the cup")
    (('raise_arms',), ())
    """
    return _named(tuple(grammar.query_tokens(sentence)))


@lru_cache(maxsize=256)
def _named(words: tuple[str, ...]) -> tuple[str, ...]:
    """The same for a clause's words in plain wording."""
    text = " ".join(next((form for form in lemmas(word) if form in _vocabulary()), word) for word in words)
    found: dict[int, str] = {}
    for name, patterns in _compiled():
        for pattern in patterns:
            for match in pattern.finditer(text):
                found.setdefault(match.start(), name)
    names = dict.fromkeys(found[start] for start in sorted(found))
    if {"raise_arms", "spread_arms"} & names.keys():
        names.pop("raise_arm", None)  # the words for one arm are among those for both
    return tuple(names)


def postures_of(reading: QueryReading, beside: bool = False) -> tuple[str, ...]:
    """The postures and gestures that tell the time of a clause; none if it tells of something else.

    It must be about one person, and name no event besides: whoever "is sitting on a chair and leaves" is asked for when
    leaving.

    Args:
        reading: The reading of the clause.
        beside: Whether it stands beside another one, as in "after waving"; then it may name nobody.
    """
    person = reading.kind in ("person", "child") or (beside and not reading.kind and not reading.noun)
    if not person or reading.alternatives or reading.count > 1:
        return ()
    found = _named(reading.words)
    same = {event for name in found for event in ALSO.get(name, ())}
    return found if set(reading.events) <= same else ()


def all_postures(reading: QueryReading) -> tuple[str, ...]:
    """The postures and gestures of all clauses of a sentence, each once."""
    own = list(postures_of(reading))
    for other in reading.alternatives:
        own += all_postures(other)
    if reading.relation is not None:
        own += postures_of(reading.relation[1], beside=True)
    return tuple(dict.fromkeys(own))


def tells_rest(reading: QueryReading) -> bool:
    """Whether a clause says that something sits or lies, and so need not keep still."""
    return bool(RESTING & set(_named(reading.words)))


@cache
def _compiled() -> tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]:
    gap = r"(?:\\S+ ){0,4}?"
    return tuple(
        (name, tuple(re.compile(r"(?<!\S)" + re.sub(r"_ ", gap, p) + r"(?!\S)") for p in patterns))
        for name, patterns in POSTURES.items()
    )


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", " ".join(" ".join(patterns) for patterns in POSTURES.values())))
