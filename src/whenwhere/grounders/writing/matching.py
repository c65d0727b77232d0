"""Where words stand in the lines of a frame, although a reader may have mistaken a letter or lost a space."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from whenwhere.grounders.writing.query import WORD, text_words

#: A word of fewer letters has to be read exactly; a longer one may differ by so much of `SequenceMatcher.ratio`.
_SHORT, _ALIKE = 4, 0.7
#: Fewest letters of a text that is also looked for without regard to its spaces, and how alike that counts.
_RUN, _RUN_ALIKE = 6, 0.95


@dataclass(frozen=True)
class Place:
    """Where a text stands in a frame.

    Attributes:
        alike: How alike what stands there is to what was looked for, from 0 to 1.
        parts: For each line that it takes, the line's number and where it begins and ends in it, from 0 to 1.
    """

    alike: float
    parts: tuple[tuple[int, float, float], ...] = ()


def best_place(words: Sequence[str], lines: Sequence[str]) -> Place:
    """The best place of some words in the lines of a frame.

    Args:
        words: The words in lower case, at least one.
        lines: The lines from top to bottom; a text may go on from one line to the next.

    >>> best_place(("no", "entry"), ["Welcome", "NO", "ENTRY!"])
    Place(alike=1.0, parts=((1, 0.0, 1.0), (2, 0.0, 0.83)))
    >>> best_place(("noentry",), ["no entry"]).alike, best_place(("exit",), ["exits to the left"]).parts
    (0.95, ((0, 0.0, 0.29),))
    >>> best_place(("exit",), ["text"])
    Place(alike=0.0, parts=())
    """
    tokens = [(word, k, start, end) for k, line in enumerate(lines) for word, start, end in _placed(line)]
    best = Place(0.0)
    for first in range(len(tokens) - len(words) + 1):
        part = tokens[first : first + len(words)]
        alike = sum(_alike(word, token[0]) for word, token in zip(words, part, strict=True)) / len(words)
        if alike > best.alike:
            rows = {k: [t for t in part if t[1] == k] for k in dict.fromkeys(t[1] for t in part)}
            best = Place(round(alike, 3), tuple((k, own[0][2], own[-1][3]) for k, own in rows.items()))
    run = "".join(words)
    # letters of some scripts are written without spaces
    if best.alike < _RUN_ALIKE and (len(run) >= _RUN or not run.isascii()):
        for k, line in enumerate(lines):
            if run in "".join(text_words(line)):
                return Place(_RUN_ALIKE, ((k, 0.0, 1.0),))
    return best


@lru_cache(maxsize=100_000)
def _placed(line: str) -> tuple[tuple[str, float, float], ...]:
    """The words of a line in lower case, with the shares of the line before and up to the end of each."""
    return tuple(
        (m[0].casefold(), round(m.start() / len(line), 2), round(m.end() / len(line), 2)) for m in WORD.finditer(line)
    )


@lru_cache(maxsize=100_000)
def _alike(word: str, read: str) -> float:
    """How alike two words are; 0 if they can hardly be the same."""
    if word == read:
        return 1.0
    if min(len(word), len(read)) < _SHORT or word[0] != read[0] or word.isdigit():
        return 0.0
    ratio = SequenceMatcher(None, word, read).ratio()
    return ratio if ratio >= _ALIKE else 0.0
