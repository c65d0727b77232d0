"""Answers as language models write them: read if their meaning is plain, an error that says what is wrong otherwise."""

import json
from typing import Any

import pytest
from ablation_judges import Judges, ablation, lists
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.ablate.judge import judge_plan, judge_reviews
from whenwhere.ablate.knobs import Knob, Knobs, MetricDefinition
from whenwhere.ablate.paper import Paper
from whenwhere.ablate.planner import plan_paper, read_items
from whenwhere.ablate.structured import AnswerError, read_answer
from whenwhere.errors import ChatError
from whenwhere.models.grammar import Grammar

PAPER = Paper("groups", "Groups", "We group.", "We group tokens.")
ONE = {"name": "No mask", "ablated_part": "mask", "action": "REMOVE", "replacement": [], "metrics": ["mAP"]}
TWO = {"name": "Rate", "ablated_part": "rate", "action": "REPLACE", "replacement": [0.5, "0.7"], "metrics": ["mAP"]}
WHOLE = json.dumps({"discussion": "d", "ablations": [ONE, TWO]})
LINES = f"{json.dumps(ONE)}\n{json.dumps(TWO)}"


@pytest.mark.parametrize(
    "text",
    [
        # the tags are named before they are used, or inside of a JSON text
        f"I answer between <predictions> and </predictions>.\n<predictions>\n{LINES}\n</predictions>",
        json.dumps({"discussion": "no <predictions> tags needed", "ablations": [ONE, TWO]}),
        json.dumps({"discussion": "```json\n{}\n```", "ablations": [ONE, TWO]}),
        # a draft before the final answer
        f"A draft:\n```json\n{{}}\n```\nFinal:\n```json\n{WHOLE}\n```",
        f"```text\nnotes\n```\n```json\n{WHOLE}\n```",
        f"<think>\nfirst {WHOLE[:40]}\n</think>\n\n{WHOLE}",
        f"<thinking>hm</thinking>{WHOLE}",
        f"```JSON\n{WHOLE}\n```",
        f"~~~json\n{WHOLE}\n~~~",
        f"<Predictions>\n{LINES}\n</Predictions>",
        f"<predictions>\n\n{LINES}\n\n</predictions>\n<done/>",
        f"<predictions>```json\n{LINES}\n```</predictions>",
        f"<predictions>{WHOLE}</predictions>",
        LINES.replace("\n", "\r\n"),
        f"Here you are:\n\n{LINES}\n\nThat is all.",
        json.dumps({"discussion": None, "ablations": [ONE, TWO]}),
        json.dumps({"ablations": [ONE, TWO], "confidence": 1}),
    ],
)
def test_an_answer_whose_meaning_is_plain_is_read(text: str) -> None:
    raw = read_answer(text, "ablations")
    assert [a.name for a, _ in read_items(raw)] == ["No mask", "Rate"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested"),
        ('{"ablations": [' + "[" * 5000 + "]" * 5000 + "]}", "nested"),
        (str(ONE), "not JSON"),
        (WHOLE.replace("}, {", "} {"), "not JSON"),
        (f"{WHOLE[:-1]},}}", "not JSON"),
        (f"<predictions>\n{json.dumps(ONE)}\nand\n{json.dumps(TWO)}\n</predictions>", "line 2"),
        ("<think> I would remove the mask and then", 'holds no list "ablations"'),
        ('{"ablations": null}', "not a list"),
        ("null", 'holds no list "ablations"'),
        ("true", 'holds no list "ablations"'),
        ("### No mask\n- **Ablated Part**: mask", 'holds no list "ablations"'),
        ("\0\x1b[31m", 'holds no list "ablations"'),
        ("x" * 1_000_000, 'holds no list "ablations"'),
    ],
)
def test_an_answer_without_a_list_is_an_error(text: str, said: str) -> None:
    with pytest.raises(AnswerError, match=said) as caught:
        read_answer(text, "ablations")
    assert len(str(caught.value)) < 400 and "\x1b" not in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_does_anything_else_than_be_read_or_be_an_error(text: str) -> None:
    for wrapped in (text, f"<predictions>{text}</predictions>", f"```json\n{text}\n```", f'{{"ablations": [{text}]}}'):
        try:
            read_items(read_answer(wrapped, "ablations"))
        except AnswerError as e:
            assert "\n" not in str(e)


VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@given(
    st.lists(VALUES.filter(str.strip), min_size=1, max_size=4, unique_by=lambda name: " ".join(name.casefold().split()))
)
def test_all_names_survive_both_forms(names: list[str]) -> None:
    rows = [{**ONE, "name": name} for name in names]
    both = (
        json.dumps({"discussion": "", "ablations": rows}, ensure_ascii=False),
        "<predictions>\n" + "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n</predictions>",
    )
    for text in both:
        found = [a.name for a, _ in read_items(read_answer(text, "ablations"))]
        assert found == [" ".join(name.split()) for name in names]


def items(*rows: dict[str, Any], known: list[str] | None = None) -> list[Any]:
    return read_items(read_answer(json.dumps({"ablations": rows}), "ablations"), known)


