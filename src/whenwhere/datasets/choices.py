"""Questions with options: the letter of an answer, and the question with its options beneath it."""

import re
from collections.abc import Sequence
from dataclasses import replace

from whenwhere.datasets.item import Item

_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*[).:]?")
#: Letters that answer forms have for options.
_LETTERS = "ABCDEFGH"


def option(answer: str | None, options: Sequence[str]) -> str | None:
    """An answer in one form: the letter of its option if it is one, else the text without case; None for no answer.

    >>> option("(b)", ["a cat", "a dog"]), option("A dog", ["a cat", "a dog"]), option(" Red ", [])
    ('B', 'B', 'red')
    """
    if answer is None:
        return None
    text = answer.strip()
    folded = [o.strip().casefold() for o in options]
    if text.casefold() in folded:
        return chr(ord("A") + folded.index(text.casefold()))
    letter = _LETTER.fullmatch(text)
    if letter and (not options or ord(letter[1].upper()) - ord("A") < len(options)):
        return letter[1].upper()
    return text.casefold()


def right_letter(item: Item) -> str | None:
    """The letter of the right option; None where an item has no options, too many for letters, or no right one.

    >>> right_letter(Item("a", "v", options=["a cat", "a dog"], answer="a dog"))
    'B'
    """
    if not 0 < len(item.options) <= len(_LETTERS):
        return None
    letter = option(item.answer, item.options)
    return letter if letter and letter in _LETTERS[: len(item.options)] else None


def with_options(item: Item) -> Item:
    r"""The item with its options under the question, one a line; the item itself where it has none.

    >>> with_options(Item("a", "v", "What barks?", options=["a cat", "a dog"])).query
    'What barks?\n(A) a cat\n(B) a dog'
    """
    lines = [f"({letter}) {text.strip()}" for letter, text in zip(_LETTERS, item.options, strict=False)]
    return replace(item, query="\n".join([item.query.strip(), *lines])) if lines else item
