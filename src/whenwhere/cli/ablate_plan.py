"""`whenwhere ablate plan` and `whenwhere ablate bind`: from the words of a plan to arms."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.ablate.plan import Plan
    from whenwhere.ablate.structured import Sampling


def plan(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PLAN]...",
            help="Plans to merge: .md, .jsonl or .json. With --model, the paper: Markdown, text, LaTeX or PDF.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan to write: .md, .jsonl or .json.", show_default=False)
    ] = None,
    lenient: Annotated[
        bool,
        typer.Option(
            "--lenient",
            help="Note faults, such as a removal with a replacement, instead of stopping at the first. A line that "
            "cannot be read is an error either way.",
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Let a model read the paper and plan: an address (http://host:8000/v1#name) or a checkpoint.",
            rich_help_panel="Planning by a model",
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="Plan what the authors should report (author), what is missing (reviewer), or what the knobs allow "
            "(grounded).",
            rich_help_panel="Planning by a model",
        ),
    ] = "author",
    items: Annotated[
        int, typer.Option(min=1, max=50, help="Most ablations to propose.", rich_help_panel="Planning by a model")
    ] = 5,
    knobs: Annotated[
        str | None,
        typer.Option(help="For grounded: a recipe, or a .toml file of knobs.", rich_help_panel="Planning by a model"),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            min=1024,
            help="Tokens that the model can hold.",
            show_default="asked",
            rich_help_panel="Planning by a model",
        ),
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            min=16, help="Longest answer in tokens, with its reasoning.", rich_help_panel="Planning by a model"
        ),
    ] = 8192,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.", rich_help_panel="Planning by a model")] = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Read plans, check every line, merge them, and write one plan; or let a model plan from a paper.

    Exit status: 0 done, 1 a line cannot be used, 2 wrong usage.
    """
    from whenwhere.ablate.plan import merge_plans, read_plan, write_plan
    from whenwhere.ablate.plan_records import describe_source
    from whenwhere.ablate.structured import Sampling
    from whenwhere.cli.console import counted, note, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.errors import SettingError

    if not files:
        raise SettingError("whenwhere ablate plan needs a PLAN: a .md, .jsonl or .json file")
    options.keep_edited(out, overwrite)
    if model is not None:
        merged = _planned(files, model, mode, items, knobs, context, Sampling(max_tokens=max_tokens, seed=seed), out)
    else:
        merged = merge_plans([read_plan(file, strict=not lenient) for file in files])
    if out is not None:
        write_plan(merged, out)
    for sentence in merged.notes:
        note(sentence, "yellow")
    if json_:
        write_json(json.dumps(merged.model_dump(), ensure_ascii=False))
        return
    for item in merged.items:
        choices = ", ".join(str(option) for _, option in item.ablation.options)
        text = f"{item.rank}. {item.id}: {item.ablation.action} {item.ablation.ablated_part}"
        proposed = [f"{describe_source(one.source)} ({one.rank})" for one in item.origins]
        stdout.print(text + (f": {choices}" if choices else ""), markup=False)
        if proposed:
            stdout.print(f"   proposed by {', '.join(proposed)}", markup=False)
    if out is not None:
        stdout.print(f"wrote {out}: {counted(len(merged.items), 'ablation')}", markup=False)


def _planned(
    files: list[Path],
    model: str,
    mode: str,
    items: int,
    knobs: str | None,
    context: int | None,
    sampling: "Sampling",
    out: Path | None,
) -> "Plan":
    """Let a model plan. Its calls are recorded beside the plan, so that the same command does not pay twice."""
    from whenwhere.ablate.planner import plan_paper
    from whenwhere.ablate.structured import CallLog
    from whenwhere.cli.console import Waiting
    from whenwhere.errors import SettingError

    if len(files) != 1:
        raise SettingError("a model plans from one paper: name its file or folder alone")
    log = CallLog(None if out is None else out.with_suffix(".calls.jsonl"))
    with Waiting(f"{model} reads {files[0].name}"):
        return plan_paper(files[0], mode, model, items, knobs, sampling=sampling, context=context, log=log)


def bind(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan: .md, .jsonl or .json.")],
    knobs: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A recipe with knobs, or a .toml file of knobs.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Bindings to write, a .toml file.", show_default=False)
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Preset of the recipe, the baseline of all arms.")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM=KNOB",
            help="Accept what was only proposed: bind an item to a knob, or a metric's heading to a metric "
            "(HEADING=METRIC); repeatable.",
        ),
    ] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="Note faults of the plan instead of stopping.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Bind the plan's words to knobs and metrics, and write what each of them means.

    Exact aliases bind by themselves; words that are only alike are proposed. Nothing that is not bound is ever run.

    Exit status: 0 something is bound, 1 nothing is bound or the plan cannot be read, 2 wrong usage.
    """
    from whenwhere.ablate.binding import bind as bind_plan
    from whenwhere.ablate.binding import write_bindings
    from whenwhere.ablate.knobs import packaged_knobs, read_knobs
    from whenwhere.ablate.plan import read_plan
    from whenwhere.cli.console import counted, note
    from whenwhere.cli.console import out as stdout
    from whenwhere.errors import SettingError

    if knobs is None:
        known = ", ".join(packaged_knobs())
        raise SettingError(f"whenwhere ablate bind needs --knobs NAME: your own .toml file, or one of {known}")
    options.keep_edited(out, overwrite)
    found = read_plan(plan, strict=not lenient)
    bindings = bind_plan(found, read_knobs(knobs, preset), accept or [])
    if out is not None:
        write_bindings(bindings, out)
    for sentence in found.notes:
        note(sentence, "yellow")
    arms = bindings.arms()
    for arm in arms:
        against = f" (against {arm.against})" if arm.against not in ("", "baseline") else ""
        changes = ", ".join(f"{key} = {value}" for key, value in arm.overrides.items())
        stdout.print(f"{arm.kind:<8} {arm.label}{': ' if changes else ''}{changes}{against}", markup=False)
    for metric in bindings.metrics:
        if metric.status == "bound":
            stdout.print(f"metric   {metric.heading}: {metric.metric}", markup=False)
    for one in bindings.not_run():
        note(f"not run: {one.name} ({one.status}): {one.reason}", "yellow")
    if out is not None:
        stdout.print(f"wrote {out}: {counted(len(arms), 'arm')}", markup=False)
    if len(arms) == 1:
        raise typer.Exit(1)
