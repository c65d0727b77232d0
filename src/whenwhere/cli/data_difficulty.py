"""`whenwhere data difficulty`: measures how hard sentences are for a policy, or for whatever gave some answers."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from whenwhere.cli import options


def difficulty(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|MANIFEST",
            help="Name or path of a training recipe, whose model answers its data; or a manifest (.jsonl, .parquet), "
            "measured by --answers or --model, or with difficulties of its own.",
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the recipe to change, such as checkpoint=runs/sft."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSON Lines file to write. If it exists, only sentences that it lacks are measured."
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0, help="Sampled answers per sentence; 0 takes one greedy answer.", show_default="the recipe's"
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="With a manifest: a file of answers in any format that `whenwhere eval` reads, or the folder of a "
            "batch; repeatable, one for each answer per sentence.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With a manifest: ask this model, --draws times with different seeds.")
    ] = None,
    score: Annotated[str, typer.Option(help="With a manifest: t_iou, or v_iou for 0.5 t_iou + 0.5 v_iou.")] = "t_iou",
    annotated: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With a manifest: write it again with `difficulty` and `difficulty_of`."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the density of difficulties and what each selector would take."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="With --report: number of sentences that selectors choose.", show_default="half")
    ] = None,
    json_: options.JsonObject = False,
    device: options.Device = None,
    engine: options.Engine = None,
    workers: options.Workers = None,
) -> None:
    """Measure how hard each sentence is for a policy: 1 - the mean reward of its answers.

    Exit status: 0 done, 1 some sentences could not be measured (the last line says how many),
    2 wrong usage, 130 interrupted (finished measurements are kept).
    """
    from whenwhere.errors import SettingError

    if Path(recipe).suffix.lower() in (".jsonl", ".ndjson", ".parquet"):
        if changes:
            raise SettingError(f"{changes[0]} is a setting of a recipe, and {recipe} is a manifest: leave it out")
        if out is None and report is None and annotated is None:
            raise SettingError("nothing would be written: add --out FILE, --annotated FILE or --report DIR")
        asking = {"model": model, "device": device, "engine": engine, "workers": workers}
        _of_manifest(
            Path(recipe), answers or [], max(1, draws or 1), asking, score, out, annotated, report, count, json_
        )
        return
    for option, value in (
        ("--answers", answers), ("--model", model), ("--annotated", annotated), ("--engine", engine),
    ):  # fmt: skip
        if value:
            raise SettingError(f"{option} goes with a manifest, and {recipe} is a recipe: leave it out")
    if out is None:
        raise SettingError("whenwhere data difficulty needs a file to write: add --out FILE")
    options.check_folder(out.parent)
    changed = [*(changes or []), *([f"curriculum.draws={draws}"] if draws is not None else [])]
    _of_recipe(recipe, changed, out, report, count, json_, device)


def _of_recipe(
    name: str, changes: list[str], out: Path, report: Path | None, count: int | None, json_: bool, device: str | None
) -> None:
    """Measure the sentences of a recipe, and print their difficulties and what could not be used."""
    from whenwhere.cli.console import SHOWN, Waiting, counted, note
    from whenwhere.cli.process import resumable
    from whenwhere.curate.difficulty import summary
    from whenwhere.curate.measured_difficulty import write_density
    from whenwhere.training.recipe import load
    from whenwhere.training.recipe_difficulty import measure_recipe

    skipped: list[str] = []
    samples = ""

    def skip(sample: str, reason: str) -> None:
        skipped.append(sample)
        note(f"{sample} is skipped: {reason}", "yellow")

    def tell(done: int, of: int) -> None:
        nonlocal samples
        if done:
            waiting.step()
        else:
            samples = counted(of, "sample")
            waiting.begin(f"asking about {samples}", of)

    recipe = load(name, changes)
    with resumable(out), Waiting("opening the model and the data") as waiting:
        known = measure_recipe(recipe, out, device=device, skip=skip, tell=tell, note=note)
    if known:
        _tell_difficulty(summary(known), out, json_)
        if report is not None:
            write_density(known, report, count)
    if skipped:
        some = ", ".join(skipped[:SHOWN])
        note(f"{len(skipped)} of {samples} could not be used, such as {some}", "red")
        raise typer.Exit(1)


def _of_manifest(
    file: Path,
    answers: list[Path],
    draws: int,
    asking: dict[str, Any],
    score: str,
    out: Path | None,
    annotated: Path | None,
    report: Path | None,
    count: int | None,
    json_: bool,
) -> None:
    """Measure the sentences of a manifest, and print their difficulties and what could not be measured."""
    from whenwhere.batching import batch_draws
    from whenwhere.cli.console import Waiting, counted, note, note_faults
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.difficulty import summary
    from whenwhere.curate.manifest_difficulty import measure_manifest
    from whenwhere.curate.measured_difficulty import write_density
    from whenwhere.errors import SettingError

    model = asking["model"]
    if model and answers:
        raise SettingError("give --answers FILE or --model NAME, not both")
    if asking["engine"] and not model:
        raise SettingError("--engine asks a model: add --model NAME, or leave it out")
    if model:
        if out is None:
            raise SettingError("--model keeps its answers beside the difficulties: add --out FILE")
        with Waiting(f"asking {model}"):
            answers = batch_draws(file, out.parent / f"{out.stem}-answers", draws, **asking)
    with Waiting(f"comparing {counted(len(answers), 'file')} of answers"):
        measured = measure_manifest(file, answers, policy=model or "", score=score, out=out, annotated=annotated)  # type: ignore[arg-type]
    text = write_density(measured.found, report, count) if report is not None else ""
    _tell_difficulty(summary(measured.found), out or annotated or report or file, json_)
    if text and not json_:
        stdout.print(text, markup=False)
    note_faults(measured.faults)
    if measured.missing or measured.faults:
        missing, unread = counted(measured.missing, "item"), counted(len(measured.faults), "line")
        note(f"not measured: {missing} without an answer, {unread} that could not be read", "red")
        raise typer.Exit(1)


def _tell_difficulty(found: dict[str, Any], file: Path, json_: bool) -> None:
    """Print how difficulties are distributed, for a person or as JSON."""
    from whenwhere.cli.console import counted, out, write_json

    if json_:
        write_json(json.dumps(found, ensure_ascii=False))
        return
    how = f"mean of {found['draws']} draws" if found["draws"] else "one greedy answer"
    out.print(f"{file}: {counted(found['questions'], 'sentence')}, {how}, 1 - ({found['score']})", markup=False)
    out.print(f"  deciles: {' '.join(f'{value:.2f}' for value in found['deciles'])}; mean {found['mean']:.3f}")
    spread = f"; mean deviation between draws {found['std']:.3f}" if found["draws"] else ""
    out.print(f"  wholly wrong {found['wrong']:.1%}, exact {found['right']:.1%}{spread}")
    if found["flops"]:
        out.print(f"  cost {found['flops']:.2e} FLOPs")
