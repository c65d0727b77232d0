"""`whenwhere train status`: how far runs are, what they measured, and what looks wrong (`training.status`)."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def train_status_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    html: Annotated[bool, typer.Option("--html", help="Write RUN/status.html too, with the curves.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one line of JSON for each run on stdout.")] = False,
) -> None:
    """Show how far training runs are, while they go on or afterwards.

    Exit status: 0 done, 1 the page cannot be written, 2 a folder holds no run.
    """
    from rich.text import Text

    from whenwhere.cli.console import note, out, write_json
    from whenwhere.training.status import run_status, summary
    from whenwhere.training.status_page import write_status_page

    for run in runs:
        status = run_status(run)
        page = write_status_page(status) if html else None
        if json_:
            entry = asdict(status) | {"folder": str(run)} | ({} if page is None else {"page": str(page)})
            del entry["curves"]
            write_json(json.dumps(entry, ensure_ascii=False))
            continue
        out.print(Text(f"{run}: {status.recipe or 'a run'}" + (f" ({status.stage})" if status.stage else "")))
        for line in summary(status):
            out.print(Text(f"  {line}"))
        for warning in status.warnings:
            out.print(Text(f"  warning: {warning}", style="yellow"))
        if page is not None:
            note(f"wrote {page}", "")
