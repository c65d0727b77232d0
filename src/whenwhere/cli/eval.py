"""`whenwhere eval`: scores a file of answers to a benchmark under a named protocol, or those of an encoder.

Several files of answers are compared item by item. An entry that cannot be used counts as a wrong answer and is
reported in one sentence; `--strict` refuses a file with such entries. The exit statuses are explained in
`whenwhere.cli`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.datasets.item import Item
    from whenwhere.evaluate.evaluation import Report
    from whenwhere.evaluate.run import EvaluationResult
    from whenwhere.evaluate.table import Table
    from whenwhere.models.encoders.evaluation.benchmark import BenchmarkAnswers


def eval_(
    benchmark: Annotated[str | None, typer.Option(help="Name of the benchmark; --list shows all.")] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The benchmark's released file, or its folder if it has several files."),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Answers to score: a file, or the folder that `whenwhere batch --out` wrote. To compare several, list "
            "the other files after it or repeat the option.",
        ),
    ] = None,
    further: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE2]...", help="Answers to compare with those of --predictions.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="encoder:NAME",
            help="Instead of --predictions, let a video-text encoder answer: encoder:<folder, run or hub id>. "
            "Retrieval and recognition need nothing else; with --train recognition is a linear probe, and detection "
            "and vqa are answered by a small head. The answers are written to --out and can be scored again.",
        ),
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the benchmark's videos, for --model.")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Clips of each video whose embeddings are averaged, for --model.")
    ] = 1,
    device: options.Device = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Protocol to score by; --list shows all.", show_default="the one that the benchmark's papers use"
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Stop if an entry of the predictions file cannot be used, such as one with an unknown id, instead of "
            "counting it as wrong. A model's reply in which no answer can be read does not stop it.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report and the score of every item.")] = None,
    export: Annotated[
        str | None,
        typer.Option(
            help="Kinds of files to write to --out, separated by commas: json, items, parquet, md, tex, csv, html.",
            show_default="all but parquet; html needs matplotlib",
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON Lines, and nothing else, on stdout.")
    ] = False,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The benchmark's training file, to fit the baseline that gives every item the same answer, and "
            "whatever learns on top of --model.",
        ),
    ] = None,
    blind: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answers of a model that saw no frames, reported as a further baseline."),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of the answers.", show_default="recognised by the content")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Random seed of the bootstrap and of the baseline that swaps answers between items."),
    ] = 0,
    list_: Annotated[bool, typer.Option("--list", help="Print all tasks, benchmarks, protocols and formats.")] = False,
) -> None:
    """Score answers to a benchmark by the rules of a named protocol, next to baselines that ignore the video.

    Exit status: 0 done, 1 a file (or, with --strict, an entry of it) cannot be used, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting
    from whenwhere.errors import SettingError
    from whenwhere.evaluate.output import chosen_files
    from whenwhere.evaluate.run import evaluate

    if list_:
        _list(json_)
        return
    if benchmark is None or not (predictions or model):
        lacking = "--benchmark NAME" if benchmark is None else "--predictions FILE or --model encoder:NAME"
        raise SettingError(f"whenwhere eval needs {lacking}; `whenwhere eval --list` shows benchmarks and protocols")
    if export is not None and out is None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    names = chosen_files(export)
    options.check_folder(out)
    truth: Path | list[Item] | None = annotations
    given = [*(predictions or []), *(further or [])]
    if model is not None:
        if not model.startswith("encoder:"):
            raise SettingError(
                f"eval takes an encoder as --model: write encoder:{model}; a model of another kind answers with "
                "whenwhere batch"
            )
        if given or annotations is None or videos is None or out is None:
            raise SettingError(
                "--model answers the benchmark itself: give --annotations, --videos and --out DIR, and no --predictions"
            )
        answers = _ask(model, benchmark, annotations, videos, out, clips, train, device)
        truth, given, train = answers.items, [answers.path], answers.train
    with Waiting(f"scoring {', '.join(path.name for path in given)}"):
        result = evaluate(
            benchmark,
            truth,
            *given,
            protocol=protocol,
            format=format_,
            train=train,
            blind=blind,
            seed=seed,
        )
    for report in result.reports:
        if model is not None:  # scoring was given the items that the encoder answered, which are from this file
            report.files["annotations"] = str(annotations)
        _report_faults(report)
    if strict:
        result.refuse_faults()
    if out is not None:
        result.write(out, names)
    _print(result, json_)
    _print_files(result.files, json_, lacks_page=export is None and "html" not in names)


