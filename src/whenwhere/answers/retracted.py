"""Times that a text takes back: "not at 3 but at 5", "at 5 s instead of 3 s", "at 3, no, 5", "does not start at 3".

Such a time is taken out before ranges are formed, so that the time which replaces it gets its place. Whole ranges that
are taken back ("not from 3 to 5") stay: `whenwhere.answers.denial` weighs them with the words around.
"""

from collections.abc import Sequence

from whenwhere.answers.lexer import Token, word_set

_BEFORE_TIME = word_set("at from on around about approximately until the in second seconds t time")
_CORRECTIONS = word_set("no sorry actually correction rather wait")
#: Words without which nothing is taken back.
RETRACTING = _CORRECTIONS | {"mean", "not", "t", "than", "instead"}
_BOUNDS = word_set("""
    start starts starting begin begins beginning end ends ending finish finishes stop stops
    started began ended finished stopped
""")
#: What stands before the t of "n't".
_NT = word_set("don doesn didn isn aren wasn weren won wouldn couldn can shouldn")
_NOT_YET = word_set("until till before after")
_REACH = 6  # most tokens between a negated "start" and its time


def without_retracted(tokens: Sequence[Token], joins: Sequence[bool]) -> list[Token]:
    """The tokens without times that the text takes back.

    Args:
        tokens: The tokens of a text.
        joins: For each token, whether it is a time that a separator joins to a later one.
    """
    gone: set[int] = set()
    for i, t in enumerate(tokens):
        if t.kind == "time":
            gone.update(_taken_back(tokens, joins, i))
        elif t.kind == "word" and t.text in _BOUNDS and _negated(tokens, i):
            for j in range(i + 1, min(len(tokens), i + _REACH)):
                if tokens[j].text in _NOT_YET or (tokens[j].kind == "word" and tokens[j].text in _BOUNDS):
                    break
                if tokens[j].kind == "time":
                    if not joins[j]:
                        gone.add(j)
                    break
    return [t for i, t in enumerate(tokens) if i not in gone] if gone else list(tokens)


def _word(tokens: Sequence[Token], i: int) -> str:
    return tokens[i].text if i >= 0 and tokens[i].kind == "word" else ""


def _negated(tokens: Sequence[Token], i: int) -> bool:
    """Whether "not" or "n't" stands before the word at `i`."""
    return _word(tokens, i - 1) == "not" or (_word(tokens, i - 1) == "t" and _word(tokens, i - 2) in _NT)


def _taken_back(tokens: Sequence[Token], joins: Sequence[bool], i: int) -> range | tuple[()]:
    """Indices of the tokens that go: this time with its "not", or the time that this one corrects."""
    k = i - 1
    while _word(tokens, k) in _BEFORE_TIME and k > i - 4:
        k -= 1
    if not joins[i]:
        first = k if _word(tokens, k) == "not" else k - 1
        words = (_word(tokens, first), _word(tokens, k))
        if words[1] == "not" or words in (("rather", "than"), ("instead", "of")):
            opened = first > 0 and tokens[first - 1].kind == "open"
            closed = i + 1 < len(tokens) and tokens[i + 1].kind == "close"
            return range(first - 1, i + 2) if opened and closed else range(first, i + 1)
    said = False
    while k > i - 8 and k > 0:
        if _word(tokens, k) in _CORRECTIONS or (_word(tokens, k) == "mean" and _word(tokens, k - 1) == "i"):
            said = True
        elif tokens[k].kind == "time":
            second = k > 0 and (tokens[k - 1].kind == "sep" or _word(tokens, k - 1) in ("to", "until"))
            return range(k, i) if said and not (joins[i] and second) else ()
        elif tokens[k].kind not in ("comma", "colon", "sep", "stop") and _word(tokens, k) not in ("i", "mean", "or"):
            return ()
        k -= 1
    return ()
