"""Whose a colour is: of the subject of a clause, of somebody beside it, or of a thing that only tells a place."""

from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.grammar import VERBS, is_noun

_ARTICLES = ("the", "a", "an", "another", "his", "her", "its", "their")
#: Words before a thing that only tells where another one is.
_WHERE = frozenset(
    ("above", "beneath", "below", "behind", "beside", "near", "towards", "toward", "from", "at", "around", "by",
     "under", "over", "past", "into", "onto", "on", "in", "to", "between", "through", "against")
)  # fmt: skip


def on_another(words: list[str], i: int, subject: int, others: list[tuple[int, str]]) -> bool:
    """Whether the garment after a colour is worn by another person than the subject.

    Args:
        words: The words of a clause.
        i: Position of the colour.
        subject: Position of the subject.
        others: (position, kind) of the other nouns.

    >>> on_another("a man next to a boy in a red hat".split(), 7, 1, [(5, "child"), (8, "object")])
    True
    """
    people = [k for k, kind in others if kind in ("person", "child") and subject + 1 < k < i]
    if not people or words[subject] == "camera":  # "the camera shows a man in a red jacket"
        return False
    return not {"and", "of"} & set(words[people[-1] - 2 : people[-1]])


def names_garment(words: list[str], i: int) -> bool:
    """Whether a phrase after "in" and a colour goes on to what has this colour, as in "in black leather shoes".

    Args:
        words: The words of a clause.
        i: Position after the colour.

    >>> names_garment("a man in black shoes".split(), 4), names_garment("a child in red watches a ball".split(), 4)
    (True, False)
    """
    rest = [*words[i:], ""]
    while lex.colour_of(rest[0]) or rest[0] in lex.SIZES or (rest[0] == "and" and lex.colour_of(rest[1])):
        rest = rest[1:]
    here, after = [*rest, ""][:2]
    if here in _ARTICLES or after in _ARTICLES:
        return False  # "in red watches the ball": a word that may be a noun as well
    return is_noun(here) or (not here.endswith("s") and is_noun(after))


def is_a_place(words: list[str], i: int) -> bool:
    """Whether a thing only tells where another one is, as in "above a black chair".

    Args:
        words: The words of a clause.
        i: Position of the thing, or of a colour before it.

    >>> is_a_place("a cup above a black chair".split(), 4), is_a_place("a man carries a black bag".split(), 4)
    (True, False)
    """
    for word in reversed(words[max(0, i - 4) : i]):
        if word in _WHERE:
            return True
        verb = VERBS & set(lex.lemmas(word)) and word not in _ARTICLES
        if verb or (is_noun(word) and not lex.colour_of(word)):
            break
    return False
