"""`whenwhere data measure`: looks at every video of a manifest."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.cli import options

#: Number of faults that are named.
SHOWN = 3
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


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
    json_: Json = False,
) -> None:
    """Measure every video of a manifest: length, frames, size and content, and whether it can be read.

    Exit status: 0 done, 1 some videos or lines could not be read, 2 wrong usage,
    130 interrupted (finished parts are kept; rerun to go on).
    """
    from whenwhere.cli.console import Waiting, counted, note, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.cli.ground import INTERRUPTED
    from whenwhere.curate.measurement import measure as measure_videos
    from whenwhere.errors import SettingError

    if videos is not None and not videos.is_dir():
        raise SettingError(f"--videos {videos} is not a folder: give the folder of the videos")
    try:
        with (
            Waiting(f"measuring {manifest.name}") as waiting,
            options.opened_engine(engine, workers) as own,
        ):
            assert own is not None
            report = measure_videos(
                manifest, out, own, videos=videos, form=form, rows=rows,  # type: ignore[arg-type]
                tell=lambda done, of: waiting.share(done / of),
            )  # fmt: skip
    except KeyboardInterrupt:
        note(f"interrupted; finished parts are in {out}, rerun to go on")
        raise typer.Exit(INTERRUPTED) from None
    if json_:
        write_json(json.dumps(asdict(report), ensure_ascii=False))
    else:
        stdout.print(
            f"{out}: {counted(report.shards, 'part')}, {report.resumed} of them made before; "
            f"{counted(report.rows, 'row')} measured now",
            markup=False,
        )
    for sentence in report.faults[:SHOWN]:
        note(sentence, "red")
    if report.failed or report.unreadable:
        note(f"{counted(report.failed, 'video')} and {counted(report.unreadable, 'line')} could not be read", "red")
        raise typer.Exit(1)
