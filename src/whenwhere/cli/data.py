"""`whenwhere data`: converts data sets to manifests, checks them and describes them.

`convert` reads the files that a benchmark released and writes a manifest. `validate` checks a manifest line by line, or
a released file by scoring its own truth. `stats` describes a manifest, `audit` compares sets, and `measure` looks at
the videos. `curate` leaves items out, `mix` combines sets, `difficulty` measures how hard sentences are for a policy.
`caption` captions clips, `sample` draws from them, `trajectories` asks a teacher for reasoning, and `export` writes the
training data of other projects. The exit statuses are explained in `whenwhere.cli`.
"""

import functools
import inspect
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options
from whenwhere.cli.data_audit import audit
from whenwhere.cli.data_caption import caption, sample
from whenwhere.cli.data_curate import curate
from whenwhere.cli.data_difficulty import difficulty
from whenwhere.cli.data_export import export
from whenwhere.cli.data_measure import measure
from whenwhere.cli.data_mix import mix
from whenwhere.cli.data_trajectories import trajectories
from whenwhere.cli.misspelt import SuggestingGroup

if TYPE_CHECKING:
    from whenwhere.evaluate.validate import Validation

#: Options that name what a command writes; their metavar is DIR or FILE.
OUTPUTS = ("out", "annotated", "report")

data = typer.Typer(
    name="data",
    cls=SuggestingGroup,
    help="Convert, check and describe data sets: sentences about videos with their true times and boxes.",
    epilog="Example: whenwhere data convert --benchmark tvgbench --annotations tvgbench.json --out tvgbench.jsonl",
    no_args_is_help=True,
)

Manifest = Annotated[Path, typer.Argument(metavar="FILE", help="A manifest: .jsonl or .parquet.")]
Benchmark = Annotated[str, typer.Option(help="Name of the benchmark (`whenwhere eval --list` shows all).")]
Annotations = Annotated[
    Path, typer.Option(metavar="FILE", help="The benchmark's released file, or folder where it has several.")
]
Videos = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the videos. A video that is not in it is looked for at its path from the folder of the file "
        "that is read. `convert` writes into the manifest where each video is; `validate` reports missing videos.",
    ),
]


