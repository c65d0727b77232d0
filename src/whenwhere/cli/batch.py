"""`whenwhere batch`: a manifest of questions, or a folder of videos with sentences.

Questions are grouped by video, so each video is opened and indexed once, whatever the manifest's order. Running the
same command again goes on where it stopped: a question counts as done when the line of this very video content,
sentence, model and settings is in its `grounding.jsonl`; failed ones are tried again.

Left out: several processes (start one for each part of the manifest; they share the cache and may share --out as long
as no video is in two parts).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options
from whenwhere.cli.ground import INTERRUPTED

if TYPE_CHECKING:
    from whenwhere.cli.manifest import Manifest


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="A .jsonl, .csv or .parquet file with `video` and `query`, or a folder of videos."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for answers: OUT/<video>/grounding.jsonl and exports.")],
    sentence: Annotated[
        list[str] | None, typer.Option(help="What to look for in a folder's videos; repeatable.")
    ] = None,
    sentences: Annotated[Path | None, typer.Option(help="File with one sentence per line, for a folder.")] = None,
    model: options.Model = "motion",
    pipeline: options.Pipeline = "second-level",
    samples: options.Samples = 1,
    rate: options.Rate = 1.0,
    sample_fps: options.SampleFps = None,
    fill: options.Fill = "flow",
    smooth: options.Smooth = "none",
    export: options.Export = None,
    frames: options.Frames = False,
    json_: options.Json = False,
    trace: options.Trace = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    cache: options.Cache = None,
    frame_rate: options.FrameRate = 25.0,
    max_download: options.MaxDownload = 4.0,
) -> None:
    """Answer many questions about many videos; run it again to go on.

    One bad video or line never stops the others: it becomes a record with status failed.

    Exit status: 0 done, 1 some failed, 2 wrong usage, 130 interrupted (what is done is kept).
    """
    from whenwhere.cli.console import Teller, Waiting, note
    from whenwhere.cli.job import Job, Tally, run
    from whenwhere.session import check_model
    from whenwhere.settings import GroundingSettings, printable

    settings = GroundingSettings(
        rate=rate,
        sample_fps=sample_fps,
        fill=fill,
        smooth=smooth,
        frames=frames,
        seed=seed,
        pipeline=pipeline,
        samples=samples,
        trace=trace,
    )
    check_model(model, settings, device)
    exports = options.read_exports(export, out, ())
    job = Job(settings, model, cache, frame_rate, max_download, out, exports, resume=True, device=device)
    asked = _read(manifest, sentence or [], sentences)
    options.check_folder(out)
    for fault in asked.faults:
        note(printable(fault), "red")
    tally = Tally()
    try:
        with Waiting(f"{len(asked)} questions about {len(asked.questions)} videos", total=len(asked)) as waiting:
            say = Teller(json_, brief=True, waiting=waiting)
            for video, queries in asked.questions.items():
                run(job, video, queries, tally, say)
    except KeyboardInterrupt:
        note(f"interrupted after {tally.questions} of {len(asked)} questions ({tally}); run it again to go on")
        raise typer.Exit(INTERRUPTED) from None
    faults = f"; {len(asked.faults)} lines of {manifest} could not be used" if asked.faults else ""
    note(f"{len(asked)} questions about {len(asked.questions)} videos: {tally}{faults}")
    if tally.failed or asked.faults:
        raise typer.Exit(1)


def _read(manifest: Path, sentence: list[str], sentences: Path | None) -> "Manifest":
    from whenwhere.cli.manifest import read_folder, read_manifest
    from whenwhere.errors import RecordError, SettingError

    if not manifest.is_dir():
        if sentence or sentences:
            raise SettingError("--sentence and --sentences go with a folder of videos; a manifest has its own")
        return read_manifest(manifest)
    asked = list(sentence)
    if sentences is not None:
        try:
            lines = sentences.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise RecordError(f"cannot read {sentences}: {getattr(e, 'strerror', None) or e}") from e
        asked += [line.strip() for line in lines if line.strip()]
    return read_folder(manifest, asked)
