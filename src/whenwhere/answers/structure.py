"""Brackets and braces of a text as nested lists and dictionaries: JSON, Python literals and what models make of them.

The tokens are read in one pass with an explicit stack. Anything between brackets that is not a list or dictionary
("(the man)", "[12 - 17]") makes that bracket prose; well-formed structures inside it are kept. Where the text stops
early, only complete parts are kept: an open list keeps its closed items, and of an open dictionary only the closed
children count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from whenwhere.answers.lexer import Token

Element: TypeAlias = "Token | str | float | bool | Bracket | None"

_DEEPEST = 40
_LITERALS: dict[str, Element] = {
    "null": None, "none": None, "true": True, "false": False, "nan": float("nan"), "infinity": float("inf"),
    "inf": float("inf"),
}  # fmt: skip
_PAIRS = {"]": "[", ")": "(", "}": "{"}


@dataclass(slots=True, eq=False)
class Bracket:
    """A bracket and its contents.

    Attributes:
        open: The opening character: `[`, `(` or `{`.
        start: Index of its first character in the text.
        end: Index after its last character.
        items: Pairs of key and value; keys are None in lists.
        whole: Whether it was closed.
        prose: Whether it contains something other than items, so that it is neither list nor dictionary.
        key: Key of the item that is being read.
        pending: Values of the item that is being read; more than one makes the bracket prose.
    """

    open: str
    start: int
    end: int = 0
    items: list[tuple[str | None, "Element"]] = field(default_factory=list)
    whole: bool = False
    prose: bool = False
    key: str | None = None
    pending: list["Element"] = field(default_factory=list)

    @property
    def values(self) -> list["Element"]:
        """The values without their keys."""
        return [value for _, value in self.items]

    @property
    def children(self) -> list["Bracket"]:
        """The brackets directly inside this one."""
        return [value for _, value in self.items if isinstance(value, Bracket)]

    def _commit(self) -> None:
        if len(self.pending) > 1 or (self.open == "{" and self.pending and self.key is None):
            self.prose = True
        if self.pending:
            self.items.extend((self.key, value) for value in self.pending)
        self.pending, self.key = [], None


def structures(tokens: Sequence[Token]) -> tuple[list[Bracket], bool]:
    """The outermost well-formed brackets in order, and whether the text stops inside one."""
    top: list[Bracket] = []
    stack: list[Bracket] = []
    skipped = 0  # open brackets below the deepest level that is read

    def close(node: Bracket) -> None:
        parent = stack[-1] if stack else None
        kept = [node] if not node.prose else node.children
        if parent is None:
            top.extend(kept)
        elif node.prose:
            parent.prose = True
            parent.items.extend((None, child) for child in kept)
        else:
            parent.pending.append(node)

    for token in tokens:
        kind = token.kind
        if kind == "open":
            if len(stack) >= _DEEPEST:
                skipped += 1
                continue
            stack.append(Bracket(token.text, token.start))
            continue
        if not stack:
            continue
        node = stack[-1]
        if kind == "close":
            if skipped:
                skipped -= 1
                continue
            node._commit()
            stack.pop()
            node.end, node.whole = token.end, True
            if _PAIRS[token.text] != node.open:
                node.prose = True
            close(node)
        elif kind == "comma":
            node._commit()
        elif kind == "time":
            node.pending.append(token)
        elif kind == "string":
            node.pending.append(token.text[1:-1])
        elif kind == "colon":
            if node.open == "{" and len(node.pending) == 1 and node.key is None:
                node.key = _key(node.pending.pop())
            else:
                node.prose = True
        elif kind == "word":
            if node.open == "{" and node.key is None and not node.pending:
                node.pending.append(token.text)
            elif token.text in _LITERALS:
                node.pending.append(_LITERALS[token.text])
            else:
                node.prose = True
        elif kind != "line":
            node.prose = True
    unfinished = bool(stack)
    while stack:
        node = stack.pop()
        # The last item may have been cut short; only a closed bracket is certain to be complete.
        node.items.extend((node.key, value) for value in node.pending if isinstance(value, Bracket))
        node.end = tokens[-1].end
        close(node)
    return top, unfinished


def _key(value: "Element") -> str | None:
    if isinstance(value, Token):
        return value.text
    return value if isinstance(value, str) else None
