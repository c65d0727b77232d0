"""`whenwhere data difficulty`: measures how hard sentences are for a policy, or for whatever gave some answers."""

import json
import tempfile
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
    from whenwhere.cli.console import SHOWN, Waiting, counted, note
    from whenwhere.cli.process import resumable
    from whenwhere.curate.difficulty import summary
    from whenwhere.curate.measured_difficulty import write_density
    from whenwhere.errors import SettingError
    from whenwhere.training import builders
    from whenwhere.training.data import difficulty as measured
    from whenwhere.training.recipe import load

    if Path(recipe).suffix.lower() in (".jsonl", ".ndjson", ".parquet"):
        if changes:
            raise SettingError(f"{changes[0]} is a setting of a recipe, and {recipe} is a manifest: leave it out")
        _of_manifest(
            Path(recipe), out, draws, answers or [], model, score, annotated, report, count, json_, device,
            engine, workers,
        )  # fmt: skip
        return
    for option, value in (
        ("--answers", answers), ("--model", model), ("--annotated", annotated), ("--engine", engine),
    ):  # fmt: skip
        if value:
            raise SettingError(f"{option} goes with a manifest, and {recipe} is a recipe: leave it out")
    if out is None:
        raise SettingError("whenwhere data difficulty needs a file to write: add --out FILE")
    found = load(recipe, [*(changes or []), *([f"curriculum.draws={draws}"] if draws is not None else [])])
    options.check_folder(out.parent)
    builders.quiet_transformers()
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        skipped.append(name)
        note(f"{name} is skipped: {reason}", "yellow")

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = builders.open_checkpoint(found, Path(folder), device)
        source = builders.open_source(found, note)
        policy = builders.open_policy(found, checkpoint)
        with resumable(out), Waiting(f"asking about {counted(len(source), 'sample')}", total=len(source)) as waiting:
            known = measured.measure(
                policy, source, found.reward.verifier(found.model.form), builders.difficulty_sampling(found), out,
                name=builders.policy_name(found, checkpoint), recipe=found.resumable_hash, skip=skip,
                tell=lambda done, of: waiting.step(),
            )  # fmt: skip
    if known:
        _tell_difficulty(summary(known), out, json_)
        if report is not None:
            write_density(known, report, count)
    if skipped:
        some = ", ".join(skipped[:SHOWN])
        note(f"{len(skipped)} of {counted(len(source), 'sample')} could not be used, such as {some}", "red")
        raise typer.Exit(1)


def _of_manifest(
    file: Path,
    out: Path | None,
    draws: int | None,
    answers: list[Path],
    model: str | None,
    score: str,
    annotated: Path | None,
    report: Path | None,
    count: int | None,
    json_: bool,
    device: str | None,
    engine: str | None,
    workers: int | None,
) -> None:
    """Print and write the difficulties of a manifest: from files of answers, from a model, or those that it holds."""
    from whenwhere.cli.console import Waiting, counted, note, note_faults
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.difficulty import of_items, summary
    from whenwhere.curate.item_sets import moved, read_set
    from whenwhere.curate.measured_difficulty import SCORE_NAMES, of_answers, with_difficulty, write_density
    from whenwhere.datasets import manifest
    from whenwhere.errors import SettingError, did_you_mean
    from whenwhere.evaluate.formats import read_predictions
    from whenwhere.store import write_text

    if score not in SCORE_NAMES:
        raise SettingError(f"there is no score {score!r}{did_you_mean(score, SCORE_NAMES)}")
    if answers and model:
        raise SettingError("give --answers FILE or --model NAME, not both")
    if out is None and report is None and annotated is None:
        raise SettingError("nothing would be written: add --out FILE, --annotated FILE or --report DIR")
    if engine and not model:
        raise SettingError("--engine asks a model: add --model NAME, or leave it out")
    if model and out is None:
        raise SettingError("--model keeps its answers beside the difficulties: add --out FILE")
    own = read_set(file)
    folders = list(answers)
    if model and out is not None:
        folders = _asked(file, out, model, max(1, draws or 1), device, engine, workers)
    with Waiting(f"comparing {counted(len(folders), 'file')} of answers"):
        if folders:
            read = [read_predictions(one, own.items).by_id for one in folders]
            name = model or ", ".join(dict.fromkeys(one.stem for one in folders))
            found = of_answers(own.items, read, name, score)
        else:
            found = of_items(own.items)
    missing = len(own.items) - len(found)
    if out is not None:
        write_text(out, "".join(f"{one.line()}\n" for one in found.values()))
    if annotated is not None:
        items = (moved(item, own.path_of(item), annotated.parent) for item in with_difficulty(own.items, found))
        manifest.write(items, annotated)
    text = write_density(found, report, count) if report is not None else ""
    _tell_difficulty(summary(found), out or annotated or report or file, json_)
    if text and not json_:
        stdout.print(text, markup=False)
    note_faults(own.faults)
    if missing or own.faults:
        unread = counted(len(own.faults), "line")
        note(f"not measured: {counted(missing, 'item')} without an answer, {unread} that could not be read", "red")
        raise typer.Exit(1)


def _asked(
    file: Path, out: Path, model: str, draws: int, device: str | None, engine: str | None, workers: int | None
) -> list[Path]:
    """Ask a model once for each seed; the folders of its answers. Questions that have an answer are not asked again."""
    from whenwhere.batching import batch
    from whenwhere.settings import GroundingSettings

    folders = []
    how: dict[str, Any] = {"model": model, "device": device, "engine": engine, "workers": workers}
    for seed in range(draws):
        folder = out.parent / f"{out.stem}-answers" / str(seed)
        batch(file, folder, settings=GroundingSettings(seed=seed), **how)
        folders.append(folder)
    return folders


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
