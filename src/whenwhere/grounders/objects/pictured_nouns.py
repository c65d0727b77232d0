"""From the nouns of a sentence to the classes of ImageNet, which names what a picture shows.

Its classes are fine ("West Highland white terrier", "acoustic guitar"), and people say "dog" and "guitar": a noun means
every class of which it is a name, or the last word of one. Sorts of animals and things whose classes do not have that
word in their names are listed in `SORTS`, by the numbers of ImageNet's classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import grammar
from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.query_reading import QueryReading


def _range(*ends: int) -> frozenset[int]:
    """The numbers from each first to each last one, both included."""
    return frozenset(i for first, last in zip(ends[::2], ends[1::2], strict=True) for i in range(first, last + 1))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARTICLES = _words("a an the his her its their some")
_DOG = _words("dog puppy pup doggy doggo pooch hound")
#: Words -> the classes that they mean, besides those named so.
SORTS: tuple[tuple[frozenset[str], frozenset[int]], ...] = (
    (_DOG, _range(151, 268)),
    (_words("cat kitten kitty tabby"), _range(281, 285)),
    (_words("bird birdie"), _range(7, 24, 80, 100, 127, 146)),
    (_words("parrot budgie parakeet"), _range(87, 90)),
    (_words("chicken hen rooster"), _range(7, 8)),
    (_words("duck duckling"), _range(97, 98)),
    (_words("monkey ape primate"), _range(365, 384)),
    (_words("bear"), _range(294, 297)),
    (_words("panda"), _range(387, 388)),
    (_words("fish"), _range(0, 6, 389, 397)),
    (_words("snake"), _range(52, 68)),
    (_words("lizard reptile"), _range(38, 48)),
    (_words("turtle tortoise"), _range(33, 37)),
    (_words("frog toad"), _range(30, 32)),
    (_words("spider"), _range(72, 77)),
    (_words("insect bug"), _range(300, 326)),
    (_words("butterfly moth"), _range(321, 326)),
    (_words("rabbit bunny hare"), _range(330, 332)),
    (_words("wolf"), _range(269, 272)),
    (_words("fox"), _range(277, 280)),
    (_words("elephant"), _range(385, 386)),
    (_words("whale"), _range(147, 148)),
    (_words("horse pony mare stallion"), frozenset({339})),
    (_words("cow bull cattle ox"), frozenset({345, 346})),
    (_words("sheep lamb ram"), frozenset({348, 349})),
    (_words("pig piglet"), frozenset({341, 342, 343})),
    (_words("goat"), frozenset({350})),
    (_words("car automobile"), frozenset({407, 436, 468, 511, 609, 627, 656, 661, 734, 751, 817})),
    (_words("truck lorry van"), frozenset({555, 569, 675, 717, 864, 867})),
    (_words("bus coach"), frozenset({654, 779, 874})),
    (_words("boat ship vessel"), frozenset({472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914})),
    (_words("airplane aeroplane plane aircraft jet"), frozenset({404, 895})),
    (_words("train tram locomotive"), frozenset({466, 547, 565, 705, 820, 829})),
    (_words("bicycle bike cycle"), frozenset({444, 671, 870, 880})),
    (_words("motorcycle motorbike scooter"), frozenset({665, 670})),
    (_words("ball"), frozenset({429, 430, 522, 574, 722, 768, 805, 852, 890})),
    (_words("weight weights"), frozenset({422, 543})),
    (_words("hat cap"), frozenset({433, 439, 452, 515, 667, 793, 808})),
    (_words("helmet"), frozenset({518, 560, 715})),
    (_words("piano"), frozenset({579, 881})),
    (_words("gun weapon"), frozenset({413, 763, 764})),
    (_words("phone telephone"), frozenset({487, 528, 707})),
    (_words("computer"), frozenset({527, 620, 681})),
    (_words("pan skillet") | {"frying pan"}, frozenset({567, 909})),
    (_words("microphone mic"), frozenset({650})),
    (_words("flower"), frozenset({984, 985, 986})),
    (_words("mushroom"), _range(991, 997) | {947}),
    (_words("beach shore sea ocean"), frozenset({978})),
    (_words("mountain hill"), frozenset({970, 980})),
    (_words("bridge"), frozenset({821, 839, 888})),
    (_words("church temple"), frozenset({497, 663, 668, 832})),
)  # fmt: skip
#: Names that mean something else in everyday speech, or whose last word does.
_MISLEADING = frozenset({
    "hot dog", "hotdog", "bear cat", "cat bear", "sea lion", "madagascar cat", "solar dish", "petri dish",
    "space bar", "guinea pig", "sea cucumber", "book jacket", "dust jacket", "dust cover", "carpenter's plane",
    "woodworking plane", "plane", "teddy bear", "ear", "hip", "chest", "spot", "drop", "jack", "taper", "trump",
    "ski", "slide rule", "seat belt", "toilet seat", "mole", "pick", "wing", "mail", "cell", "head", "nail",
    "hook", "screw", "ruler", "rule", "brass", "switch", "safe", "suit", "coil", "chain", "bell", "mask", "shades",
    "ground beetle", "leaf beetle", "jean", "groin", "barrow", "board", "river horse", "sea wolf", "mud puppy",
    "mosquito hawk", "sea hen", "mud hen", "marsh hen", "mountain lion", "painter", "black widow", "squeeze box",
    "sweet potato", "mouth organ", "mouth harp", "harp", "devil's darning needle", "darning needle", "sea cradle",
    "starfish", "sea star", "hen-of-the-woods", "hen of the woods", "claw", "spike", "wax light", "light",
    "toilet paper", "bathroom paper", "letter opener", "paper knife", "gas helmet", "punch bag", "punching ball",
    "punchball", "lens cap", "hair slide", "memorial tablet", "half track", "bar", "sand bar", "sandbar",
    "stone wall", "mobile home", "manufactured home", "picture palace", "cash machine", "weighing machine",
    "threshing machine", "computer mouse", "mouse", "trolley", "pirate", "beacon light", "panpipe", "pandean pipe",
    "bell cote", "horizontal bar", "high bar", "boston bull", "cougar",
})  # fmt: skip


def classes_of(noun: str, modifier: str, names: Sequence[Iterable[str]]) -> NDArray[np.intp]:
    """The classes that a noun means, as positions in `names`; none if the classifier has none like it.

    Args:
        noun: The noun as it stands in the sentence.
        modifier: The word before it that tells its sort, as "frying" of a pan; "" if there is none.
        names: The names of each class, in lower case.

    >>> names = [("acoustic guitar",), ("hotdog", "hot dog", "red hot"), ("frying pan", "frypan", "skillet")]
    >>> classes_of("guitars", "", names).tolist(), classes_of("dog", "", names).tolist()
    ([0], [])
    >>> classes_of("pan", "frying", names).tolist()
    [2]
    """
    return np.array(_classes(noun, modifier, tuple(tuple(one) for one in names)), np.intp)


@lru_cache(maxsize=256)
def _classes(noun: str, modifier: str, names: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    forms = set(lex.lemmas(noun)) | {noun} if noun else set()
    compounds = {f"{modifier} {form}" for form in forms} if modifier else set()
    compounds |= {form for form in forms if " " in form}
    if whole := {i for i, own in enumerate(names) if compounds & set(own)}:
        return tuple(sorted(whole | _sorts(compounds, len(names))))
    if modifier in lex.IMITATIONS:
        return ()
    found = {i for i, own in enumerate(names) for name in own if name not in _MISLEADING and name.split()[-1] in forms}
    return tuple(sorted(found | _sorts(forms, len(names))))


def _sorts(forms: set[str], count: int) -> set[int]:
    """The classes, of so many, that `SORTS` gives for some forms of a noun."""
    return {i for words, numbers in SORTS if forms & words for i in numbers if i < count}


def with_pictured_nouns(reading: QueryReading, names: tuple[tuple[str, ...], ...]) -> QueryReading:
    """A reading with the nouns that the lexicon lacks and the classifier knows: "a crossword", "stirs with a spatula".

    Args:
        reading: The reading of a sentence.
        names: The names of each class, in lower case.
    """
    other = reading.relation
    return replace(
        _with_pictured_nouns(reading, names),
        alternatives=[with_pictured_nouns(one, names) for one in reading.alternatives],
        relation=None if other is None else (other[0], with_pictured_nouns(other[1], names)),
    )


def _with_pictured_nouns(reading: QueryReading, names: tuple[tuple[str, ...], ...]) -> QueryReading:
    words, companions = reading.words, list(reading.companions)
    every = {name for own in names for name in own}
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        sort = "" if not before or before in _ARTICLES or before in grammar.PREPOSITIONS else before
        compound = f"{sort} {word}" in every
        if not _is_unknown_head(words, i, compound) or not len(classes_of(word, sort, names)):
            continue
        governed = grammar.preposition_of(list(words), i)
        if (not reading.noun and not governed) or (before == reading.noun and compound):
            # "A spider web" is not a spider.
            companions = [c for c in companions if c[1] != reading.noun]
            reading = replace(reading, noun=word, kind=None, modifier=sort, colours=_colours_but(reading, sort))
        elif reading.noun and word != reading.noun and (before in _ARTICLES or compound):
            companions = [c for c in companions if c[1] not in (sort, word)]
            companions.append((governed, f"{sort} {word}" if compound else word, "object"))
    return replace(reading, companions=companions)


def _colours_but(reading: QueryReading, sort: str) -> list[tuple[str, str]]:
    """The colours of a reading without the word before the noun: "ice cream" is not cream-coloured."""
    return [c for c in reading.colours if c[0] != sort]


def _is_unknown_head(words: tuple[str, ...], i: int, compound: bool) -> bool:
    """Whether a word may be the last one of a noun phrase, of a noun that the lexicon lacks.

    Args:
        words: The words of a clause.
        i: Position of the word.
        compound: Whether it and the word before it are the name of a class: then it may be known too.
    """
    word, after = words[i], words[i + 1] if i + 1 < len(words) else ""
    verb = set(lex.lemmas(word)) & grammar.VERBS
    if not compound and (lex.noun_kind(word) or lex.body_part(word) or lex.colour_of(word) or verb):
        return False
    ends = not after or after in (",", "and", "with", "that", "which") or after in grammar.PREPOSITIONS
    return ends or grammar.is_verb_form(list(words), i + 1) or bool(set(lex.lemmas(after)) & grammar.VERBS)
