"""Check the documents: every link to a file of the project exists, and every generated table is up to date.

A table in README.md or docs/*.md between

    <!-- benchmarks/results/NAME.md, table 1 -->
    ...
    <!-- end -->

is the first table of that result file, which a benchmark script wrote; what stands after

    <!-- whenwhere eval --list, protocols -->

is made from the protocols (or `tasks`, `benchmarks`, `formats`) themselves, and what stands after

    <!-- dialects -->

from the dialects, and what stands after

    <!-- rewards -->

from the reward terms, and what stands after

    <!-- recipes -->
    <!-- settings, rl -->

from the packaged recipes and from the dataclass of a recipe's table. `python docs/check.py --write` copies the tables
in; without it a difference is an error. So no number and no switch is ever typed by hand. What stands after

    <!-- house -->

is the floor plan of `docs/house.py`.
"""

import inspect
import json
import re
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import house

ROOT = Path(__file__).resolve().parent.parent
TABLE = re.compile(r"(<!-- (benchmarks/results/[\w.-]+\.md), table (\d+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LISTED = re.compile(r"(<!-- whenwhere eval --list, (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
DIALECTS = re.compile(r"(<!-- dialects -->\n)(.*?)(<!-- end -->)", re.DOTALL)
REWARDS = re.compile(r"(<!-- rewards -->\n)(.*?)(<!-- end -->)", re.DOTALL)
RECIPES = re.compile(r"(<!-- recipes -->\n)(.*?)(<!-- end -->)", re.DOTALL)
HOUSE = re.compile(r"(<!-- house -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SETTINGS = re.compile(r"(<!-- settings, (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
ROWS = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


def listed(match: re.Match[str]) -> str:
    """A list of what can be evaluated, as it is now."""
    from whenwhere.evaluate.listing import benchmark_table, format_table, protocol_tables, task_table
    from whenwhere.evaluate.table import markdown

    tables = {
        "tasks": [task_table()],
        "benchmarks": [benchmark_table()],
        "protocols": protocol_tables(),
        "formats": [format_table()],
    }[match[2]]
    if len(tables) == 1:
        tables[0].title = ""
    return f"{match[1]}{markdown(tables).replace('## ', '### ')}{match[4]}"


def dialects(match: re.Match[str]) -> str:
    """How each family is asked, as its dialect says."""
    from whenwhere.answers.dialects import DIALECTS

    heads = [
        "dialect", "`model_type`", "time", "frames per stamp", "handed over as", "stamps to", "boxes",
        "asked in the forms", "prompt and coordinates: source", "verified with weights",
    ]  # fmt: skip
    rows = [heads, ["---"] * len(heads)]
    for d in DIALECTS.values():
        boxes = "none found" if d.coordinates is None else f"{d.coordinates}, as points" if d.points else d.coordinates
        forms = ", ".join(f"`{form}`" for form in (d.spans_form, d.boxes_form) if form)
        said = "any other" if d.name == "plain" else "as its `whenwhere.json` says"
        kinds = ", ".join(f"`{kind}`" for kind in d.model_types) or said
        rows.append(
            [f"`{d.name}`", kinds, d.time, str(d.merge), f"`{d.frames}`", f"{d.resolution:g} s", boxes, forms, d.source,
             d.verified or "no"]
        )  # fmt: skip
    return match[1] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + match[3]


def rewards(match: re.Match[str]) -> str:
    """What each reward term says about itself."""
    from whenwhere.verify import TERMS

    rows = [["term", "formula", "gameable", "needs", "source"], ["---"] * 5]
    for term in TERMS.values():
        formula = term.formula.replace("|", "\\|")
        gameable = f"yes: {term.gameable}" if term.gameable else "no"
        rows.append([f"`{term.name}`", formula, gameable, ", ".join(term.needs) or "–", term.source])
    return match[1] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + match[3]


def recipes(match: re.Match[str]) -> str:
    """The recipes of the package, by their first lines."""
    from whenwhere.training.recipe import load, packaged

    rows = [["recipe", "stage", "what", "begins with"], ["---"] * 4]
    for name in packaged():
        recipe = load(name)
        rows.append([f"`{name}`", recipe.stage, recipe.headline, f"`{recipe.model.checkpoint}`"])
    return match[1] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + match[3]


def floors(match: re.Match[str]) -> str:
    """The floors of the house with the rooms that exist."""
    return f"{match[1]}```\n{house.floor_plan(house.read_house())}\n```\n{match[3]}"


def settings(match: re.Match[str]) -> str:
    """The keys of a recipe's table, from its dataclass."""
    from whenwhere.curate.filters import FilterSettings
    from whenwhere.stage.shapes.world import ShapesWorld
    from whenwhere.training import policy_tables
    from whenwhere.training.data.curriculum import CurriculumSettings
    from whenwhere.training.evaluators import EvaluatorSettings
    from whenwhere.training.policy_evaluator import GroundingEvaluatorSettings
    from whenwhere.training.prefix.settings import PolicySettings
    from whenwhere.training.rl.settings import RLSettings
    from whenwhere.training.settings import TrainingSettings
    from whenwhere.training.sft.settings import SFTSettings

    kinds: dict[str, Any] = {
        "model": policy_tables.ModelSettings, "data": policy_tables.DataSettings, "filters": FilterSettings,
        "world": ShapesWorld, "reward": policy_tables.RewardSettings, "curriculum": CurriculumSettings,
        "train": TrainingSettings, "policy": PolicySettings, "sft": SFTSettings, "rl": RLSettings,
        "evaluators": EvaluatorSettings, "grounding": GroundingEvaluatorSettings,
    }  # fmt: skip
    kind = kinds[match[2]]
    base = kind.__mro__[1]
    inherited = {field.name for field in fields(base)} if is_dataclass(base) else set()
    rows = [["key", "default", "what it is"], ["---"] * 3]
    said, hints = attributes(kind), get_type_hints(kind)
    for field in fields(kind):
        if field.name not in inherited:
            what = said[field.name].replace("|", "\\|")
            choices = [f"`{c}`" for c in get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal]
            if not all(choice in what for choice in choices):
                what += f" One of {', '.join(choices)}."
            rows.append([f"`{field.name}`", default(field), what])
    return match[1] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + match[4]


def attributes(kind: Any) -> dict[str, str]:
    """What a docstring says about each attribute."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        if named := re.match(r"    (\w+): (.*)", line):
            found[named[1]] = named[2]
        elif found:
            found[next(reversed(found))] += " " + line.strip()
    return found


def default(field: Any) -> str:
    """A field's default as a recipe writes it."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is MISSING:
        return "must be said"
    if value is None:
        return "–"
    if is_dataclass(value):
        return f"[data.{field.name}]" if field.name == "world" else f"[model.{field.name}]"
    if isinstance(value, dict):
        return "`{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def main() -> int:
    """Check (or with --write, fill) all documents; the number of faults."""
    write = "--write" in sys.argv[1:]
    faults: list[str] = []
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]):
        text = page.read_text(encoding="utf-8")
        for target in LINK.findall(text):
            if not (page.parent / target).exists():
                faults.append(f"{page.relative_to(ROOT)}: link to {target}, which does not exist")

        def table(match: re.Match[str], page: Path = page) -> str:
            source = ROOT / match[2]
            if not source.exists():
                faults.append(f"{page.relative_to(ROOT)}: table of {match[2]}, which does not exist")
                return match[0]
            tables = ROWS.findall(source.read_text(encoding="utf-8"))
            if len(tables) < int(match[3]):
                faults.append(f"{page.relative_to(ROOT)}: {match[2]} has no table {match[3]}")
                return match[0]
            return f"{match[1]}{tables[int(match[3]) - 1]}{match[5]}"

        fresh = DIALECTS.sub(dialects, LISTED.sub(listed, TABLE.sub(table, text)))
        fresh = HOUSE.sub(floors, fresh)
        fresh = SETTINGS.sub(settings, RECIPES.sub(recipes, REWARDS.sub(rewards, fresh)))
        if fresh != text and write:
            page.write_text(fresh, encoding="utf-8")
        elif fresh != text:
            faults.append(
                f"{page.relative_to(ROOT)}: a table differs from its result file: python docs/check.py --write"
            )
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return len(faults)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