def test_fields_are_taken_as_they_are_meant() -> None:
    ((first, further),) = items({**TWO, "name": " The\n rate ", "metrics": [" mAP "], "why": "It matters."})
    assert first.name == "The rate" and first.replacement == [0.5, "0.7"] and first.metrics == ["mAP"]
    assert further["why"] == "It matters." and "\\n" in further["raw"]
    ((grid, _),) = items({**TWO, "replacement": {"λ": [0, 1]}})
    assert grid.replacement == {"λ": [0, 1]}
    for none in (None, "null", "None", "", " "):
        assert items({**ONE, "knob": none}, known=["a"])[0][1]["knob"] is None
    assert items({**ONE, "knob": " a "}, known=["a"])[0][1]["knob"] == "a"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "x" * 10_000}, "name has 10000 characters"),
        ({"ablated_part": ["mask"]}, "ablated_part is"),
        ({"ablated_part": " "}, "the ablated part is empty"),
        ({"metrics": [1]}, "metrics.0 is 1"),
        ({"metrics": [" "]}, "no metric"),
        ({"metrics": None}, "metrics is None"),
        ({"replacement": "0.5, 0.7", "action": "REPLACE"}, "replacement"),
        ({"replacement": [[]], "action": "REPLACE", "name": None}, "name is None"),
        ({"replacement": ["", " "], "action": "REPLACE"}, "needs at least one replacement"),
        ({"action": None}, "action is None"),
        ({"action": ["REMOVE"]}, "action is"),
        ({"action": ""}, "action is ''"),
    ],
)
def test_a_field_of_another_kind_is_an_error_that_names_item_and_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AnswerError, match=f"item 2: .*{said}"):
        items({**TWO}, {**ONE, **changes})


A, B = [ablation("grouping"), ablation("mask")], [ablation("Mask"), ablation("grouping!"), ablation("x"), ablation("x")]


@pytest.mark.parametrize(
    "write",
    [
        lambda a, b: {"a": a, "b": b},
        lambda a, b: {"a": f"{a}. its title", "b": f"({b})"},
        lambda a, b: {"a": f"{a}, {a}", "b": [b.lower()]},
        lambda a, b: {"a": f'"{a}"', "b": f"[{b}]"},
        lambda a, b: {"a": a, "b": b, "confidence": 0.9},
    ],
)
def test_labels_in_other_clothes_are_understood(write: Any) -> None:
    def say(request: Any) -> str:
        shown = {name: label for side in "AB" for label, name in lists(request)[side]}
        pair = sorted((shown["mask"], shown["Mask"]))
        return json.dumps({"matches": [write(*pair)]})

    with Judges(say) as judges:
        assert judge_plan(A, B, judges).pairs() == {(1, 0)}


@pytest.mark.parametrize("value", ["x", "A1 B1", "A12", "all", 1, True, {"label": "A1"}, "A", [["A1"]]])
def test_labels_that_mean_nothing_certain_are_an_error(value: Any) -> None:
    judged = Judges(lambda request: json.dumps({"matches": [{"a": value, "b": "B1"}]}))
    with judged as judges, pytest.raises(ChatError, match="gave no judgement"):
        judge_plan(B, B, judges)


def test_quotes_are_found_in_other_forms_of_unicode() -> None:
    review = "Please drop the ﬁrst stage of the ＤＥＴＥＣＴＯＲ, the na\u00efve one."
    for quote in ("drop the first stage of the detector", "the DETECTOR, the nai\u0308ve one"):

        def say(request: Any, quote: str = quote) -> str:
            return json.dumps({"items": [{"item": "P1", "quote": quote}]})

        with Judges(say) as judges:
            assert judge_reviews([review], A[:1], judges).appears() == [True]


def test_checkpoints_in_this_process_can_be_held_to_every_form() -> None:
    """The grammar of local decoding knows fewer keywords than servers do; each form has to be one that it can hold."""
    knobs = Knobs(recipe="r", knobs=[Knob(id="mask", key="m")], metrics=[MetricDefinition(id="map", key="map")])
    item = {**ONE, "replacement": ["a", "b"]}
    wholes = {
        "plan": {"discussion": "d", "ablations": [item, item]},
        "knobs": {"discussion": "d", "ablations": [{**item, "knob": "mask"}, {**item, "knob": None}]},
        "pairs": {"discussion": "d", "matches": [{"a": "A1", "b": "B2", "why": "w"}]},
        "none": {"discussion": "d", "matches": []},
        "quotes": {"discussion": "d", "items": [{"item": "P1", "quote": "q"}, {"item": "P2", "quote": None}]},
    }
    judged = Judges(lambda request: "no")
    with judged as (model,):
        for ask in (
            lambda: plan_paper(PAPER, "author", model),
            lambda: plan_paper(PAPER, "grounded", model, knobs=knobs),
            lambda: judge_plan(A, B[:2], [model]),
            lambda: judge_plan(A, B[:2], [model]),
            lambda: judge_reviews(["Do it."], A, [model]),
        ):
            with pytest.raises(ChatError):
                ask()
    schemas = [r.body["response_format"]["json_schema"]["schema"] for r in judged.servers[0].requests[::2]]
    for schema, whole in zip(schemas, wholes.values(), strict=True):
        # every object is closed and names all of its fields, as OpenAI's strict mode wants it
        assert json.dumps(schema).count('"type": "object"') == json.dumps(schema).count('"additionalProperties": false')
        assert Grammar(schema).accepts(json.dumps(whole)), whole
