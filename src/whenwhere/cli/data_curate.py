"""`whenwhere data curate`: leaves items out of a set that a run should not learn from, and says why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.curate.curation import Curation
    from whenwhere.curate.set_filters import CurationSettings


def curate(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A manifest: .jsonl or .parquet.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for kept.jsonl, dropped.jsonl, the report and histograms.svg."),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Benchmark whose released file to curate instead (`whenwhere eval --list` shows all)."),
    ] = None,
    annotations: Annotated[Path | None, typer.Option(metavar="FILE", help="The released file of --benchmark.")] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='TOML file with limits of the filters; `key = "none"` lifts a limit.'),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One limit, such as max_fraction=0.6; repeatable."),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the videos: items of missing, unreadable and copied ones are left out."
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A model's answers, with which partly annotated items are found and, with agreement=0.3, wrong ones; "
            "repeatable.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[BENCHMARK=]FILE", help="A test set whose videos must not be among those kept; repeatable."
        ),
    ] = None,
    json_: options.JsonObject = False,
    engine: options.Engine = None,
    workers: options.Workers = None,
) -> None:
    """Leave items out of a manifest or released set that a run should not learn from, and report which and why.

    Exit status: 0 done, 1 lines could not be read or nothing is left, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, counted, note, note_faults, write_json
    from whenwhere.curate.curation import curate_file
    from whenwhere.errors import SettingError

    if (file is None) == (benchmark is None) or (benchmark is None) != (annotations is None):
        raise SettingError("give a manifest to curate, or --benchmark NAME with --annotations FILE")
    if out is None:
        raise SettingError("whenwhere data curate needs a folder to write to: add --out DIR")
    given = file or annotations
    assert given is not None
    with Waiting(f"curating {given.name}"), options.opened_engine(engine, workers) as opened:
        result = curate_file(
            given, out, _settings(settings, set_ or []), benchmark=benchmark, videos=videos, answers=answers or [],
            against=against or [], engine=opened,
        )  # fmt: skip
    if json_:
        write_json(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        _tell(result, given, out)
    lines = counted(len(result.faults), "line")
    note_faults(result.faults, f"{lines} of {given} could not be read; report.json lists them")
    if not result.kept:
        note(f"no item of {given} is left: see {out / 'report.md'}, and widen the filter that leaves out most", "red")
    if result.faults or not result.kept:
        raise typer.Exit(1)


def _settings(file: Path | None, changes: list[str]) -> "CurationSettings":
    """The limits of a TOML file, with changes of single keys."""
    from whenwhere.curate.set_filters import CurationSettings
    from whenwhere.errors import SettingError
    from whenwhere.readers import parse_toml, read_text
    from whenwhere.training.tables import checked, parsed

    table = {} if file is None else parse_toml(read_text(file, SettingError), str(file), SettingError)
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign:
            raise SettingError(f"--set {change} has no value: write it as key=value, such as max_fraction=0.6")
        table[key] = parsed(value)
    return checked(CurationSettings, table, str(file or "--set"))


def _tell(result: "Curation", given: Path, out: Path) -> None:
    """Print for a person how many items each filter left out, and how the set changed."""
    from rich.table import Table

    from whenwhere.cli.console import counted, note, show_table
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate import histograms

    stdout.print(f"{given}: {counted(len(result.items), 'item')}, {len(result.kept)} kept in {out}", markup=False)
    table = Table("filter", "left out", "alone", "no other", "why")
    for count in result.counts:
        if count.alone:
            table.add_row(count.name, str(count.dropped), str(count.alone), str(count.only), count.reason)
    if table.row_count:
        show_table(table)
    stdout.print(histograms.text(histograms.compared(result.items, result.kept)), markup=False)
    for said in result.notes:
        note(said, "yellow")
