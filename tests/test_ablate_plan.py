"""Plans: Markdown, JSON Lines and JSON in and out, damaged text, and plans that are put together."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.ablate import Ablation, PlanSource, make_plan, merge_plans, read_plan, write_plan
from whenwhere.ablate.markdown import markdown_text, mend_encoding, normal_form, read_markdown
from whenwhere.ablate.plan import jsonl_text, read_jsonl
from whenwhere.errors import OutputError, RecordError

ITEM = """### Tokens
- **Ablated Part**: number of tokens – M
- **Action**: REPLACE
- **Replacement**:
  - 8
  - 16
- **Metrics**: R@1, error (top-1, top-5)
"""
TOKENS = Ablation(
    name="Tokens", ablated_part="number of tokens – M", action="REPLACE", replacement=["8", "16"],
    metrics=["R@1", "error (top-1, top-5)"],
)  # fmt: skip


def damaged(text: str) -> str:
    """UTF-8 read as Windows-1252, or as Latin-1 where that has no sign."""
    return "".join(
        bytes([b]).decode("latin-1" if b in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for b in text.encode("utf-8")
    )


def page(mode: str = "reviewer") -> str:
    """A page as the benchmark's site has it, with a plan that its reasoning mentions too."""
    source = PlanSource(planner="lm-planner", model="some-model-3.5", paper="A_Paper", mode=mode)
    trace = "I think – twice.\n\n### A draft\n- **Action**: later\n\n## Ablation Plan\n\nfollows below…"
    removed = Ablation(name="Loss", ablated_part="the loss L_t", action="REMOVE", metrics=["mAP@0.5", "Avg"])
    return markdown_text(make_plan([TOKENS, removed], source, trace), boxes=True)


line = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20).map(
    str.strip
)
words = line.filter(bool)
value = st.one_of(words, st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(st.integers(), max_size=3))


@st.composite
def ablations(draw: st.DrawFn) -> Ablation:
    action = draw(st.sampled_from(["REPLACE", "REMOVE", "ADD"]))
    options = st.one_of(
        st.lists(value, min_size=1, max_size=4),
        st.dictionaries(words, st.lists(value, min_size=1), min_size=1, max_size=2),
    )
    return Ablation(
        name=draw(words),
        ablated_part=draw(words),
        action=action,
        replacement=None if action == "REMOVE" else draw(options),
        metrics=draw(st.lists(words, min_size=1, max_size=4)),
    )


plans = st.lists(ablations(), min_size=1, max_size=3, unique_by=lambda one: one.name)


@settings(max_examples=40, deadline=None)
@given(plans)
def test_json_lines_keep_everything(found: list[Ablation]) -> None:
    text = jsonl_text(make_plan(found))
    assert [item.ablation for item in read_jsonl(text, "x").items] == found
    assert {frozenset(json.loads(one)) for one in text.splitlines()} == {
        frozenset({"name", "ablated_part", "action", "replacement", "metrics"})
    }


@settings(max_examples=40, deadline=None)
@given(plans, words)
def test_markdown_keeps_the_normal_form(found: list[Ablation], trace: str) -> None:
    plan = make_plan(found, PlanSource(planner="p", model="m", paper="x"), trace)
    text = markdown_text(plan)
    again = read_markdown(text, "x", strict=False)
    assert [item.ablation for item in again.items] == [normal_form(one) for one in found]
    assert again.trace == trace and again.source == plan.source
    assert markdown_text(again) == text


@pytest.mark.parametrize("mode", ["reviewer", "author"])
def test_a_page_of_the_site_is_written_again_byte_for_byte(mode: str) -> None:
    text = page(mode)
    plan = read_markdown(text, "page.md")
    assert [item.ablation.name for item in plan.items] == ["Tokens", "Loss"]
    assert plan.items[0].ablation == TOKENS and plan.source.mode == mode and plan.source.model == "some-model-3.5"
    assert plan.trace.endswith("follows below…") and "### A draft" in plan.trace
    assert markdown_text(plan, boxes=True) == text


