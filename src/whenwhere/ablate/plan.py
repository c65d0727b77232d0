"""Plans: ranked ablations with their origin, read from Markdown, JSON Lines or JSON, written as any of them, merged.

    plan = read_plan("plan.md")                       # the pages of AblationBench's site, or your own Markdown
    write_plan(merge_plans([plan, read_plan("reviewer.jsonl")]), "plan.json")

`.jsonl` holds the five fields of AblationBench and nothing else; `.md` holds the heading, the reasoning and the items;
`.json` holds everything.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.documents import Document


class PlanSource(Document):
    """Where a plan comes from.

    Attributes:
        planner: Kind of planner, such as lm-planner, or "" if a person wrote the plan.
        model: Name of the model that was asked.
        paper: Name of the paper.
        mode: What the planner was asked for: author, reviewer or grounded.
        prompt_sha: SHA-256 of the prompt.
        file: Name of the file that the plan was read from, without its folder.
    """

    planner: str = ""
    model: str = ""
    paper: str = ""
    mode: str = ""
    prompt_sha: str = ""
    file: str = ""


class ItemOrigin(Document):
    """One plan that proposed an item.

    Attributes:
        source: Where that plan comes from.
        rank: Rank of the item in that plan, from 1.
        name: Name of the ablation in that plan.
    """

    source: PlanSource
    rank: int
    name: str


class PlanItem(Document):
    """One ablation of a plan.

    Attributes:
        id: Name of the item in later files, unique in the plan.
        rank: Rank in the plan, from 1; the first is the most important.
        ablation: The five fields.
        raw: The lines of text that the item was read from, without what Markdown adds.
        knob: Id of the knob that the planner named, in grounded mode; it binds by itself if there is such a knob.
        why: The planner's reason for this item, where it gave one.
        origins: The plans that proposed the item, where several were merged; empty where the plan is the only one.
    """

    id: str
    rank: int
    ablation: Ablation
    raw: str = ""
    knob: str | None = None
    why: str = ""
    origins: list[ItemOrigin] = []


class Plan(Document):
    """A ranked list of ablations.

    Attributes:
        version: Version of the file's form.
        source: Where the plan comes from.
        trace: The planner's reasoning before the list.
        items: The ablations, by rank.
        notes: What lenient reading let pass, as sentences.
    """

    version: int = 1
    source: PlanSource = PlanSource()
    trace: str = ""
    items: list[PlanItem] = []
    notes: list[str] = []


def make_plan(
    ablations: Iterable[Ablation], source: PlanSource | None = None, trace: str = "", strict: bool = True
) -> Plan:
    """A plan of ablations, ranked as they come.

    Args:
        ablations: The ablations, the most important first.
        source: Where they come from.
        trace: The reasoning before them.
        strict: Whether a fault of an ablation is an error; otherwise it becomes one of the plan's notes.

    Raises:
        RecordError: There is no ablation, or, if strict, one has a fault or two have the same name.
    """
    raise NotImplementedError


def read_plan(path: str | os.PathLike[str], strict: bool = True) -> Plan:
    """A plan from a file: .md, .jsonl or .json.

    Args:
        path: The file.
        strict: Whether a fault of an ablation is an error; otherwise it becomes one of the plan's notes. A line that
            cannot be read is an error either way.

    Raises:
        RecordError: The file cannot be read or holds no plan; the message names the file and the line.
    """
    raise NotImplementedError


def read_jsonl(text: str, place: str, strict: bool = True) -> Plan:
    """A plan from lines of JSON with the five fields.

    Args:
        text: The lines.
        place: Name of the file or reply for messages.
        strict: As in `read_plan`.

    Raises:
        RecordError: A line cannot be read; the message names it.
    """
    raise NotImplementedError


def jsonl_text(plan: Plan) -> str:
    """The plan as lines of JSON with the five fields of AblationBench, by rank."""
    raise NotImplementedError


def write_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """Write a plan in the form that the file's ending names: .md, .jsonl or .json.

    Raises:
        OutputError: The ending is another one, or the file cannot be written.
    """
    raise NotImplementedError


def merge_plans(plans: Iterable[Plan]) -> Plan:
    """One plan of several: equal items become one, which names all plans that proposed it.

    Items are equal if part and action are the same but for case, spaces and signs. Their replacements and metrics are
    put together. The order is that of the best rank, then of the number of plans that proposed the item.
    """
    raise NotImplementedError


#: Reads a text of one form as a plan; gets the text, the place for messages, and whether it is strict.
Reader = Callable[[str, str, bool], Plan]


def plan_file(path: str | os.PathLike[str]) -> Path:
    """The file of a plan: one of those that come with the package, by name, or a path.

    Raises:
        SettingError: There is neither.
    """
    raise NotImplementedError
