"""Held answers: whatever is drawn under a dialect's schema is an answer; nothing else gets through."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import parse
from whenwhere.answers.dialects import DIALECTS, Dialect
from whenwhere.errors import SettingError
from whenwhere.models.grammar import Grammar, TokenPieces

END = 999
PIECES = TokenPieces(
    [bytes([i]) for i in range(256)]
    + [p.encode() for p in (", ", '": ', "hello", "é", '", "', "10", "], ", '"}]', "0.5", 'x", "end')]
    + [None, b"\xc3"],
    [END],
)


def drawn(schema: dict[str, Any], seed: int, most: int = 4000) -> str:
    """An answer made of tokens that the grammar allows, each as likely as the others."""
    grammar, chance = Grammar(schema), random.Random(seed)
    state, out = grammar.start, b""
    for _ in range(most):
        token = chance.choice(PIECES.allowed(state).tolist())
        if token == END:
            break
        piece = PIECES.pieces[token]
        assert piece is not None
        out += piece
        state = grammar.step(state, piece)
    else:
        raise AssertionError("the answer never ended")
    assert grammar.complete(state)
    return out.decode()


@pytest.mark.parametrize("dialect", [d for d in DIALECTS.values() if d.when_schema()], ids=lambda d: d.name)
def test_what_a_schema_lets_through_is_an_answer(dialect: Dialect) -> None:
    where = dialect.where_schema([0.0, 1.0, 2.0])
    assert (where is None) == (dialect.boxes_form not in ("qwen3-vl", "qwen2.5-vl"))
    for seed in range(15):
        text = drawn(dialect.when_schema(), seed)
        said = parse(text, "strict", dialect.spans_form)
        assert said.status in ("ok", "absent", "reversed", "instant"), text
        assert len(said.spans) == len(json.loads(text))
        if where is not None:
            text = drawn(where, seed)
            said = parse(text, form=dialect.boxes_form)
            assert said.read, text
            assert len(said.boxes) == len(json.loads(text)) <= 3
            if dialect.coordinates == "thousand":
                assert all(x <= 1000 for b in said.boxes for x in b.box)


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=4), st.text('ab "\\\né漢', max_size=5))
def test_it_takes_what_json_writes_and_nothing_else(numbers: list[tuple[int, bool]], label: str) -> None:
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "maximum": 1000},
                "b": {"type": "boolean"},
                "s": {"type": "string", "maxLength": 3},
                "c": {"enum": ["A", "AB", 3]},
            },
        },
        "maxItems": 3,
    }
    rows = [{"n": n, "b": b, "s": label, "c": "AB"} for n, b in numbers]
    fits = len(rows) <= 3 and (not rows or (len(label) <= 3 and not set(label) & set('"\\\n')))
    assert Grammar(schema).accepts(json.dumps(rows, ensure_ascii=False)) == fits
    assert not Grammar(schema).accepts(json.dumps(rows, ensure_ascii=False) + " ")


def test_allowed_tokens_are_exactly_those_that_can_go_on() -> None:
    """Against asking every token one by one, in every state on the way through an answer."""
    grammar = Grammar(DIALECTS["qwen3-vl"].where_schema([0.0] * 40) or {})
    text = '[{"time": 10.5, "bbox_2d": [0, 1, 1000, 10], "label": "a hélloé"}, {"time": 0'.encode()
    for cut in range(len(text)):
        state = grammar.step(grammar.start, text[:cut])
        slow = [k for k, piece in enumerate(PIECES.pieces) if piece and grammar.step(state, piece)]
        assert sorted(PIECES.allowed(state).tolist()) == slow


@pytest.mark.parametrize("most", range(1, 9))
def test_a_token_of_several_items_counts_them_all(most: int) -> None:
    pieces = TokenPieces([b"[", b"]", b"1", b", ", b"1, 1, 1, 1, 1", b", 1, 1, 1"], [END])
    grammar = Grammar({"type": "array", "items": {"const": 1}, "minItems": most - 1, "maxItems": most})
    for text in ("[", "[1", "[1, 1", "[1, "):
        state = grammar.step(grammar.start, text.encode())
        slow = [k for k, piece in enumerate(pieces.pieces) if piece and grammar.step(state, piece)]
        assert sorted(pieces.allowed(state).tolist()) == slow


def test_long_lists_cost_no_more_than_short_ones() -> None:
    """A list of 2000 boxes is followed without unrolling it."""
    grammar = Grammar(DIALECTS["qwen3-vl"].where_schema([0.0] * 2000) or {})
    rows = [{"time": float(k), "bbox_2d": [1, 2, 3, 4], "label": ""} for k in range(300)]
    assert grammar.accepts(json.dumps(rows))
    assert not grammar.accepts(json.dumps(rows)[:-1])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "x"}, {"type": "tuple"}, {}, {"type": "integer", "minimum": -5, "maximum": -1},
        {"type": "object", "properties": {"a": {"type": "null"}}, "required": []},
    ],
)  # fmt: skip
def test_what_it_cannot_hold_an_answer_to_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="answers can"):
        Grammar(schema)