@pytest.mark.parametrize("times", [1, 2])
def test_damaged_text_is_mended(times: int) -> None:
    text = page()
    for _ in range(times):
        text = damaged(text)
    assert "📋" not in text and mend_encoding(text) == page()
    assert read_markdown(text, "x").items[0].ablation.ablated_part == "number of tokens – M"


def test_text_that_is_not_damaged_stays() -> None:
    text = markdown_text(make_plan([TOKENS.model_copy(update={"ablated_part": "the letters Ã© and â€”"})]))
    assert mend_encoding(text) == text


@pytest.mark.parametrize(
    "data",
    [
        ITEM.replace("\n", "\r\n").encode(),
        ITEM.replace("\n", "\r").encode(),
        ITEM.encode("utf-16"),
        b"\xef\xbb\xbf" + ITEM.encode(),
        ITEM.encode("cp1252"),
        damaged(ITEM).encode(),
        ITEM.replace("- **", "* **").replace("  - ", "\t* ").encode(),
        ITEM.replace("**:", ":**").encode(),
        ITEM.replace("**", "").encode(),
        ITEM.replace(":\n  - 8\n  - 16", ": 8, 16").encode(),
        f"# Title\nProse about it.\n\n<!-- a comment -->\n{ITEM.replace('###', '##')}\n---\n".encode(),
    ],
    ids=["crlf", "cr", "utf-16", "mark", "cp1252", "damaged", "stars", "colons", "plain", "inline", "bare"],
)
def test_other_ways_to_write_an_item(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.md").write_bytes(data)
    assert read_plan(tmp_path / "plan.md").items[0].ablation == TOKENS


@pytest.mark.parametrize(
    ("text", "said", "passes"),
    [
        (ITEM.replace("REPLACE", "CHANGE"), "line 3: the action is 'CHANGE'", False),
        (ITEM.replace("REPLACE", "replace"), "line 3: the action is 'replace': write REPLACE", True),
        (ITEM + "- **Dataset**: x\n", "line 8: there is no field 'Dataset'", True),
        (ITEM + "- **Action**: REMOVE\n", "line 8: the field Action occurs twice", True),
        (ITEM + "some prose\n", "line 8: 'some prose' is not a field", True),
        (ITEM.replace("REPLACE", "REMOVE"), "line 1: REMOVE takes no replacement", True),
        (ITEM.replace("- **Replacement**:\n  - 8\n  - 16\n", ""), "line 1: REPLACE needs at least one", True),
        (ITEM.replace("- **Metrics**: R@1, error (top-1, top-5)\n", ""), "line 1: there is no metric", True),
        (ITEM + ITEM, "line 8: the name 'Tokens' is that of line 1 too", True),
        (ITEM + ITEM.replace("Tokens", "B").replace("- **Ablated Part**: number of tokens – M\n", ""), "line 8:", True),
        (f"## Ablation Plan\nhello\n{ITEM}", "line 2: 'hello' comes before the first ablation", True),
        ("# Nothing\n\nhere\n", "holds no ablation", False),
        ("", "holds no ablation", False),
    ],
)
def test_a_bad_line_of_markdown_is_named(text: str, said: str, passes: bool, tmp_path: Path) -> None:
    path = tmp_path / "plan.md"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"plan\.md") as e:
        read_plan(path)
    assert said in str(e.value)
    if passes:
        assert any(said in note for note in read_plan(path, strict=False).notes)
    else:
        with pytest.raises(RecordError):
            read_plan(path, strict=False)


