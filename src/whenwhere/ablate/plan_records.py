"""The records of a plan: its source, its ranked items, and the plan itself."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.documents import Document
from whenwhere.errors import RecordError
from whenwhere.readers import quoted


class PlanSource(Document):
    """Where a plan comes from.

    Attributes:
        planner: Kind of planner, such as lm-planner; "" if a person wrote the plan.
        model: Name of the model that was asked; "" if none was.
        paper: Name or title of the paper.
        mode: What the planner was asked for: author, reviewer or grounded; "" if it is not known.
        prompt_sha: SHA-256 of the prompt; "" if it is not known.
        file: Name of the file that the plan was read from, without its folder; "" if there is none.
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
        raw: The lines that the item was read from, without its heading.
        knob: Id of the knob that the planner named in grounded mode; the item binds to it if there is such a knob.
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
        notes: Sentences on what lenient reading let pass, and on what a model's planner left out or repaired.
    """

    version: Literal[1] = 1
    source: PlanSource = PlanSource()
    trace: str = ""
    items: list[PlanItem] = []
    notes: list[str] = []


def squashed(text: str) -> str:
    """The text on one line, with single spaces in place of any white space."""
    return " ".join(text.split())


def slug(text: str, longest: int = 48) -> str:
    """A name for files and commands: the text's letters and digits in lower case, joined by hyphens.

    >>> slug("Ablation of Cut-and-Paste (τ)")
    'ablation-of-cut-and-paste'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while len(words) > 1 and len("-".join(words)) > longest:
        words.pop()
    return "-".join(words)[:longest]


def make_plan(
    ablations: Iterable[Ablation],
    source: PlanSource | None = None,
    trace: str = "",
    strict: bool = True,
    places: Sequence[str] | None = None,
    name: str = "the plan",
    further: Sequence[Mapping[str, Any]] | None = None,
) -> Plan:
    """Make a plan of ablations, ranked in the order in which they come.

    Args:
        ablations: The ablations, the most important first.
        source: Where they come from.
        trace: The reasoning before them.
        strict: Whether a fault of an ablation is an error; otherwise it becomes one of the plan's notes.
        places: Where each ablation was read, such as "line 12", for messages. None numbers them.
        name: Name of the plan, for messages.
        further: For each ablation, values of other fields of its item (`raw`, `why`, `knob`).

    Raises:
        RecordError: There is no ablation, or, if strict, one has a fault or two have the same name.
    """
    plan = Plan(source=source or PlanSource(), trace=trace)
    ids: set[str] = set()
    names: dict[str, str] = {}
    for rank, ablation in enumerate(ablations, 1):
        place = places[rank - 1] if places else f"ablation {rank}"
        faults = ablation.faults()
        if ablation.name in names:
            faults.append(f"the name {quoted(ablation.name)} is that of {names[ablation.name]} too: give each its own")
        for fault in faults:
            sentence = f"{name}, {place}: {fault}"
            if strict:
                raise RecordError(sentence)
            plan.notes.append(sentence)
        names.setdefault(ablation.name, place)
        item = {"id": unique(slug(ablation.name) or f"item-{rank}", ids), "rank": rank, "ablation": ablation}
        plan.items.append(PlanItem(**item, **(further[rank - 1] if further else {})))
    if not plan.items:
        raise RecordError(f"{name} holds no ablation: a plan has at least one")
    return plan


def unique(name: str, taken: set[str]) -> str:
    """The name, followed by a number if it is taken already; the result is added to the taken names."""
    found = next(one for n in range(1, len(taken) + 2) if (one := name if n == 1 else f"{name}-{n}") not in taken)
    taken.add(found)
    return found


def normal_words(text: str) -> str:
    """Words as they are compared: in lower case, without accents and signs, single spaces between them.

    >>> normal_words("Cut-and-paste  operation,"), normal_words("R@1 (%)"), normal_words("λ_t")
    ('cut and paste operation', 'r@1 %', 'λ t')
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w@%.+]|_", " ", plain).replace(". ", " ").rstrip(".").split())


def describe_source(source: PlanSource) -> str:
    """Words for where a plan comes from: its planner, model and paper, or else its file."""
    return "/".join(part for part in (source.planner, source.model, source.paper) if part) or source.file or "a plan"
