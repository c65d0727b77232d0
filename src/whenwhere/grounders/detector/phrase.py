"""Extracts from a sentence the noun phrase that an open-vocabulary detector looks for.

Detectors take "red car", not "The red car on the left that is about to turn": places, actions and other objects in the
sentence would get boxes of their own. So the phrase is the first noun with the words before it, and what it wears or
holds. Nouns and colours are those of the motion grounder's lexicon. A sentence about anything else is cut at the first
word that cannot belong to a noun phrase. There is no parser here: with a word too many, a detector still finds the
object.
"""

import re

from whenwhere.grounders.motion.lexicon import colour_of, noun_kind

#: Largest number of words in a phrase; the phrases that detectors were trained on are shorter.
LONGEST = 8

_LEAD = re.compile(
    r"^(?:(?:it|this|that|there|here|target|person|thing|object|one)\s+(?:is|are|was|were|meant is)\s+|"
    r"(?:the\s+)?(?:target|thing|object|referent|one thing)(?:\s+meant)?\s+(?:is|are)\s*:?\s+)"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARTICLES = _words("a an the this that these those some one any its his her their")
_STOPS = _words(
    "who whom whose which what that is are was were be being been am has have had does do did will would can could may "
    "might shall should must to at on near next by beside behind before after above below under over between among "
    "through across along from into onto out off up down away around toward towards past against inside outside "
    "and or but then while when as until if because so not also again for during about like than where there here"
)
_HAS = frozenset(["in", "with", "wearing", "carrying", "holding", "of"])
_PLACES = _words(
    "front middle centre center background foreground distance left right top bottom video scene frame picture image "
    "corner street road room air sky water camera view place order line"
)
_SIZES = _words("dark light bright big small long short")
_PRONOUNS = _words("he she they him them somebody someone anybody anyone one who what")


def noun_phrase(sentence: str) -> str:
    """The noun phrase for the object that a sentence is about, in lower case and without articles.

    >>> noun_phrase("The red car on the left that is about to turn."), noun_phrase("man in a dark blue shirt sits")
    ('red car', 'man in dark blue shirt')
    >>> noun_phrase("Zebra runs across the road"), noun_phrase("She opens the door"), noun_phrase("It is a white dog.")
    ('zebra', 'person', 'white dog')
    """
    text = " ".join(sentence.casefold().split())
    words = re.findall(r"[\w'-]+", re.split(r"[.,;:!?()\"]", _LEAD.sub("", text), maxsplit=1)[0])
    head, rest = _head(words)
    while rest and (not head or head[-1] in _PLACES):
        head, rest = _head(rest[1:])  # "in the left corner a dog barks"
    if len(head) == 1 and head[0] in _PRONOUNS:
        head = ["person"]
    if not head:
        return " ".join(words[:LONGEST]) or "object"
    return " ".join([*head, *_had(rest)][:LONGEST])


def _head(words: list[str]) -> tuple[list[str], list[str]]:
    """Splits the words after the first noun: the noun with what comes before it, and the rest."""
    taken: list[str] = []
    for k, word in enumerate(words):
        if word in _ARTICLES and not taken:
            continue
        known = noun_kind(word) is not None
        if word == "and" and taken and colour_of(taken[-1]) and any(map(colour_of, words[k + 1 : k + 2])):
            taken.append(word)
        elif word in _STOPS or word in _HAS or word in _ARTICLES or (taken and noun_kind(taken[-1]) and not known):
            return _without_verb(taken), words[k:]
        else:
            taken.append(word)
    return _without_verb(taken), []


def _without_verb(words: list[str]) -> list[str]:
    """Drops a verb at the end if no word before it is a known noun: "zebra runs" → "zebra"."""
    if len(words) > 1 and not any(noun_kind(w) for w in words) and re.search(r"(?:[^s]s|ed|ing)$", words[-1]):
        return words[:-1]
    return words


def _had(words: list[str]) -> list[str]:
    """What the object wears, holds or has ("in red shirt"); empty if a place follows instead."""
    if not words or words[0] not in _HAS:
        return []
    had: list[str] = []
    for word in words[1:]:
        if word in _ARTICLES and not had:
            continue
        if word in _PLACES:
            return []
        if word in _STOPS or word in _HAS:
            break
        had.append(word)
        if colour_of(word) is None and word not in _SIZES and not word.endswith(("ing", "ed")):
            return [words[0], *had]
    # "the man in red" ends with the colour
    return [words[0], *had] if had else []