@pytest.mark.parametrize(
    ("text", "said", "passes"),
    [
        ('{"name": "a"\n', "line 1 is not JSON", False),
        ('\n{"name": "a", "action": "REMOVE", "metrics": ["m"]}', "line 2: the key ablated_part is missing", False),
        ('"a"', "line 1 is 'a', not an ablation", False),
        (
            '{"name": "a", "ablated_part": "b", "action": "REMOVE", "metrics": ["m"], "rank": 1}',
            "line 1: there is no",
            True,
        ),
        ('{"name": "a", "ablated_part": "b", "action": "remove", "metrics": ["m"]}', "line 1", True),
        ('{"name": "a", "ablated_part": "b", "action": "REMOVE", "metrics": "m"}', "line 1", True),
        ("\n\n", "holds no ablation", False),
    ],
)
def test_a_bad_line_of_json_is_named(text: str, said: str, passes: bool) -> None:
    with pytest.raises(RecordError, match=r"x\.jsonl") as e:
        read_jsonl(text, "x.jsonl")
    assert said in str(e.value)
    if passes:
        assert read_jsonl(text, "x.jsonl", strict=False).items[0].ablation.action == "REMOVE"


def test_a_plan_is_kept_whole_as_json(tmp_path: Path) -> None:
    plan = read_markdown(ITEM + "- **Why**: it matters\n- **Knob**: tokens\n", "x")
    assert plan.items[0].why == "it matters" and plan.items[0].knob == "tokens" and plan.items[0].id == "tokens"
    for ending in ("json", "md", "jsonl"):
        write_plan(plan, tmp_path / f"plan.{ending}")
        again = read_plan(tmp_path / f"plan.{ending}")
        assert again.items[0].ablation == TOKENS and again.source.file == f"plan.{ending}"
        assert (again.items[0].why == "it matters") == (ending != "jsonl")
    with pytest.raises(OutputError, match=r"\.md, \.jsonl or \.json"):
        write_plan(plan, tmp_path / "plan.txt")
    (tmp_path / "plan.json").write_text('{"version": 2, "items": []}')
    with pytest.raises(RecordError, match="version is 2"):
        read_plan(tmp_path / "plan.json")


def test_the_ablations_of_a_paper_are_read_as_a_list(tmp_path: Path) -> None:
    (tmp_path / "gold.json").write_text(json.dumps([TOKENS.model_dump()]))
    assert read_plan(tmp_path / "gold.json").items[0].ablation == TOKENS


def test_merged_plans_say_who_proposed_what() -> None:
    first = make_plan(
        [TOKENS, Ablation(name="Loss", ablated_part="loss", action="REMOVE", metrics=["mAP"])], PlanSource(model="one")
    )
    second = make_plan(
        [
            Ablation(name="No loss", ablated_part="Loss", action="REMOVE", metrics=["R@1"]),
            Ablation(
                name="Tokens",
                ablated_part="Number of tokens – (M)",
                action="REPLACE",
                replacement=["16", "-16"],
                metrics=["map"],
            ),
        ],
        PlanSource(model="two"),
    )
    merged = merge_plans([first, second])
    assert [(item.ablation.ablated_part, item.rank) for item in merged.items] == [
        ("number of tokens – M", 1),
        ("loss", 2),
    ]
    tokens, loss = merged.items
    assert tokens.ablation.replacement == ["8", "16", "-16"] and loss.ablation.metrics == ["mAP", "R@1"]
    assert [(one.source.model, one.rank, one.name) for one in loss.origins] == [
        ("one", 2, "Loss"),
        ("two", 1, "No loss"),
    ]
    assert merge_plans([first]).items == first.items
    again = merge_plans([merged, make_plan([TOKENS], PlanSource(model="three"))])
    assert [one.source.model for one in again.items[0].origins] == ["one", "two", "three"]


def test_merged_items_of_one_name_keep_apart() -> None:
    other = Ablation(name="Tokens", ablated_part="something else", action="REMOVE", metrics=["R@1"])
    merged = merge_plans([make_plan([TOKENS]), make_plan([other])])
    assert [item.ablation.name for item in merged.items] == ["Tokens", "Tokens (2)"]
    assert len({item.id for item in merged.items}) == 2
    assert read_markdown(markdown_text(merged), "x").items[1].ablation.ablated_part == "something else"
