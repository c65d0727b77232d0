"""`whenwhere batch`: answers many questions about many videos. `whenwhere.batch` does the work."""

from pathlib import Path
from typing import Annotated

import typer

from whenwhere.cli import options
from whenwhere.cli.process import INTERRUPTED


def batch_command(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST", help="A .jsonl, .csv or .parquet file with `video` and `query`, or a folder of videos."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for answers: OUT/index.html, OUT/<video>/grounding.jsonl and exports.")
    ],
    sentence: Annotated[
        list[str] | None,
        typer.Option(help="If MANIFEST is a folder: what to look for in each of its videos; repeatable."),
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="If MANIFEST is a folder: a text file with one sentence per line.")
    ] = None,
    model: options.Model = "auto",
    pipeline: options.Pipeline = "second-level",
    samples: options.Samples = 1,
    rate: options.Rate = 1.0,
    sample_fps: options.SampleFps = None,
    fill: options.Fill = "flow",
    smooth: options.Smooth = "none",
    snap: options.Snap = False,
    export: options.Export = None,
    frames: options.Frames = False,
    json_: options.Json = False,
    trace: options.Trace = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    concurrency: options.Concurrency = None,
    engine: options.Engine = None,
    workers: options.Workers = None,
    cache: options.Cache = None,
    frame_rate: options.FrameRate = 25.0,
    max_download: options.MaxDownload = 4.0,
) -> None:
    """Answer many questions about many videos. An interrupted run resumes if it is started again.

    A bad video or line never stops the others: each question about a bad video gets a record with status failed.

    Exit status: 0 done, 1 some questions failed, 2 wrong usage, 130 interrupted (finished answers are kept).
    """
    from whenwhere.batching import batch
    from whenwhere.cli.answers import ConsoleCallback
    from whenwhere.cli.console import Waiting, note
    from whenwhere.settings import GroundingSettings

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
        snap=snap,
    )
    asked = [*(sentence or []), *(options.read_sentences(sentences) if sentences else [])]
    exports = options.read_exports(export, out, ())
    options.check_folder(out)
    try:
        with Waiting(f"reading {manifest}") as waiting:
            callback = ConsoleCallback(json_, brief=True, waiting=waiting)
            result = batch(
                manifest,
                out,
                model=model,
                settings=settings,
                sentences=asked,
                exports=exports,
                cache=cache,
                frame_rate=frame_rate,
                max_download=max_download,
                device=device,
                concurrency=concurrency,
                callback=callback,
                engine=engine,
                workers=workers,
            )
    except KeyboardInterrupt:
        so_far = callback.result
        note(f"interrupted after {so_far.done} of {so_far.questions} questions ({so_far}); rerun to resume")
        raise typer.Exit(INTERRUPTED) from None
    faults = f"; {len(result.faults)} lines of {manifest} could not be used" if result.faults else ""
    note(f"{result.questions} questions about {result.videos} videos: {result}{faults}")
    if result.failed or result.faults:
        raise typer.Exit(1)