def convert(
    benchmark: Benchmark,
    annotations: Annotations,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Manifest to write: .jsonl or .parquet.")],
    videos: Videos = None,
) -> None:
    """Convert the file that a benchmark released to a manifest.

    Exit status: 0 done, 1 the file cannot be used, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, counted, note
    from whenwhere.cli.console import out as stdout
    from whenwhere.datasets.conversion import convert_release
    from whenwhere.evaluate.names import find_benchmark

    options.check_videos(videos)
    with Waiting(f"reading {annotations.name}"):
        found = convert_release(find_benchmark(benchmark), annotations, out, videos)
    stdout.print(f"wrote {out}: {counted(found.items, 'item')} of {counted(found.videos, 'video')}", markup=False)
    if found.invalid:
        note(f"invalid in the release, kept and marked: {counted(found.invalid, 'item')}", "yellow")
    if found.missing:
        lost = counted(len(found.missing), "video")
        note(f"not in {videos}, kept under the released name: {lost}, such as {found.missing[0]}", "yellow")


def validate(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A manifest: .jsonl or .parquet.")] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Benchmark whose released file to check instead (`whenwhere eval --list` shows all)."),
    ] = None,
    annotations: Annotated[Path | None, typer.Option(metavar="FILE", help="The released file of --benchmark.")] = None,
    videos: Videos = None,
    json_: options.JsonObject = False,
) -> None:
    """Check every line of a manifest, or that a benchmark's truth, scored as if it were an answer, gets the full score.

    Exit status: 0 nothing is wrong, 1 something is wrong, 2 wrong usage.
    """
    from whenwhere.errors import SettingError

    if (file is None) == (benchmark is None) or (benchmark is None) != (annotations is None):
        raise SettingError("give a manifest to check, or --benchmark NAME with --annotations FILE")
    if videos is not None:
        if benchmark is not None:
            raise SettingError("--videos goes with a manifest: convert the benchmark's file first")
        options.check_videos(videos)
    if file is not None:
        passed = _check_manifest(file, videos, json_)
    else:
        assert benchmark is not None and annotations is not None
        passed = _check_release(benchmark, annotations, json_)
    if not passed:
        raise typer.Exit(1)


def _check_manifest(file: Path, videos: Path | None, json_: bool) -> bool:
    """Check a manifest line by line and print what is wrong; whether nothing is."""
    from whenwhere.cli.console import SHOWN, Waiting, counted, note, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.datasets.conversion import check_manifest

    with Waiting(f"checking {file.name}"):
        found = check_manifest(file, videos, SHOWN)
    for sentence in found.examples:
        note(sentence, "red")
    if json_:
        write_json(json.dumps(found.as_dict(), ensure_ascii=False))
        return not found.faults
    counts = f"{counted(found.lines, 'line')}, {counted(found.videos, 'video')}, {counted(found.invalid, 'item')}"
    stdout.print(f"{file}: {counts} marked invalid", markup=False)
    for kind, count in found.faults.most_common():
        stdout.print(f"  {count} × {kind}", style="red")
    if not found.faults:
        stdout.print("  nothing is wrong", style="green")
    return not found.faults


def _check_release(benchmark: str, annotations: Path, json_: bool) -> bool:
    """Score the truth of a released file as if it were an answer and print the scores; whether all are full."""
    from whenwhere.cli.console import Waiting, note, write_json
    from whenwhere.datasets import read_items
    from whenwhere.evaluate.names import find_benchmark
    from whenwhere.evaluate.validate import validate_gold

    bench = find_benchmark(benchmark)
    with Waiting(f"scoring the truth of {annotations.name}"):
        items = read_items(bench, annotations)
        found = validate_gold(bench, items)
    if bench.task in ("tubes", "tracking") and not any(len(tube) for item in items for tube in item.tubes):
        note(f"{annotations}: no item has a true box, so nothing about boxes was checked: give {bench.files}", "yellow")
    if json_:
        write_json(json.dumps(found.as_dict(), ensure_ascii=False))
    else:
        _tell(found, annotations)
    return found.passed


def _tell(found: "Validation", annotations: Path) -> None:
    """Print a validation for a person."""
    from rich.table import Table

    from whenwhere.cli.console import SHOWN, counted, note, out, show_table

    out.print(f"{annotations}: {counted(found.items, 'item')} of {counted(found.videos, 'video')}")
    for count, what in (
        (len(found.faults), "invalid (kept in every denominator)"),
        (found.empty, "whose truth is that the thing does not occur"),
        (found.past, "with an end after the video's end (kept as released)"),
        (found.early, "with a span that starts before the video (kept as released)"),
        (found.blank, "with an empty sentence (kept as released)"),
    ):
        if count:
            out.print(f"  {count} {what}")
    for name, fault in found.faults[:SHOWN]:
        out.print(f"    {name} {fault}")
    table = Table("protocol", "measure", "score", "full score", "why not 1", title="Scores of the set's own truth")
    for c in found.checks:
        must = "unknown" if c.full is None else f"{c.full:.12g}"
        style = None if c.passed else "bold red"
        table.add_row(c.protocol, c.measure, f"{c.gold:.12g}", must, c.reason, style=style)
    show_table(table)
    for said in found.skipped:
        note(f"not scored under {said}", "yellow")
    for name in found.repeated[:SHOWN]:
        note(f"the id {name!r} belongs to more than one item", "red")
    for c in found.checks:
        if not c.passed:
            some = ", ".join(c.short[:SHOWN]) or "the summary"
            note(f"{c.protocol} {c.measure}: short on {counted(len(c.short), 'item')}, such as {some}", "red")
    if found.passed:
        out.print("the truth gets the full score", style="green")


def stats(file: Manifest, json_: options.JsonObject = False) -> None:
    """Describe a manifest: numbers of items and videos, types of queries, durations, lengths of spans and sentences.

    Exit status: 0 done, 1 a line cannot be read, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, write_json
    from whenwhere.datasets import manifest
    from whenwhere.datasets.summary import summarise

    with Waiting(f"reading {file.name}"):
        found = summarise(manifest.read(file)).as_dict()
    if json_:
        write_json(json.dumps(found, ensure_ascii=False))
    else:
        _describe(file, found)


