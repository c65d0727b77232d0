"""Constrained decoding: which tokens may come next in an answer that has to follow a JSON schema.

`Grammar` follows an answer byte by byte. A state is a set of stacks of what still has to come (Brzozowski's
derivatives), so nothing is compiled ahead and a list of a hundred boxes costs no more than one. `TokenPieces` knows the
bytes of a tokenizer's tokens and tells which of them may come next; what a state allows is computed once and kept.

JSON is written in one way only: `", "` and `": "` between parts, and fields in the order of the schema. With fewer ways
to write an answer, fewer tokens have to be checked, and any reader can read it. Numbers have at most one decimal.
Strings hold whole characters and no escapes. Of JSON schema, these keywords are known: `type`, `properties`,
`required`, `items`, `minItems`, `maxItems`, `minimum`, `maximum`, `maxLength`, `enum`, `const`, `anyOf`. Our own answer
forms need no others.

The module does not use torch: masks are arrays of token ids.
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

#: Number of digits before the point of a number without a maximum, and after the point.
_DIGITS = 5
_DECIMALS = 1
#: Largest number of characters in a string without `maxLength`, and of items in a list without `maxItems`.
_CHARACTERS = 200
_ITEMS = 64
#: Number of states whose allowed tokens are kept. A state inside a string allows nearly all tokens.
_KEPT = 512


@dataclass(frozen=True)
class LiteralNode:
    """Exactly these bytes."""

    text: bytes

    nullable = False

    @property
    def shortest(self) -> int:
        """Smallest number of bytes that still have to come."""
        return len(self.text)

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        if self.text[0] != byte:
            return []
        return [(LiteralNode(self.text[1:]),) if len(self.text) > 1 else ()]


@dataclass(frozen=True)
class IntegerNode:
    """A whole number without sign and leading zeros; `value` is the part that is written already."""

    maximum: int
    value: int | None = None

    @property
    def nullable(self) -> bool:
        """Whether the node may end here."""
        return self.value is not None

    @property
    def shortest(self) -> int:
        """Smallest number of bytes that still have to come."""
        return int(self.value is None)

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        if not 48 <= byte <= 57 or self.value == 0:
            return []
        value = (self.value or 0) * 10 + byte - 48
        return [(IntegerNode(self.maximum, value),)] if value <= self.maximum else []


@dataclass(frozen=True)
class DecimalsNode:
    """A decimal point with digits after it, or nothing."""

    left: int = _DECIMALS
    begun: bool = False

    @property
    def nullable(self) -> bool:
        """Whether the node may end here."""
        return not self.begun or self.left < _DECIMALS

    @property
    def shortest(self) -> int:
        """Smallest number of bytes that still have to come."""
        return int(not self.nullable)

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        if not self.begun:
            return [(DecimalsNode(self.left, True),)] if byte == 46 else []
        return [(DecimalsNode(self.left - 1, True),)] if self.left and 48 <= byte <= 57 else []


@dataclass(frozen=True)
class StringNode:
    """Up to `left` characters inside a string, as UTF-8, without quotes, backslashes and control characters."""

    left: int

    nullable = True
    shortest = 0

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        if 0x80 <= byte < 0xC0:  # a later byte of a character
            return [(self,)]
        if byte < 0x20 or byte in (0x22, 0x5C) or not self.left:
            return []
        return [(StringNode(self.left - 1),)]


@dataclass(frozen=True)
class ListNode:
    """The rest of a list: an item, or the end of the list."""

    item: "Stack"
    fewest: int
    most: int
    first: bool = True

    nullable = False

    @property
    def shortest(self) -> int:
        """Smallest number of bytes that still have to come, without the items."""
        return 1

    def clipped(self, longest: int) -> "ListNode":
        """The same list for whoever looks at most `longest` bytes ahead; lists with more items become equal."""
        seen = longest // max(sum(node.shortest for node in self.item), 1) + 2
        return replace(self, fewest=min(self.fewest, seen), most=min(self.most, seen))

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        if byte == 0x5D:
            return [()] if self.fewest <= 0 else []
        if not self.most:
            return []
        after = ListNode(self.item, max(self.fewest - 1, 0), self.most - 1, False)
        one = self.item if self.first else (LiteralNode(b", "), *self.item)
        return [(*left, after) for left in _step(one, byte)]


@dataclass(frozen=True)
class AnyOfNode:
    """One of several alternatives."""

    options: tuple["Stack", ...]

    @property
    def nullable(self) -> bool:
        """Whether the node may end here."""
        return any(all(node.nullable for node in option) for option in self.options)

    @property
    def shortest(self) -> int:
        """Smallest number of bytes that still have to come."""
        return min(sum(node.shortest for node in option) for option in self.options)

    def step(self, byte: int) -> list["Stack"]:
        """The stacks that may follow this byte; none if the byte may not come."""
        return [left for option in self.options for left in _step(option, byte)]


Node = LiteralNode | IntegerNode | DecimalsNode | StringNode | ListNode | AnyOfNode
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
    """The texts that follow a JSON schema.

    Args:
        schema: JSON schema. The module's docstring lists the keywords that are known.

    Attributes:
        start: The state before the first byte.

    Raises:
        SettingError: the schema has a keyword that is not known, or allows nothing.

    >>> g = Grammar({"type": "array", "items": {"type": "integer", "maximum": 20}, "maxItems": 2})
    >>> [g.accepts(text) for text in ("[]", "[7, 20]", "[21]", "[1, 2, 3]", "[1,2]", "[1")]
    [True, True, False, False, False, False]
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.key = json.dumps(schema)
        self.start: State = frozenset([_compiled(schema)])

    @staticmethod
    def step(state: State, text: bytes) -> State:
        """The state after more bytes; empty if the bytes may not come."""
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
        """Whether a whole text follows the schema, in the one way of writing JSON that is allowed."""
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
        options = [(LiteralNode(json.dumps(v, ensure_ascii=False).encode()),) for v in values]
        return (AnyOfNode(tuple(options)),) if len(options) > 1 else options[0]
    if "anyOf" in schema:
        return (AnyOfNode(tuple(_compiled(option) for option in schema["anyOf"])),)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema)
    if kind == "array":
        most = int(schema.get("maxItems", _ITEMS))
        return (LiteralNode(b"["), ListNode(_compiled(schema.get("items", {})), int(schema.get("minItems", 0)), most))
    if kind in ("integer", "number"):
        if schema.get("minimum", 0) > 0 or schema.get("maximum", 1) < 0:
            raise SettingError("answers can be held to numbers from 0 upwards only")
        whole = IntegerNode(int(schema.get("maximum", 10**_DIGITS - 1)))
        return (whole,) if kind == "integer" else (whole, DecimalsNode())
    if kind == "string":
        return (LiteralNode(b'"'), StringNode(int(schema.get("maxLength", _CHARACTERS))), LiteralNode(b'"'))
    if kind == "boolean":
        return (AnyOfNode(((LiteralNode(b"true"),), (LiteralNode(b"false"),))),)
    if kind == "null":
        return (LiteralNode(b"null"),)
    raise SettingError(f"answers cannot be held to a schema of the type {kind!r}")


