"""Plans as Markdown: the pages of AblationBench's site, and the same without its HTML boxes.

    # planner/model/paper

    ## 🧠 Reasoning Trace

    ...

    ## 📋 Ablation Plan

    ### Group tokens
    - **Ablated Part**: Number of group tokens
    - **Action**: REPLACE
    - **Replacement**:
      - 8
      - 64
    - **Metrics**: R@1, mAP

Items are ranked in the order of the text. The heading, the reasoning and the two section headings may be left out.
`Why` and `Knob` may follow as further fields. Text that was decoded with the wrong code page (`ðŸ“‹` for 📋), as in
some copies of the site, is repaired first.

Markdown has no types: values are read as texts (`normal_form`), and the binding gives them their types.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.plan_records import Plan, PlanItem, PlanSource, make_plan, squashed
from whenwhere.errors import RecordError, did_you_mean, squeeze
from whenwhere.readers import quoted

TRACE, PLAN = "🧠 Reasoning Trace", "📋 Ablation Plan"
_SECTION = re.compile(
    r"^(?:##|<h2[^>]*>)\s*(?:\W+\s+)?(reasoning trace|reasoning|ablation plan)\s*(?:</h2>)?\s*$", re.I
)
_TITLE = re.compile(r"^# (.*)$")
_HEADING = re.compile(r"^#{2,6}\s+(.*)$")
_FIELD = re.compile(r"^\s?(?:[-*+]\s+)?(?:\*\*|__)\s*([^*_:]+?)\s*(?::\s*(?:\*\*|__)|(?:\*\*|__)\s*:)[ \t]*(.*)$")
_PLAIN_FIELD = re.compile(r"^\s?[-*+]\s+([A-Za-z ]{3,20}?)\s*:[ \t]*(.*)$")
_OPTION = re.compile(r"^(?:\t| {2,})[-*+](?: (.*)|)$")
#: Lines of layout: the site's boxes, comments, and rules between items.
_BOX = re.compile(r"^\s*(?:</?(?:div|style)[^>]*>|<!--.*-->|-{3,}|\*{3,})\s*$")
#: Names of an item's fields, other names in use included, squeezed to letters.
FIELDS = {
    "ablatedpart": "part", "ablated": "part", "part": "part", "component": "part", "action": "action",
    "replacement": "replacement", "replacements": "replacement", "options": "replacement", "metrics": "metrics",
    "metric": "metrics", "why": "why", "reason": "why", "rationale": "why", "knob": "knob",
}  # fmt: skip
_STYLE = """<style>
.trajectory-box strong {
  color: #1a1a1a !important;
}
.trajectory-box h3 {
  color: #1a1a1a !important;
}
</style>
"""
_BOX_STYLE = "padding: 20px; margin: 20px 0; border-radius: 8px; box-shadow: 0 2px 8px rgba(0,0,0,0.1); color: #1a1a1a;"
#: Colours of a box on the site: two of its background, its edge and its heading. Boxes of authors' plans are purple.
_BLUE = ("#e3f2fd", "#bbdefb", "#2196f3", "#1976d2")
_GREEN = ("#e8f5e8", "#c8e6c9", "#4caf50", "#2e7d32")
_PURPLE = ("#f3e5f5", "#e1bee7", "#9c27b0", "#7b1fa2")


def mend_encoding(text: str) -> str:
    r"""Repair UTF-8 text that was decoded as Windows-1252 or Latin-1, once or several times over.

    Text is repaired if a heading of a plan shows the damage, or if every character outside ASCII does.

    Args:
        text: The text as it was read.

    >>> mend_encoding("## ðŸ“‹ Ablation Plan"), mend_encoding("dÃ©jÃ\xa0 vu"), mend_encoding("déjà vu")
    ('## 📋 Ablation Plan', 'déjà vu', 'déjà vu')
    """
    for _ in range(3):  # some text was damaged more than once
        mended = _HIGH.sub(_decoded, text)
        wrong = any("ðŸ" in line and _SECTION.match(line) for line in text.split("\n"))
        if mended == text or not (wrong or not _damage_left(text)):
            return text
        text = mended
    return text


def _byte(c: str) -> int | None:
    """The byte that a wrong code page showed as this character; None if none would be."""
    try:
        return c.encode("cp1252")[0]
    except UnicodeEncodeError:
        return ord(c) if ord(c) < 256 else None


#: A sequence of UTF-8 of two to four bytes, as characters of Windows-1252 and Latin-1.
_FOLLOWING = "[" + re.escape("".join(c for c in map(chr, range(0x2200)) if 0x80 <= (_byte(c) or 0) < 0xC0)) + "]"
_HIGH = re.compile(f"[\xc2-\xdf]{_FOLLOWING}|[\xe0-\xef]{_FOLLOWING}{{2}}|[\xf0-\xf4]{_FOLLOWING}{{3}}")


def _decoded(found: re.Match[str]) -> str:
    try:
        return bytes(_byte(c) or 0 for c in found.group()).decode("utf-8")
    except UnicodeDecodeError:
        return found.group()


def _damage_left(text: str) -> bool:
    """Whether some character is neither ASCII nor part of damaged text."""
    return not _HIGH.sub("", text).isascii()


def _text(value: Any) -> str:
    return re.sub(r"\s*[\r\n]\s*", " ", str(value)).strip()


def normal_form(ablation: Ablation) -> Ablation:
    """An ablation as Markdown can hold it.

    Values become texts on one line, a table of replacements a list of texts `name: value`, and an empty list None.

    Args:
        ablation: Any ablation.

    >>> normal_form(Ablation(name="a", ablated_part="b", action="REPLACE", replacement={"beta": [0, 1]})).replacement
    ['beta: [0, 1]']
    """
    replaced = ablation.replacement
    options = [f"{key}: {value}" for key, value in replaced.items()] if isinstance(replaced, dict) else replaced
    return Ablation(
        name=_text(ablation.name),
        ablated_part=_text(ablation.ablated_part),
        action=ablation.action,
        replacement=[text for option in options or [] if (text := _text(option))] or None,
        metrics=[text for metric in ablation.metrics if (text := _text(metric))],
    )


def split_names(text: str) -> list[str]:
    """Split a text at its commas, except those inside brackets.

    Args:
        text: Names that are joined by commas.

    >>> split_names("R@1, error (top-1, top-5), mAP")
    ['R@1', 'error (top-1, top-5)', 'mAP']
    """
    names, depth, start = [], 0, 0
    balanced = all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))
    for i, c in enumerate(text):
        depth += balanced * ((c in "([{") - (c in ")]}"))
        if c == "," and depth <= 0:
            names.append(text[start:i])
            start = i + 1
    return [name.strip() for name in [*names, text[start:]] if name.strip()]


@dataclass
class _Draft:
    """An item of a plan while its lines are read.

    Attributes:
        name: Its heading.
        line: Number of the line of the heading, from 1.
        raw: Its lines.
        values: Texts after the names of its fields, by field.
        lists: Entries of the lists below its fields, by field.
        lines: Number of the line of each field.
        open: The field that was read last, to which entries of a list belong.
    """

    name: str
    line: int
    raw: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    open: str = ""


def read_markdown(text: str, place: str, strict: bool = True) -> Plan:
    """Read a plan from Markdown.

    Args:
        text: The text.
        place: Name of the file for messages.
        strict: Whether a fault of an ablation, or a line that belongs to no field, is an error; otherwise it becomes
            one of the plan's notes.

    Raises:
        RecordError: There is no plan in the text, or a line cannot be read; the message names the line.
    """
    lines = mend_encoding(text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    sections = [(i, found.group(1).lower()) for i, line in enumerate(lines) if (found := _SECTION.match(line))]
    plans = [i for i, name in sections if name == "ablation plan"]
    traces = [i for i, name in sections if name != "ablation plan"]
    end, first = _plan_start(lines, plans)
    title = next((i for i, line in enumerate(lines[:first]) if _TITLE.match(line)), None)
    begin = traces[0] + 1 if traces and traces[0] < first else None
    if begin is None:  # prose between the title and the items is the reasoning
        begin = 0 if title is None else title + 1
    trace = _without_boxes(lines[begin:end])
    source = _read_title(lines[title][2:] if title is not None else "")
    if any(_PURPLE[3] in line for line in lines[max(first - 3, 0) : first]):
        source.mode = "author"
    elif any(_GREEN[3] in line for line in lines[max(first - 3, 0) : first]):
        source.mode = "reviewer"
    drafts, notes = _read_items(lines, first, place, strict)
    if not drafts:
        raise RecordError(
            f"{place} holds no ablation: give each a heading and the fields Ablated Part, Action, Replacement, Metrics"
        )
    ablations, faults, further = [], [], []
    for draft in drafts:
        ablation, notes_on_it = _ablation(draft, place, strict)
        ablations.append(ablation)
        faults += notes_on_it
        knob, raw = draft.values.get("knob") or None, "\n".join(draft.raw)
        further.append({"raw": raw, "why": draft.values.get("why", ""), "knob": knob})
    plan = make_plan(ablations, source, trace, strict, [f"line {one.line}" for one in drafts], place, further)
    plan.notes = [*notes, *faults, *plan.notes]
    return plan


def _plan_start(lines: list[str], headings: list[int]) -> tuple[int, int]:
    """Indices of the line at which the reasoning ends and of the first line of the items.

    The items begin after the last heading "Ablation Plan", because a model may write such a heading in its reasoning
    too. Without that heading they begin at the first heading that is followed by a field.
    """
    if headings:
        return headings[-1], headings[-1] + 1
    heading = None
    for i, line in enumerate(lines):
        if _HEADING.match(line):
            heading = i
        elif heading is not None and _read_field(line) in ("part", "action"):
            return heading, heading
        elif heading is not None and line.strip():
            heading = None
    return len(lines), len(lines)


def _without_boxes(lines: list[str]) -> str:
    """The text of some lines, without blank lines and lines of layout at its ends."""
    kept = list(lines)
    while kept and (not kept[0].strip() or _BOX.match(kept[0])):
        kept.pop(0)
    while kept and (not kept[-1].strip() or _BOX.match(kept[-1])):
        kept.pop()
    return "\n".join(kept)


def _read_title(title: str) -> PlanSource:
    """The source that a title `planner/model/paper` names; any other title is that of the paper."""
    parts = title.strip().split("/")
    if len(parts) < 3 or any(not part or part != part.strip() for part in parts):
        return PlanSource(paper=title.strip())
    return PlanSource(planner=parts[0], model="/".join(parts[1:-1]), paper=parts[-1])


def _read_field(line: str) -> str | None:
    """Name of the field that a line begins, or None if it begins none."""
    found = _FIELD.match(line) or _PLAIN_FIELD.match(line)
    return FIELDS.get(squeeze(found.group(1))) if found else None


def _read_items(lines: list[str], first: int, place: str, strict: bool) -> tuple[list[_Draft], list[str]]:
    drafts: list[_Draft] = []
    notes: list[str] = []

    def wrong(number: int, sentence: str) -> None:
        sentence = f"{place}, line {number}: {sentence}"
        if strict:
            raise RecordError(sentence)
        notes.append(sentence)

    for number, line in enumerate(lines[first:], first + 1):
        if not line.strip() or _BOX.match(line):
            continue
        if heading := _HEADING.match(line):
            drafts.append(_Draft(heading.group(1).strip(), number))
            continue
        if not drafts:
            wrong(number, f"{quoted(line)} comes before the first ablation: give the ablation a heading, ### Name")
            continue
        draft = drafts[-1]
        draft.raw.append(line)
        option = _OPTION.match(line)
        if option and draft.open:
            draft.lists.setdefault(draft.open, []).append((option.group(1) or "").strip())
            continue
        found = _FIELD.match(line) or _PLAIN_FIELD.match(line)
        name = FIELDS.get(squeeze(found.group(1))) if found else None
        if found is None or name is None:
            known = ("Ablated Part", "Action", "Replacement", "Metrics", "Why", "Knob")
            what = f"there is no field {quoted(found.group(1))}{did_you_mean(found.group(1), known)}" if found else (
                f"{quoted(line)} is not a field of an ablation: write '- **Action**: REPLACE' or remove it"
            )  # fmt: skip
            wrong(number, what)
            continue
        if name in draft.values:
            wrong(number, f"the field {found.group(1)} occurs twice in the ablation {quoted(draft.name)}: keep one")
            continue
        draft.values[name], draft.lines[name], draft.open = found.group(2).strip(), number, name
    return [draft for draft in drafts if _is_item(draft, wrong)], notes


def _is_item(draft: _Draft, wrong: Callable[[int, str], None]) -> bool:
    """Whether a heading has the fields of an ablation; if not, that is reported to `wrong`."""
    missing = [word for key, word in (("part", "Ablated Part"), ("action", "Action")) if not draft.values.get(key)]
    if missing:
        wrong(
            draft.line,
            f"the ablation {quoted(draft.name)} has no {' and no '.join(missing)}: add '- **{missing[0]}**: ...'",
        )
    return not missing


def _ablation(draft: _Draft, place: str, strict: bool) -> tuple[Ablation, list[str]]:
    """The ablation that a draft holds, and notes on what lenient reading let pass.

    Raises:
        RecordError: The action is none of the three, or, if strict, is written in another way.
    """
    action, notes = draft.values["action"], []
    word = action.strip().strip("`*_.").upper()
    line = draft.lines["action"]
    if word not in ("REPLACE", "REMOVE", "ADD"):
        raise RecordError(
            f"{place}, line {line}: the action is {quoted(action)}, not REPLACE, REMOVE or ADD: write one of them"
        )
    if word != action:
        sentence = f"{place}, line {line}: the action is {quoted(action)}: write {word}"
        if strict:
            raise RecordError(sentence)
        notes.append(sentence)
    one_line = draft.values.get("replacement", "")
    options = [*split_names(one_line), *draft.lists.get("replacement", [])]
    metrics = [*split_names(draft.values.get("metrics", "")), *draft.lists.get("metrics", [])]
    ablation = Ablation(
        name=draft.name,
        ablated_part=draft.values["part"],
        action=word,
        replacement=[option for option in options if option] or None,
        metrics=[metric for metric in metrics if metric],
    )
    return ablation, notes


def markdown_text(plan: Plan, boxes: bool = False) -> str:
    """A plan as Markdown.

    Args:
        plan: The plan.
        boxes: Whether to write the page as AblationBench's site does, with its HTML.
    """
    title = "/".join(part for part in (plan.source.planner, plan.source.model, plan.source.paper) if part)
    items = "".join(line + "\n" for item in plan.items for line in _item_lines(item, boxes))
    if boxes:
        head = f"{_STYLE}\n# {title}\n\n"
        trace = _boxed(TRACE, _BLUE, plan.trace)
        return (
            head
            + trace
            + "\n"
            + _boxed(PLAN, _PURPLE if plan.source.mode == "author" else _GREEN, items[:-1]).rstrip("\n")
        )
    head = f"# {title}\n\n" if title else ""
    trace = f"## {TRACE}\n\n{plan.trace}\n\n" if plan.trace else ""
    return f"{head}{trace}## {PLAN}\n\n{items.rstrip()}\n"


def _boxed(heading: str, colours: tuple[str, str, str, str], inside: str) -> str:
    ground, end, edge, word = colours
    return (
        f'<div style="background: linear-gradient(135deg, {ground} 0%, {end} 100%); border-left: 5px solid {edge}; '
        f'{_BOX_STYLE}" class="trajectory-box">\n'
        f'<h2 style="color: {word}; margin-top: 0; margin-bottom: 15px; font-size: 1.3em;">{heading}</h2>\n\n'
        f"{inside}\n</div>\n"
    )


def _item_lines(item: PlanItem, boxes: bool) -> Iterable[str]:
    one = normal_form(item.ablation)
    yield f"### {one.name}"
    yield f"- **Ablated Part**: {one.ablated_part}"
    yield f"- **Action**: {one.action}"
    if one.replacement:
        yield "- **Replacement**: " if boxes else "- **Replacement**:"
        yield from (f"  - {option}" for option in one.replacement)
    joined = ", ".join(one.metrics)
    if boxes or split_names(joined) == one.metrics:
        yield f"- **Metrics**: {joined}" if joined or boxes else "- **Metrics**:"
    else:
        yield "- **Metrics**:"
        yield from (f"  - {metric}" for metric in one.metrics)
    if not boxes and item.why:
        yield f"- **Why**: {squashed(item.why)}"
    if not boxes and item.knob:
        yield f"- **Knob**: {squashed(item.knob)}"
    yield ""
