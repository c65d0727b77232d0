"""Check the documents: every link to a file of the project exists, and every generated block is up to date.

    python docs/check.py [--write]

A generated block in a Markdown file of the project begins with a comment that names its source and ends with
`<!-- end -->`:

    <!-- benchmarks/results/NAME.md, table 1 -->   the first table of that file, which a benchmark script wrote
    <!-- whenwhere eval --list, protocols -->      the protocols (or `tasks`, `benchmarks`, `formats`)
    <!-- dialects -->                              how each model family is asked
    <!-- rewards -->                               the reward terms
    <!-- recipes -->                               the packaged recipes
    <!-- curation filters -->                      the filters of `data curate` in the order in which they are asked
    <!-- query types -->                           the types of queries of `data audit`
    <!-- training formats -->                      the projects of `data export`
    <!-- settings, rl -->                          the keys of a recipe's table, from its dataclass
    <!-- house -->                                 the floor plan of `docs/house.py`

`--write` fills the blocks in; without it, a block that differs from its source is an error. So no number and no list of
settings is ever typed by hand.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import house

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- ([^\n]+) -->\n)((?:(?!<!-- ).*\n)*?)(<!-- end -->)")
ROWS = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


def table_text(rows: list[list[str]]) -> str:
    """Rows of cells as a Markdown table; the first row is its head."""
    return "".join(f"| {' | '.join(row)} |\n" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def result_table(file: str, number: str) -> str:
    """A table of a result file, counted from 1.

    Raises:
        LookupError: There is no such file, or it has fewer tables.
    """
    if not (ROOT / file).exists():
        raise LookupError("there is no such file")
    tables = ROWS.findall((ROOT / file).read_text(encoding="utf-8"))
    if len(tables) < int(number):
        raise LookupError(f"the file has only {len(tables)} tables")
    return tables[int(number) - 1]


def listed(kind: str) -> str:
    """A list that `whenwhere eval --list` prints."""
    from whenwhere.evaluate.listing import benchmark_table, format_table, protocol_tables, task_table
    from whenwhere.evaluate.table import markdown

    tables = {
        "tasks": [task_table()],
        "benchmarks": [benchmark_table()],
        "protocols": protocol_tables(),
        "formats": [format_table()],
    }[kind]
    if len(tables) == 1:
        tables[0].title = ""
    return markdown(tables).replace("## ", "### ")


def dialects() -> str:
    """A table of how each model family is asked, from the dialects."""
    from whenwhere.answers.dialects import DIALECTS

    heads = [
        "dialect", "`model_type`", "time", "frames per stamp", "handed over as", "stamps to", "boxes",
        "asked in the forms", "prompt and coordinates: source", "verified with weights",
    ]  # fmt: skip
    rows = [heads]
    for d in DIALECTS.values():
        boxes = "none found" if d.coordinates is None else f"{d.coordinates}, as points" if d.points else d.coordinates
        forms = ", ".join(f"`{form}`" for form in (d.spans_form, d.boxes_form) if form)
        said = "any other" if d.name == "plain" else "as its `whenwhere.json` says"
        kinds = ", ".join(f"`{kind}`" for kind in d.model_types) or said
        rows.append(
            [f"`{d.name}`", kinds, d.time, str(d.merge), f"`{d.frames}`", f"{d.resolution:g} s", boxes, forms, d.source,
             d.verified or "no"]
        )  # fmt: skip
    return table_text(rows)


def rewards() -> str:
    """A table of the reward terms."""
    from whenwhere.verify import TERMS

    rows = [["term", "formula", "gameable", "needs", "source"]]
    for term in TERMS.values():
        formula = term.formula.replace("|", "\\|")
        gameable = f"yes: {term.gameable}" if term.gameable else "no"
        rows.append([f"`{term.name}`", formula, gameable, ", ".join(term.needs) or "–", term.source])
    return table_text(rows)


def recipes() -> str:
    """A table of the packaged recipes with the first line of each."""
    from whenwhere.training.recipe import load, packaged

    rows = [["recipe", "stage", "what", "begins with", "presets"]]
    for name in packaged():
        recipe = load(name)
        presets = ", ".join(f"`{preset}`" for preset in recipe.presets)
        start = recipe.tables["encoder" if recipe.stage == "pretrain" else "model"].checkpoint
        rows.append([f"`{name}`", recipe.stage, recipe.headline, f"`{start}`", presets])
    return table_text(rows)


def curation_filters() -> str:
    """A table of the filters of `whenwhere data curate`, with why each leaves items out."""
    from whenwhere.curate.filters import FILTERS
    from whenwhere.curate.set_filters import SET_FILTERS

    rows = [["filter", "leaves out, and why"]]
    for one in (*FILTERS, *SET_FILTERS):
        rows.append([f"`{one.__name__}`", (inspect.getdoc(one) or "").split("\n\n")[0].replace("\n", " ")])
    return table_text(rows)


def query_types() -> str:
    """A table of the types of queries that `whenwhere data audit` counts."""
    from whenwhere.curate.query_types import QUERY_TYPES

    return table_text([["type", "sentences about"], *([kind.name, kind.about] for kind in QUERY_TYPES)])


def training_formats() -> str:
    """A table of the projects whose training data `whenwhere data export` writes."""
    from whenwhere.curate.training_formats import TRAINING_FORMATS

    rows = [["`--to`", "stages", "files", "windows of longer videos", "sees", "format as read by", "read back"]]
    for one in TRAINING_FORMATS.values():
        sees = "pictures" if one.pictures else "the video"
        windows = "yes" if one.windows else "no: left out"
        files = ", ".join(one.endings)
        rows.append([f"`{one.name}`", ", ".join(one.stages), files, windows, sees, one.source, one.read_back])
    return table_text(rows)


def floors() -> str:
    """The floor plan of the house."""
    return f"```\n{house.floor_plan(house.read_house())}\n```\n"


def settings(table: str) -> str:
    """The keys of one table of a recipe, from its dataclass."""
    from whenwhere.curate.filters import FilterSettings
    from whenwhere.curate.set_filters import CurationSettings
    from whenwhere.models.heads.answer_head import AnswerHeadSettings
    from whenwhere.models.heads.localizer import LocalizerSettings
    from whenwhere.stage.shapes.world import ShapesWorld
    from whenwhere.training import encoder_evaluators, policy_tables
    from whenwhere.training.data.curriculum import CurriculumSettings
    from whenwhere.training.evaluators import EvaluatorSettings
    from whenwhere.training.policy_evaluator import GroundingEvaluatorSettings
    from whenwhere.training.prefix.settings import PolicySettings
    from whenwhere.training.pretrain import settings as pretrain
    from whenwhere.training.pretrain.data import CaptionedSetSettings
    from whenwhere.training.rl.settings import RLSettings
    from whenwhere.training.settings import TrainingSettings
    from whenwhere.training.sft.settings import SFTSettings

    kinds: dict[str, Any] = {
        "model": policy_tables.ModelSettings, "data": policy_tables.DataSettings, "filters": FilterSettings,
        "curation": CurationSettings,
        "world": ShapesWorld, "reward": policy_tables.RewardSettings, "curriculum": CurriculumSettings,
        "mix": policy_tables.MixedSetSettings, "train": TrainingSettings, "policy": PolicySettings, "sft": SFTSettings,
        "rl": RLSettings,
        "evaluators": EvaluatorSettings, "grounding": GroundingEvaluatorSettings,
        "retrieval": encoder_evaluators.RetrievalEvaluatorSettings,
        "recognition": encoder_evaluators.RecognitionEvaluatorSettings,
        "probe": encoder_evaluators.ProbeEvaluatorSettings, "qa": encoder_evaluators.QuestionsEvaluatorSettings,
        "localization": encoder_evaluators.LocalizationEvaluatorSettings, "localizer": LocalizerSettings,
        "pointing": encoder_evaluators.PointingEvaluatorSettings, "answers": AnswerHeadSettings,
        "boundaries": encoder_evaluators.BoundariesEvaluatorSettings,
        "encoder": pretrain.PretrainEncoderSettings, "text": pretrain.PretrainTextSettings,
        "objective": pretrain.PretrainObjectiveSettings, "pretrain": pretrain.PretrainSettings,
        "phases": pretrain.PhaseSettings, "clips": CaptionedSetSettings,
    }  # fmt: skip
    kind = kinds[table]
    base = kind.__mro__[1]
    # a default that is changed is worth a row of its own
    inherited = {field.name: default(field) for field in fields(base)} if is_dataclass(base) else {}
    rows = [["key", "default", "what it is"]]
    said, hints = (attributes(base) if inherited else {}) | attributes(kind), get_type_hints(kind)
    for field in fields(kind):
        if inherited.get(field.name) != default(field):
            what = said[field.name].replace("|", "\\|")
            choices = [f"`{c}`" for c in get_args(hints[field.name]) if get_origin(hints[field.name]) is Literal]
            if not all(choice in what for choice in choices):
                what += f" One of {', '.join(choices)}."
            rows.append([f"`{field.name}`", default(field), what])
    return table_text(rows)


def attributes(kind: Any) -> dict[str, str]:
    """The description of each attribute in a class's docstring."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        if named := re.match(r"    (\w+): (.*)", line):
            found[named[1]] = named[2]
        elif found:
            found[next(reversed(found))] += " " + line.strip()
    return found


