"""`whenwhere eval`: score a file of answers to a benchmark under a named protocol.

With two files of answers they are also compared, item by item. Faults of a file of answers are counted as wrong and
said, one sentence each; `--strict` refuses such a file. What an exit status means stands in `whenwhere.cli`.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.evaluate.evaluation import Report
    from whenwhere.evaluate.prediction import Fault
    from whenwhere.evaluate.report import Table

#: Faults shown of each kind.
SHOWN = 3


def eval_(
    benchmark: Annotated[str | None, typer.Option(help="Name of the benchmark (--list shows all).")] = None,
    annotations: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The benchmark's released file, or folder where it has several.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers to score; a second file after it is compared with it.")
    ] = None,
    second: Annotated[
        Path | None, typer.Argument(metavar="[FILE2]", help="Further answers to the same items.", show_default=False)
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="How to count.", show_default="as the benchmark's papers do")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse a file with any fault instead of counting it as wrong; what a model said is no fault.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report and the score of every item.")] = None,
    export: Annotated[
        str | None, typer.Option(help="Files to write, of: json, items, parquet, md, tex, csv, html (comma-separated).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and nothing else.")] = False,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The benchmark's training file: the best constant is fitted on it."),
    ] = None,
    blind: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers made without any picture, to stand beside.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of the answers.", show_default="found by looking at the file")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling and the swaps.")] = 0,
    list_: Annotated[
        bool, typer.Option("--list", help="Print all benchmarks, protocols and formats, and leave.")
    ] = False,
) -> None:
    """Score answers to a benchmark exactly as a named protocol counts, with constant answers beside them.

    Exit status: 0 done, 1 a file cannot be used (or has faults, with --strict), 2 wrong usage.
    """
    from whenwhere.errors import SettingError

    if list_:
        _list(json_)
        return
    if benchmark is None or predictions is None:
        lacking = "--benchmark NAME" if benchmark is None else "--predictions FILE"
        raise SettingError(f"whenwhere eval needs {lacking}; `whenwhere eval --list` shows benchmarks and protocols")
    if export is not None and out is None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    names = _files(export)
    options.check_folder(out)
    reports = _evaluate(
        benchmark, annotations, [predictions, *([second] if second else [])], protocol, format_, train, blind, seed
    )
    for report in reports:
        _complain(report)
    if strict:
        _refuse(reports)
    files = _write(reports, out, names) if out is not None else []
    _print(reports, json_)
    _tell(files, json_, lacks_page=export is None and "html" not in names)


def _files(export: str | None) -> tuple[str, ...]:
    """The names in `--export`, checked before any work."""
    import importlib.util

    from whenwhere.errors import MissingExtraError, SettingError
    from whenwhere.evaluate.report import DEFAULT, FILES

    needs = {"html": ("matplotlib", "report", "report.html"), "parquet": ("pyarrow", "data", "items.parquet")}
    if export is None:
        return (*DEFAULT, *(["html"] if importlib.util.find_spec("matplotlib") else []))
    names = tuple(dict.fromkeys(name.strip().lower() for name in export.split(",") if name.strip()))
    for name in names:
        if name not in FILES:
            raise SettingError(f"there is no report file {name!r}; choose from {', '.join(FILES)}")
        if name in needs and not importlib.util.find_spec(needs[name][0]):
            raise MissingExtraError(needs[name][0], needs[name][1], f"writing {needs[name][2]}")
    return names


def _evaluate(
    benchmark: str,
    annotations: Path | None,
    predictions: list[Path],
    protocol: str | None,
    format: str | None,
    train: Path | None,
    blind: Path | None,
    seed: int,
) -> "list[Report]":
    from whenwhere.cli.console import Waiting
    from whenwhere.datasets import read_items
    from whenwhere.errors import SettingError
    from whenwhere.evaluate.evaluation import assess, find_benchmark, find_protocol
    from whenwhere.evaluate.formats import read_predictions
    from whenwhere.evaluate.matrices import MATRICES, report

    if benchmark in MATRICES:
        for name, value in (("--train", train), ("--blind", blind), ("--format", format)):
            if value is not None:
                raise SettingError(
                    f"{name} does not go with {benchmark}, whose file holds all that is scored: leave it out"
                )
        return [report(benchmark, path, annotations, protocol, seed=seed) for path in predictions]
    bench = find_benchmark(benchmark)
    counted = find_protocol(protocol, bench)
    if annotations is None:
        raise SettingError(f"whenwhere eval needs --annotations FILE: give {bench.files}")
    with Waiting(f"scoring {predictions[0].name}"):
        items = read_items(bench, annotations)
        trained = read_items(bench, train) if train else None
        unseen = read_predictions(blind, items, bench, format) if blind else None
        extra = {"train": str(train)} if train else {}
        extra |= {"blind": str(blind)} if blind else {}
        return [
            assess(
                bench,
                counted,
                items,
                read_predictions(path, items, bench, format),
                train=trained,
                blind=unseen,
                files={"annotations": str(annotations), "predictions": str(path), **extra},
                seed=seed,
            )
            for path in predictions
        ]


def _complain(report: "Report") -> None:
    """Faults of a file on stderr: the first of each kind, then how many more."""
    from whenwhere.cli.console import note

    shown: Counter[str] = Counter()
    for fault in report.faults:
        shown[fault.kind] += 1
        if shown[fault.kind] <= SHOWN:
            note(fault.message, "yellow")
    for kind, count in shown.items():
        if count > SHOWN:
            note(f"{report.files['predictions']}: {count - SHOWN} more of this kind: {kind}", "yellow")


def _refuse(reports: "list[Report]") -> None:
    """With --strict: leave where a file has a fault or lacks an answer."""
    from whenwhere.errors import RecordError

    for report in reports:
        faults: list[Fault] = report.faults
        if faults:
            kinds = Counter(fault.kind for fault in faults)
            if "missing" in kinds:
                # one sentence names them all
                kinds["missing"] = report.status.get("missing", kinds["missing"])
            said = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
            raise RecordError(
                f"{report.files['predictions']} is refused by --strict: {said}; mend the file, or leave --strict out "
                "to count them as wrong"
            )


def _print(reports: "list[Report]", json_: bool) -> None:
    from whenwhere.cli.console import note, out
    from whenwhere.evaluate.compare import compare
    from whenwhere.evaluate.report import comparison_tables, tables

    found = compare(*reports) if len(reports) == 2 else None
    if json_:
        for report in reports:
            sys.stdout.write(json.dumps(report.data(), ensure_ascii=False) + "\n")
        if found is not None:
            sys.stdout.write(json.dumps({"version": 1, "comparison": found.data()}, ensure_ascii=False) + "\n")
        return
    for report in reports:
        if len(reports) == 2:
            out.rule(report.files["predictions"])
        for table in tables(report, brief=True):
            # what must be said was said on stderr
            if table.title != "What must be said":
                _show(table)
        for said in report.notes:
            note(said, "yellow")
    for table in comparison_tables(found, brief=True) if found is not None else ():
        _show(table)


def _show(table: "Table") -> None:
    """A table; in a pipe as wide as it needs."""
    from rich.console import Console
    from rich.text import Text

    from whenwhere.cli.console import out
    from whenwhere.evaluate.report import rich_table

    shown = out if out.is_terminal else Console(width=10_000, highlight=False)
    for part in table.within(shown.width):
        shown.print(rich_table(part))
    if table.note:
        shown.print(Text(f"{table.note}\n", "dim"), soft_wrap=False)


def _write(reports: "list[Report]", out: Path, names: tuple[str, ...]) -> list[Path]:
    """The files; of two reports each gets a folder of its own, and the comparison stands beside them."""
    from whenwhere.evaluate.compare import compare
    from whenwhere.evaluate.report import comparison_tables, markdown, write
    from whenwhere.store import write_text

    found = compare(*reports) if len(reports) == 2 else None
    folders = [out] if found is None else [out / "first", out / "second"]
    files = [path for report, folder in zip(reports, folders, strict=True) for path in write(report, folder, names)]
    if found is not None:
        files.append(write_text(out / "comparison.json", json.dumps(found.data(), ensure_ascii=False, indent=1) + "\n"))
        files.append(write_text(out / "comparison.md", markdown(comparison_tables(found))))
    return files


def _tell(files: list[Path], json_: bool, lacks_page: bool) -> None:
    """What was written."""
    from whenwhere.cli.console import note
    from whenwhere.cli.console import out as stdout

    for path in files:
        if json_:
            note(f"wrote {path}")
        else:
            stdout.print(f"wrote {path}", markup=False)
    if files and lacks_page:
        note("no report.html: it needs matplotlib: pip install 'whenwhere[report]'", "dim")


def _list(json_: bool) -> None:
    """Benchmarks, protocols with their switches, and formats."""
    from whenwhere.cli.console import out
    from whenwhere.evaluate.listing import benchmark_table, format_table, protocol_tables

    found = [benchmark_table(), *protocol_tables(), format_table()]
    if json_:
        for table in found:
            for row in table.rows:
                cells = dict(zip(table.columns, row, strict=True))
                sys.stdout.write(json.dumps({"table": table.title, **cells}, ensure_ascii=False) + "\n")
        return
    for table in found:
        # a terminal is narrow: what is long stands in a pipe, in --json and in docs/evaluation.md
        _show(table.without("title", "source", "licence", "measures") if out.is_terminal else table)
