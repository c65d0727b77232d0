"""Types of queries by rules: what a sentence asks a model to understand, so that a set's coverage can be seen.

A sentence has every type whose words it holds, so shares add up to more than 1, and some sentences have none. The rules
look at English words only. They are crude and meant for comparing sets, not single sentences: how well they agree with
hand-made types is measured on TVGBench (`benchmarks/curation.py`). A new type is one entry.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from whenwhere.datasets.item import Item

_NUMBERS = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"


@dataclass(frozen=True)
class QueryType:
    """One type of query.

    Attributes:
        name: Name of the type.
        about: What sentences of this type are about, with examples of the words that decide.
        pattern: Words of which a sentence of this type holds at least one.
    """

    name: str
    about: str
    pattern: re.Pattern[str]


def _type(name: str, about: str, words: str) -> QueryType:
    return QueryType(name, about, re.compile(words, re.IGNORECASE | re.VERBOSE))


#: All types.
QUERY_TYPES: tuple[QueryType, ...] = (
    _type(
        "question",
        "a question instead of a description: ends with a question mark, or begins with a question word or auxiliary",
        r"\?\s*$ | ^\s*(?:who|whom|whose|what|when|where|which|why|how|did|do|does|is|are|was|were|has|have|can)\b"
        r" | ^\s*(?:in|at|on|from|to)\s+(?:what|which)\b",
    ),
    _type(
        "person",
        "somebody: man, woman, child, person, people, player, he, she, they, I ...",
        r"\b(?:m[ae]n|wom[ae]n|person|people|persons|boys?|girls?|child|children|kids?|bab(?:y|ies)|toddlers?|lad(?:y|ies)"
        r"|guys?|adults?|players?|teams?|somebody|someone|athletes?|drivers?|reporters?|hosts?|chefs?|cooks?|crowd"
        r"|individuals?|friends?|she|he|they|i|we|you|his|her|their|my)\b",
    ),
    _type(
        "colour or size",
        "what something looks like: red, dark, striped, big, tall, young, wooden ...",
        r"\b(?:red|blue|green|yellow|orange|purple|pink|brown|black|white|gr[ae]y|golden|silver|beige|dark|bright|striped"
        r"|colou?r(?:s|ed|ful)?|big|small|large|tiny|huge|tall|short|long|old|young|wooden|metal|plastic|round|square"
        r"|blond|blonde|bald|shirtless)\b",
    ),
    _type(
        "place",
        "where things are relative to others: left, behind, in front of, next to, between, on top of ...",
        r"\b(?:left|right|behind|beneath|under|underneath|above|below|between|beside|opposite|inside|outside|near|towards?"
        r"|in\s+front\s+of|next\s+to|on\s+top\s+of|close\s+to|far\s+from|away\s+from|around)\b",
    ),
    _type(
        "order of events",
        "another event decides when: before, after, while, until, then, once, as he ...",
        r"\b(?:before|after|afterwards?|while|whilst|until|then|during|once|meanwhile|when|finally|followed\s+by"
        r"|as\s+(?:he|she|they|it|the|a|an))\b",
    ),
    _type(
        "which one of several",
        "an ordinal or a repetition: first, second time, last, another, again, next ...",
        r"\b(?:first|second|third|fourth|fifth|last|next|another|again|once\s+more|repeat(?:s|ed|edly)?|one\s+more"
        r"|other)\b",
    ),
    _type(
        "counting",
        "a number of things or times: how many, two, three, twice, several, a few, 5 ...",
        rf"\b(?:how\s+(?:many|much|often)|{_NUMBERS}|twice|both|several|a\s+few|couple|dozens?|pair|\d+)\b",
    ),
    _type(
        "negation",
        "what does not happen or is missing: not, no, without, never, nobody ...",
        r"\b(?:not|no|without|never|nobody|nothing|none|neither|nor|cannot|fails?|misses|unsuccessful(?:ly)?)\b|n't\b",
    ),
    _type(
        "change of state",
        "something is different afterwards: opens, closes, turns on, breaks, cuts, melts, fills, falls ...",
        r"\b(?:open(?:s|ed|ing)?|clos(?:e|es|ed|ing)|shut(?:s|ting)?|turn(?:s|ed|ing)?\s+(?:\w+\s+){0,3}(?:on|off)"
        r"|br(?:ea|o)k(?:s|e|en|ing)?|cuts?|cutting|slic(?:e|es|ing)|chop(?:s|ping|ped)?|peel(?:s|ing|ed)?|melt(?:s|ing|ed)?"
        r"|fill(?:s|ing|ed)?|empt(?:y|ies|ied|ying)|ignit(?:es?|ed)|burn(?:s|ing|ed|t)?|fall(?:s|ing)?|fell|mix(?:es|ing|ed)?"
        r"|pour(?:s|ing|ed)?|becom(?:es?|ing)|chang(?:e|es|ed|ing)|light(?:s|ing)?\s+up|undress(?:es|ing)?|fold(?:s|ing|ed)?)\b",
    ),
    _type(
        "pose",
        "somebody is in a position, with little movement: sits, stands, lies, holds, wears ...",
        r"\b(?:sit(?:s|ting)?|sat|seated|stand(?:s|ing)?|stood|l(?:ies|ying)|lay(?:s|ing)?|kneel(?:s|ing)?|holds?|holding"
        r"|wears?|wearing|lean(?:s|ing)?|pos(?:es?|ing)|looks?|looking|watch(?:es|ing)?|sleep(?:s|ing)?)\b",
    ),
    _type(
        "existence",
        "something is there, or where it is: there is, where is, is shown, appears, is seen ...",
        r"\b(?:there\s+(?:is|are|was|were)|where|what\s+(?:location|area|room|place)|(?:is|are|was|were)\s+(?:shown|seen|visible)"
        r"|appears?|see)\b",
    ),
    _type(
        "sound or speech",
        "what is said or heard: says, talks, sings, music, hear, laughs, shouts ...",
        r"\b(?:says?|said|saying|tell(?:s|ing)?|talk(?:s|ed|ing)?|speak(?:s|ing)?|spoke|sing(?:s|ing)?|sang|hears?|heard|sounds?"
        r"|music|song|voice|nois(?:e|y)|laugh(?:s|ing|ed)?|shout(?:s|ing|ed)?|scream(?:s|ing|ed)?|explain(?:s|ing|ed)?"
        r"|discuss(?:es|ing)?|mention(?:s|ing|ed)?|introduc(?:es|ing)|interview(?:s|ed)?|bark(?:s|ing)?|applau(?:ds?|se))\b",
    ),
    _type(
        "text on the screen",
        "something to read: text, title, logo, credits, caption, sign ...",
        r"\b(?:texts?|titles?|logos?|credits?|captions?|subtitles?|words?|letters?|written|writing|signs?|website|screenshot)\b",
    ),
    _type(
        "camera or editing",
        "what the camera or the editor does: camera, zooms, pans, shot, scene, view, cuts to, slow motion ...",
        r"\b(?:cameras?|zoom(?:s|ed|ing)?|pan(?:s|ned|ning)\b|shots?|scenes?|view|footage|close[\s-]?ups?|cuts?\s+to"
        r"|slow\s+motion|replay(?:s|ed)?|clips?|frame|video|screen)\b",
    ),
)  # fmt: skip
#: The share of sentences that have no type.
NONE = "none of these"


def query_types(sentence: str) -> list[str]:
    """The types of a sentence, in the order of `QUERY_TYPES`.

    >>> query_types("How many red chairs are behind the man?")
    ['question', 'person', 'colour or size', 'place', 'counting']
    >>> query_types("boil water")
    []
    """
    return [kind.name for kind in QUERY_TYPES if kind.pattern.search(sentence)]


def coverage(items: Iterable[Item]) -> dict[str, int]:
    """How many sentences have each type, in the order of `QUERY_TYPES`, and how many have none.

    >>> coverage([Item("a", "v", "a man sits"), Item("b", "v", "boil water")])["none of these"]
    1
    """
    counts: Counter[str] = Counter()
    for item in items:
        counts.update(query_types(item.query) or [NONE])
    return {name: counts[name] for name in (*(kind.name for kind in QUERY_TYPES), NONE)}