def default(field: Any) -> str:
    """The default of a field, written as in a recipe."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is MISSING:
        return "must be said"
    if value is None:
        return "–"
    if is_dataclass(value):
        table = {"world": "data", "head": "evaluators"}.get(field.name, "model")
        return f"[{table}.{field.name}]"
    if isinstance(value, dict):
        return "`{ " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in value.items()) + " }`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


#: What the comment before a block looks like, and the function that makes the block from what it names.
SOURCES: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = (
    (re.compile(r"(benchmarks/results/[\w.-]+\.md), table (\d+)"), result_table),
    (re.compile(r"whenwhere eval --list, (\w+)"), listed),
    (re.compile(r"dialects"), dialects),
    (re.compile(r"rewards"), rewards),
    (re.compile(r"recipes"), recipes),
    (re.compile(r"curation filters"), curation_filters),
    (re.compile(r"query types"), query_types),
    (re.compile(r"training formats"), training_formats),
    (re.compile(r"settings, (\w+)"), settings),
    (re.compile(r"house"), floors),
)


def block(name: str) -> str:
    """The content of the block that a comment names.

    Raises:
        LookupError: Nothing has this name.
    """
    for pattern, make in SOURCES:
        if named := pattern.fullmatch(name):
            return make(*named.groups())
    raise LookupError("nothing makes such a block")


def main() -> int:
    """Check all documents, or fill their blocks with --write; the result is the number of faults."""
    write = "--write" in sys.argv[1:]
    faults: list[str] = []
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]):
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT)
        faults += [
            f"{name}: link to {target}, which does not exist"
            for target in LINK.findall(text)
            if not (page.parent / target).exists()
        ]
        pieces = []
        end = 0
        for found in BLOCK.finditer(text):
            try:
                content = block(found[2])
            except LookupError as e:
                faults.append(f"{name}, block {found[2]!r}: {e.args[0]}")
                content = found[3]
            pieces += [text[end : found.start()], found[1], content, found[4]]
            end = found.end()
        fresh = "".join([*pieces, text[end:]])
        if fresh != text and write:
            page.write_text(fresh, encoding="utf-8")
        elif fresh != text:
            faults.append(f"{name}: a block differs from its source; `python docs/check.py --write` fills it in")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return len(faults)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
