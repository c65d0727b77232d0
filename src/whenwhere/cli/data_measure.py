"""`whenwhere data measure`: measures the length, size and content of every video of a manifest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.cli import options


def measure(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A manifest: .jsonl, .parquet, or a folder of parts of one.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder for part-00000.parquet and so on. If it exists, only missing parts are made."
        ),
    ],
    videos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the videos.", show_default="the manifest's own folder"),
    ] = None,
    form: Annotated[str, typer.Option(help="Format of the parts: parquet or jsonl.")] = "parquet",
    rows: Annotated[int, typer.Option(min=1, help="Rows of the manifest in a part.")] = 1024,
    engine: options.Engine = "local",
    workers: options.Workers = None,
    json_: options.JsonObject = False,
) -> None:
    """Measure every video of a manifest: length, frames, size and content, and whether it can be read.

    Exit status: 0 done, 1 some videos or lines could not be read, 2 wrong usage,
    130 interrupted (finished parts are kept; rerun to go on).
    """
    from whenwhere.cli.console import Waiting, counted, note_faults, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.cli.process import resumable
    from whenwhere.curate.measurement import measure as measure_videos

    options.check_videos(videos)
    with (
        resumable(out),
        Waiting(f"measuring {manifest.name}") as waiting,
        options.opened_engine(engine, workers) as opened,
    ):
        assert opened is not None
        report = measure_videos(
            manifest, out, opened, videos=videos, form=form, rows=rows,  # type: ignore[arg-type]
            tell=lambda done, of: waiting.share(done / of),
        )  # fmt: skip
    if json_:
        write_json(json.dumps(asdict(report), ensure_ascii=False))
    else:
        stdout.print(
            f"{out}: {counted(report.shards, 'part')}, {report.resumed} of them made before; "
            f"{counted(report.rows, 'row')} measured now",
            markup=False,
        )
    bad = f"{counted(report.failed, 'video')} and {counted(report.unreadable, 'line')} could not be read"
    note_faults(report.faults, bad)
    if report.failed or report.unreadable:
        raise typer.Exit(1)