def _object(schema: dict[str, Any]) -> Stack:
    fields = schema.get("properties", {})
    if set(schema.get("required", fields)) != set(fields):
        raise SettingError("answers can be held to objects with all their fields only: name each in `required`")
    stack: list[Node] = [LiteralNode(b"{")]
    for i, (name, value) in enumerate(fields.items()):
        stack += [LiteralNode((", " if i else "").encode() + json.dumps(name).encode() + b": "), *_compiled(value)]
    return (*stack, LiteralNode(b"}"))


class TokenPieces:
    """The bytes of a tokenizer's tokens.

    Args:
        pieces: Bytes of each token id. None marks tokens that no text holds: control tokens, parts of characters.
        ends: Token ids that end an answer.
    """

    def __init__(self, pieces: Sequence[bytes | None], ends: Iterable[int]) -> None:
        self.pieces = [p if p and _whole(p) else None for p in pieces]
        self.ends = sorted(set(ends))
        self._kept: OrderedDict[State, NDArray[np.int64]] = OrderedDict()
        self._strings: dict[int, NDArray[np.int64]] = {}

    def allowed(self, state: State) -> NDArray[np.int64]:
        """Ids of the tokens that may come next in a state, with the ends where the text may end."""
        # How many items a list may still have makes no difference to a token that is too short for them.
        state = frozenset(
            tuple(node.clipped(self._longest) if isinstance(node, ListNode) else node for node in stack)
            for stack in state
        )
        if state in self._kept:
            self._kept.move_to_end(state)
            return self._kept[state]
        found: list[int] = []
        left = max((s[0].left for s in state if s and isinstance(s[0], StringNode)), default=0)
        # Inside a string nearly every token may come; only those that leave it have to be followed.
        self._walk(self._leaving if left else self._all, state, found)
        parts = [found, self._inside(left) if left else [], self.ends if Grammar.complete(state) else []]
        numbers = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
        self._kept[state] = numbers
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return numbers

    def _inside(self, left: int) -> NDArray[np.int64]:
        """Ids of the tokens that fit inside a string with this many characters left."""
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
        """Number of characters of each token that may stand inside a string; 0 for other tokens."""
        return np.asarray([len(p.decode()) if p and _plain(p) else 0 for p in self.pieces], dtype=np.int64)

    @cached_property
    def _all(self) -> dict[int, Any]:
        return _tree(self.pieces, lambda p: True)

    @cached_property
    def _leaving(self) -> dict[int, Any]:
        return _tree(self.pieces, lambda p: not _plain(p))


def _tree(pieces: Sequence[bytes | None], wanted: Any) -> dict[int, Any]:
    """The tokens as a prefix tree: byte to subtree, and -1 to the ids of the tokens that end at this node."""
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
