"""What an answer may look like, letter by letter: a small automaton made from a JSON schema.

`Grammar` follows an answer byte by byte; a state is a set of stacks of what still has to come (Brzozowski's
derivatives), so there is nothing to compile ahead and a list of a hundred boxes costs no more than one. `Pieces`
knows the bytes of a tokenizer's pieces and tells which of them may come next; what a state allows is worked out once
and kept.

JSON is written in one way only, `", "` and `": "`, fields in the order of the schema: fewer ways to begin means fewer
tokens that have to be asked about, and any reader reads it. Numbers have at most one decimal. Strings hold whole
characters and no escapes. Of JSON schema there is what our forms use and what an outsider would write by hand:
`type`, `properties`, `required`, `items`, `minItems`, `maxItems`, `minimum`, `maximum`, `maxLength`, `enum`, `const`,
`anyOf`.

No torch in here: masks are arrays of token numbers.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError

#: Digits before the point of a number without a maximum.
_DIGITS = 5
_DECIMALS = 1
#: Characters of a string without `maxLength`; items of a list without `maxItems`.
_CHARACTERS = 200
_ITEMS = 64
#: States whose allowed tokens are kept: a state inside a string allows nearly all of them.
_KEPT = 512


@dataclass(frozen=True)
class Literal:
    """These bytes."""

    text: bytes

    nullable = False

    @property
    def shortest(self) -> int:
        """Fewest bytes that have to come."""
        return len(self.text)

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        if self.text[0] != byte:
            return []
        return [(Literal(self.text[1:]),) if len(self.text) > 1 else ()]


@dataclass(frozen=True)
class Whole:
    """A whole number without a sign or leading zeros; `value` is what was written of it."""

    maximum: int
    value: int | None = None

    @property
    def nullable(self) -> bool:
        """Whether nothing more has to come."""
        return self.value is not None

    @property
    def shortest(self) -> int:
        """Fewest bytes that have to come."""
        return int(self.value is None)

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        if not 48 <= byte <= 57 or self.value == 0:
            return []
        value = (self.value or 0) * 10 + byte - 48
        return [(Whole(self.maximum, value),)] if value <= self.maximum else []


@dataclass(frozen=True)
class Decimals:
    """A point and some digits, or nothing."""

    left: int = _DECIMALS
    begun: bool = False

    @property
    def nullable(self) -> bool:
        """Whether nothing more has to come."""
        return not self.begun or self.left < _DECIMALS

    @property
    def shortest(self) -> int:
        """Fewest bytes that have to come."""
        return int(not self.nullable)

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        if not self.begun:
            return [(Decimals(self.left, True),)] if byte == 46 else []
        return [(Decimals(self.left - 1, True),)] if self.left and 48 <= byte <= 57 else []


@dataclass(frozen=True)
class Text:
    """Characters of a string, without quotes, backslashes and control characters; UTF-8."""

    left: int

    nullable = True
    shortest = 0

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        if 0x80 <= byte < 0xC0:  # the rest of a character
            return [(self,)]
        if byte < 0x20 or byte in (0x22, 0x5C) or not self.left:
            return []
        return [(Text(self.left - 1),)]


@dataclass(frozen=True)
class Rest:
    """What may follow in a list: an item, or its end."""

    item: "Stack"
    fewest: int
    most: int
    first: bool = True

    nullable = False

    @property
    def shortest(self) -> int:
        """Fewest bytes that have to come; the items left out."""
        return 1

    def clipped(self, longest: int) -> "Rest":
        """The same list for whoever looks no further ahead than so many bytes."""
        seen = longest // max(sum(node.shortest for node in self.item), 1) + 2
        return replace(self, fewest=min(self.fewest, seen), most=min(self.most, seen))

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        if byte == 0x5D:
            return [()] if self.fewest <= 0 else []
        if not self.most:
            return []
        after = Rest(self.item, max(self.fewest - 1, 0), self.most - 1, False)
        one = self.item if self.first else (Literal(b", "), *self.item)
        return [(*left, after) for left in _step(one, byte)]


@dataclass(frozen=True)
class Either:
    """One of several."""

    options: tuple["Stack", ...]

    @property
    def nullable(self) -> bool:
        """Whether nothing more has to come."""
        return any(all(node.nullable for node in option) for option in self.options)

    @property
    def shortest(self) -> int:
        """Fewest bytes that have to come."""
        return min(sum(node.shortest for node in option) for option in self.options)

    def step(self, byte: int) -> list["Stack"]:
        """What may follow this byte."""
        return [left for option in self.options for left in _step(option, byte)]


Node = Literal | Whole | Decimals | Text | Rest | Either
Stack = tuple[Node, ...]
State = frozenset[Stack]


def _step(stack: Stack, byte: int) -> list[Stack]:
    found: list[Stack] = []
    for i, node in enumerate(stack):
        found += [(*left, *stack[i + 1 :]) for left in node.step(byte)]
        if not node.nullable:
            break
    return found


class Grammar:
    """Follows a text through a schema.

    Args:
        schema: JSON schema; see the module for the keywords.

    Attributes:
        start: the state before the first byte.

    Raises:
        SettingError: a keyword that is not known, or a schema that allows nothing.

    >>> g = Grammar({"type": "array", "items": {"type": "integer", "maximum": 20}, "maxItems": 2})
    >>> [g.accepts(text) for text in ("[]", "[7, 20]", "[21]", "[1, 2, 3]", "[1,2]", "[1")]
    [True, True, False, False, False, False]
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.key = json.dumps(schema)
        self.start: State = frozenset([_compiled(schema)])

    @staticmethod
    def step(state: State, text: bytes) -> State:
        """The state after more bytes; empty where they may not come."""
        for byte in text:
            state = frozenset(left for stack in state for left in _step(stack, byte))
            if not state:
                break
        return state

    @staticmethod
    def complete(state: State) -> bool:
        """Whether the text may end here."""
        return any(all(node.nullable for node in stack) for stack in state)

    def accepts(self, text: str) -> bool:
        """Whether a whole text follows the schema in our way of writing it."""
        return self.complete(self.step(self.start, text.encode()))


