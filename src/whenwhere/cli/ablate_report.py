"""`whenwhere ablate report`: makes tables, plots and a page of finished cells (`whenwhere.ablate.report`)."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study, a .json file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the cells, as in whenwhere ablate run.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the report.", show_default="OUT/report")
    ] = None,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Also compare cells of different code or data; the report then says so."),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the report as one line of JSON on stdout.")] = False,
) -> None:
    """Report what finished cells say about every arm, while a study runs or afterwards.

    Exit status: 0 done, 1 cells cannot be read or compared, 2 wrong usage.
    """
    from rich.text import Text

    from whenwhere.ablate.output import write_report
    from whenwhere.ablate.report import report as make_report
    from whenwhere.ablate.study import read_study
    from whenwhere.ablate.tables import summary, tables
    from whenwhere.cli.console import note, show_table, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.evaluate.table import rich_table

    found = make_report(read_study(study), out, allow_mixed)
    files = write_report(found, to or out / "report")
    if json_:
        write_json(found.model_dump_json())
    else:
        for line in summary(found):
            stdout.print(Text(line))
        for part in tables(found)[0].within(stdout.width if stdout.is_terminal else 10_000):
            show_table(rich_table(part))
    for file in files:
        note(f"wrote {file}")