def _describe(file: Path, found: dict[str, Any]) -> None:
    """Print a summary for a person."""
    from rich.table import Table

    from whenwhere.cli.console import counted, out, show_table

    out.print(
        f"{file}: {counted(found['items'], 'item')}, {counted(found['videos'], 'video')}, {found['invalid']} invalid"
    )
    spans = ", ".join(f"{count} with {name}" for name, count in found["spans"].items() if count)
    past = f"; {found['ends_past_the_video']} ends are after the video's end" if found["ends_past_the_video"] else ""
    out.print(f"  items by number of true spans: {spans}{past}")
    if found["tubes"]:
        out.print(f"  tubes: {found['tubes']} with {found['boxes']} boxes")
    spread = Table("", "n", "least", "median", "mean", "most")
    for key, name in (
        ("duration", "duration of a video, seconds"),
        ("span_seconds", "true time of an item, seconds"),
        ("span_fraction", "true time, share of the video"),
        ("words", "words in a sentence"),
    ):
        if (row := found[key]) is not None:
            spread.add_row(name, str(row["n"]), *(f"{row[k]:.4g}" for k in ("min", "median", "mean", "max")))
    show_table(spread)
    for key in ("types", "splits", "sources"):
        if found[key]:
            kinds = Table(key.removesuffix("s"), "items", "share")
            for name, count in found[key].items():
                kinds.add_row(name, str(count), f"{count / found['items']:.1%}")
            show_table(kinds)


def _alone(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that it refuses to run while another run writes to the same output."""
    asked = inspect.signature(command).parameters
    outputs = {name: asked[name].annotation.__metadata__[0].metavar == "DIR" for name in OUTPUTS if name in asked}

    @functools.wraps(command)
    def run(**given: Any) -> None:
        from whenwhere.store import sole_run

        with ExitStack() as stack:
            for name, folder in outputs.items():
                if given[name] is not None and not given.get("dry_run"):
                    stack.enter_context(sole_run(given[name], folder))
            command(**given)

    return run


for command, example in (
    (
        convert,
        "whenwhere data convert --benchmark qvhighlights --annotations highlight_val_release.jsonl --out qvh.parquet",
    ),
    (validate, "whenwhere data validate sta.jsonl --videos clips"),
    (stats, "whenwhere data stats sta.jsonl --json"),
    (curate, "whenwhere data curate sta.jsonl --set max_fraction=0.6 --against tvgbench=tvgbench.json --out curated"),
    (measure, "whenwhere data measure corpus.parquet --videos clips --out measured --engine local"),
    (mix, "whenwhere data mix sta.jsonl didemo.jsonl --weight sta=2 --cap didemo=500 --count 3000 --out mix.jsonl"),
    (audit, "whenwhere data audit train.jsonl tvgbench=tvgbench.json --reannotated again.jsonl --out audited"),
    (difficulty, "whenwhere data difficulty timelens annotations=train.jsonl videos=clips --draws 8 --out hard.jsonl"),
    (
        caption,
        "whenwhere data caption videos --coarse Salesforce/blip2-opt-2.7b --fine florence-community/Florence-2-base "
        "--fused http://localhost:8000/v1#qwen3 --out captions.jsonl",
    ),
    (sample, "whenwhere data sample captions.jsonl --how div --count 10000 --table --out internvid-div.jsonl"),
    (
        trajectories,
        "whenwhere data trajectories sta.jsonl --model http://localhost:8000/v1#qwen3-vl --out reasoned.jsonl",
    ),
    (export, "whenwhere data export sta.jsonl --to ms-swift --stage rl --videos clips --out sta-swift.jsonl"),
):
    data.command(command.__name__, epilog=f"Example: {example}")(_alone(command))