_KEYWORDS = {
    "type", "properties", "required", "items", "minItems", "maxItems", "minimum", "maximum", "maxLength", "enum",
    "const", "anyOf", "additionalProperties", "title", "description",
}  # fmt: skip


def _compiled(schema: dict[str, Any]) -> Stack:
    if unknown := sorted(schema.keys() - _KEYWORDS):
        raise SettingError(f"answers cannot be held to the schema keyword {unknown[0]!r}")
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        options = [(Literal(json.dumps(v, ensure_ascii=False).encode()),) for v in values]
        return (Either(tuple(options)),) if len(options) > 1 else options[0]
    if "anyOf" in schema:
        return (Either(tuple(_compiled(option) for option in schema["anyOf"])),)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema)
    if kind == "array":
        most = int(schema.get("maxItems", _ITEMS))
        return (Literal(b"["), Rest(_compiled(schema.get("items", {})), int(schema.get("minItems", 0)), most))
    if kind in ("integer", "number"):
        if schema.get("minimum", 0) > 0 or schema.get("maximum", 1) < 0:
            raise SettingError("answers can be held to numbers from 0 upwards only")
        whole = Whole(int(schema.get("maximum", 10**_DIGITS - 1)))
        return (whole,) if kind == "integer" else (whole, Decimals())
    if kind == "string":
        return (Literal(b'"'), Text(int(schema.get("maxLength", _CHARACTERS))), Literal(b'"'))
    if kind == "boolean":
        return (Either(((Literal(b"true"),), (Literal(b"false"),))),)
    if kind == "null":
        return (Literal(b"null"),)
    raise SettingError(f"answers cannot be held to a schema of the type {kind!r}")


def _object(schema: dict[str, Any]) -> Stack:
    fields = schema.get("properties", {})
    if set(schema.get("required", fields)) != set(fields):
        raise SettingError("answers can be held to objects with all their fields only: name each in `required`")
    stack: list[Node] = [Literal(b"{")]
    for i, (name, value) in enumerate(fields.items()):
        stack += [Literal((", " if i else "").encode() + json.dumps(name).encode() + b": "), *_compiled(value)]
    return (*stack, Literal(b"}"))


class Pieces:
    """The bytes of a tokenizer's pieces.

    Args:
        pieces: bytes per token number; None for tokens that no text holds (control tokens, parts of characters).
        ends: token numbers that end an answer.
    """

    def __init__(self, pieces: Sequence[bytes | None], ends: Iterable[int]) -> None:
        self.pieces = [p if p and _whole(p) else None for p in pieces]
        self.ends = sorted(set(ends))
        self._kept: OrderedDict[State, NDArray[np.int64]] = OrderedDict()
        self._strings: dict[int, NDArray[np.int64]] = {}

    def allowed(self, state: State) -> NDArray[np.int64]:
        """Numbers of the tokens that may come next in a state; the ends where the text may end."""
        # How many items are left makes no difference to a token that is too short for them.
        state = frozenset(
            tuple(node.clipped(self._longest) if isinstance(node, Rest) else node for node in stack) for stack in state
        )
        if state in self._kept:
            self._kept.move_to_end(state)
            return self._kept[state]
        found: list[int] = []
        left = max((s[0].left for s in state if s and isinstance(s[0], Text)), default=0)
        # Inside a string nearly every token may come; only those that leave it have to be followed.
        self._walk(self._leaving if left else self._all, state, found)
        parts = [found, self._inside(left) if left else [], self.ends if Grammar.complete(state) else []]
        numbers = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
        self._kept[state] = numbers
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return numbers

    def _inside(self, left: int) -> NDArray[np.int64]:
        """Tokens that may stand inside a string with so many characters left."""
        if left not in self._strings:
            self._strings[left] = np.flatnonzero((self._characters > 0) & (self._characters <= left))
        return self._strings[left]

    def _walk(self, tree: dict[int, Any], state: State, found: list[int]) -> None:
        for byte, branch in tree.items():
            if byte < 0:
                found += branch
            elif after := Grammar.step(state, bytes([byte])):
                self._walk(branch, after, found)

    @cached_property
    def _longest(self) -> int:
        return max((len(p) for p in self.pieces if p), default=0)

    @cached_property
    def _characters(self) -> NDArray[np.int64]:
        """Characters of each token that may stand inside a string, else 0."""
        return np.asarray([len(p.decode()) if p and _plain(p) else 0 for p in self.pieces], dtype=np.int64)

    @cached_property
    def _all(self) -> dict[int, Any]:
        return _tree(self.pieces, lambda p: True)

    @cached_property
    def _leaving(self) -> dict[int, Any]:
        return _tree(self.pieces, lambda p: not _plain(p))


def _tree(pieces: Sequence[bytes | None], wanted: Any) -> dict[int, Any]:
    """Pieces by their bytes; -1 → the numbers of the tokens that end here."""
    root: dict[int, Any] = {}
    for number, piece in enumerate(pieces):
        if piece and wanted(piece):
            node = root
            for byte in piece:
                node = node.setdefault(byte, {})
            node.setdefault(-1, []).append(number)
    return root


def _plain(piece: bytes) -> bool:
    return not any(b < 0x20 or b in (0x22, 0x5C) for b in piece)


def _whole(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
