"""Plans: ranked ablations with their origin, read from and written as Markdown, JSON Lines or JSON, and merged.

    plan = read_plan("plan.md")                       # the pages of AblationBench's site, or your own Markdown
    write_plan(merge_plans([plan, read_plan("reviewer.jsonl")]), "plan.json")

`.jsonl` holds the five fields of AblationBench and nothing else; `.md` holds the heading, the reasoning and the items;
`.json` holds everything.
"""

import json
import os
from pathlib import Path
from typing import Any

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.documents import read_document
from whenwhere.ablate.markdown import markdown_text, read_markdown
from whenwhere.ablate.merging import merge_plans
from whenwhere.ablate.plan_records import ItemOrigin, Plan, PlanItem, PlanSource, make_plan
from whenwhere.errors import OutputError, RecordError
from whenwhere.readers import parse_json, quoted, visible
from whenwhere.store import write_text

__all__ = [
    "ItemOrigin", "Plan", "PlanItem", "PlanSource", "jsonl_text", "make_plan", "merge_plans", "read_jsonl", "read_plan",
    "write_plan",
]  # fmt: skip


def read_plan(path: str | os.PathLike[str], strict: bool = True) -> Plan:
    """Read a plan from a file: .md, .jsonl or .json.

    Args:
        path: The file.
        strict: Whether a fault of an ablation is an error; otherwise it becomes one of the plan's notes. A line that
            cannot be read is an error either way.

    Raises:
        RecordError: The file cannot be read or holds no plan; the message names the file and the line.
    """
    path = Path(path)
    readers = {".md": read_markdown, ".markdown": read_markdown, ".jsonl": read_jsonl, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise RecordError(f"{visible(str(path))} is not a plan: its name must end in .md, .jsonl or .json")
    plan = readers[path.suffix.lower()](_decoded_file(path), visible(str(path)), strict)
    if not plan.source.file:
        plan.source.file = path.name
    return plan


def _decoded_file(path: Path) -> str:
    """The text of a file, which may be in UTF-8, UTF-16 with a mark, or Windows-1252."""
    name = visible(str(path))
    try:
        if path.exists() and not path.is_file():
            raise RecordError(f"{name} is not a regular file: give a plan, .md, .jsonl or .json")
        data = path.read_bytes()
    except OSError as e:
        raise RecordError(f"cannot read {name}: {e.strerror or e}; give a plan, .md, .jsonl or .json") from e
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        if b"\0" in data:
            raise RecordError(
                f"{name} is not text (byte {e.start} is not UTF-8): give a plan, .md, .jsonl or .json"
            ) from e
        return "".join(bytes([b]).decode("cp1252" if b not in _UNDEFINED else "latin-1") for b in data)


#: Bytes that have no character in Windows-1252.
_UNDEFINED = frozenset(b"\x81\x8d\x8f\x90\x9d")


def _read_json(text: str, place: str, strict: bool) -> Plan:
    value = parse_json(text, place, RecordError, "write the plan again")
    if isinstance(value, list):
        found = [_read_ablation(one, f"{place}, ablation {i}", strict) for i, one in enumerate(value, 1)]
        plan = make_plan([ablation for ablation, _ in found], None, "", strict, None, place)
        plan.notes = [note for _, notes in found for note in notes] + plan.notes
        return plan
    plan = read_document(Plan, value, place)
    checked = make_plan([item.ablation for item in plan.items], name=place, strict=strict)
    ids = [item.id for item in plan.items]
    for one in ids:
        if ids.count(one) > 1:
            raise RecordError(f"{place}: two items have the id {quoted(one)}: give each its own")
    plan.items.sort(key=lambda item: item.rank)
    plan.notes += [note for note in checked.notes if note not in plan.notes]
    return plan


def read_jsonl(text: str, place: str, strict: bool = True) -> Plan:
    """Read a plan from lines of JSON, each with the five fields of AblationBench.

    Args:
        text: The lines.
        place: Name of the file or reply, for messages.
        strict: Whether a fault of an ablation is an error. If not, faults, unknown fields and actions in lower case
            become notes of the plan.

    Raises:
        RecordError: A line cannot be read; the message names it.
    """
    ablations, places, raws, notes = [], [], [], []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        value = parse_json(line.strip(), where, RecordError, "mend or remove that line")
        ablation, said = _read_ablation(value, where, strict)
        ablations.append(ablation)
        places.append(f"line {number}")
        raws.append({"raw": line.strip()})
        notes += said
    plan = make_plan(ablations, None, "", strict, places, place, raws)
    plan.notes = notes + plan.notes
    return plan


def _read_ablation(value: Any, place: str, strict: bool) -> tuple[Ablation, list[str]]:
    """The ablation that a JSON value holds, and notes on what lenient reading let pass."""
    notes: list[str] = []
    if not isinstance(value, dict):
        raise RecordError(
            f"{place} is {quoted(value)}, not an ablation: write an object with name, ablated_part, action"
        )
    if not strict:
        value = dict(value)
        for key in [key for key in value if key not in Ablation.model_fields]:
            notes.append(f"{place}: there is no field {quoted(key)}: it is left out")
            del value[key]
        action, metrics, options = value.get("action"), value.get("metrics"), value.get("replacement")
        if isinstance(action, str) and action != action.strip().upper():
            notes.append(f"{place}: the action is {quoted(action)}: write {action.strip().upper()}")
            value["action"] = action.strip().upper()
        if isinstance(metrics, str):
            notes.append(f"{place}: the metrics are one text, not a list")
            value["metrics"] = [one.strip() for one in metrics.split(",") if one.strip()]
        if isinstance(options, str | int | float):
            notes.append(f"{place}: the replacement is one value, not a list")
            value["replacement"] = [options]
    return read_document(Ablation, value, place), notes


def jsonl_text(plan: Plan) -> str:
    """A plan as lines of JSON with the five fields of AblationBench, by rank.

    Args:
        plan: The plan.
    """
    return "".join(json.dumps(item.ablation.model_dump(), ensure_ascii=False) + "\n" for item in plan.items)


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a plan in the form that the file's ending names: .md, .jsonl or .json.

    Args:
        plan: The plan. Only .json holds all of it.
        path: The file.

    Raises:
        OutputError: The ending is another one, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending == ".md":
        text = markdown_text(plan)
    elif ending == ".jsonl":
        text = jsonl_text(plan)
    elif ending == ".json":
        text = json.dumps(plan.model_dump(), ensure_ascii=False, indent=1) + "\n"
    else:
        raise OutputError(f"{visible(str(path))}: a plan is written as .md, .jsonl or .json: name the file so")
    write_text(path, text)