def _ask(
    model: str,
    benchmark: str,
    annotations: Path,
    videos: Path,
    out: Path,
    clips: int,
    train: Path | None,
    device: str | None,
) -> "BenchmarkAnswers":
    """Let an encoder answer a benchmark, and print the videos that it could not see."""
    from whenwhere.cli.console import SHOWN, Waiting, note
    from whenwhere.models.encoders.evaluation.benchmark import answer_benchmark
    from whenwhere.models.encoders.evaluation.benchmark_videos import SamplingSettings
    from whenwhere.models.encoders.resolve import open_encoder

    encoder = open_encoder(model.removeprefix("encoder:"), device)
    with Waiting(f"{encoder.name} looks at the videos") as waiting:
        answers = answer_benchmark(
            encoder, benchmark, annotations, videos, out, SamplingSettings(clips=clips), train, waiting.share
        )
    for text in answers.notes:
        note(text)
    for text in answers.faults[:SHOWN]:
        note(text, "yellow")
    if len(answers.faults) > SHOWN:
        note(f"{len(answers.faults) - SHOWN} more videos were not seen: {out / 'encoder.json'} lists them", "yellow")
    return answers


def _report_faults(report: "Report") -> None:
    """Print the first faults of each kind on stderr, and how many more there are."""
    from whenwhere.cli.console import SHOWN, note

    shown: Counter[str] = Counter()
    for fault in report.faults:
        shown[fault.kind] += 1
        if shown[fault.kind] <= SHOWN:
            note(fault.message, "yellow")
    for kind, count in shown.items():
        if count > SHOWN:
            note(f"{report.files['predictions']}: {count - SHOWN} more of this kind: {kind}", "yellow")


def _print(result: "EvaluationResult", json_: bool) -> None:
    """Print the scores: tables for a person, or JSON Lines."""
    from whenwhere.cli.console import note, write_json
    from whenwhere.evaluate.report import comparison_tables, tables

    if json_:
        for value in result.data():
            write_json(json.dumps(value, ensure_ascii=False))
    # faults are on stderr already; of several files the tables of each are left to --out
    several = len(result.reports) > 1
    if not json_ and several:
        found = comparison_tables(result.reports, result.comparisons, brief=True)
    else:
        found = [] if json_ else tables(result.report, brief=True, faults=False)
    for table in found:
        _show(table)
    for report in result.reports:
        for text in report.notes:
            note(f"{report.files['predictions']}: {text}" if several else text, "yellow")


def _show(table: "Table") -> None:
    """Print a table; into a pipe as wide as it needs."""
    from rich.text import Text

    from whenwhere.cli.console import SafeConsole, out
    from whenwhere.evaluate.table import rich_table

    shown = out if out.is_terminal else SafeConsole(width=10_000, highlight=False)
    for part in table.within(shown.width):
        shown.print(rich_table(part))
    if table.note:
        shown.print(Text(f"{table.note}\n", "dim"), soft_wrap=False)


def _print_files(files: list[Path], json_: bool, lacks_page: bool) -> None:
    """Print which files were written."""
    from whenwhere.cli.console import note
    from whenwhere.cli.console import out as stdout

    for path in files:
        if json_:
            note(f"wrote {path}")
        else:
            stdout.print(f"wrote {path}", markup=False)
    if files and lacks_page:
        note("report.html was not written, because it needs matplotlib: pip install 'whenwhere[report]'", "dim")


def _list(json_: bool) -> None:
    """Print tasks, benchmarks, protocols with their switches, and formats."""
    from whenwhere.cli.console import out, write_json
    from whenwhere.evaluate.listing import benchmark_table, format_table, protocol_tables, task_table

    found = [task_table(), benchmark_table(), *protocol_tables(), format_table()]
    if json_:
        for table in found:
            for row in table.rows:
                cells = dict(zip(table.columns, row, strict=True))
                write_json(json.dumps({"table": table.title, **cells}, ensure_ascii=False))
        return
    for table in found:
        # a terminal is narrow: the long columns are left to a pipe, --json and docs/evaluation.md
        _show(table.without("title", "source", "licence", "measures") if out.is_terminal else table)
