"""`whenwhere ground`: one video, one or more sentences."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options
from whenwhere.records import check_query

if TYPE_CHECKING:
    from whenwhere.cli.job import Job, Tally

#: Exit status of an unsure answer where one was required.
UNSURE = 3
#: Exit status after Ctrl-C, as shells count it.
INTERRUPTED = 130


def ground(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, a folder of pictures, an http(s) address, or - for stdin.")
    ],
    sentences: Annotated[
        list[str], typer.Argument(metavar="SENTENCE", help="What to look for; several are answered from one index.")
    ],
    model: options.Model = "motion",
    pipeline: options.Pipeline = "second-level",
    samples: options.Samples = 1,
    rate: options.Rate = 1.0,
    sample_fps: options.SampleFps = None,
    fill: options.Fill = "flow",
    smooth: options.Smooth = "none",
    within: Annotated[str | None, typer.Option(metavar="A-B", help="Search only there: 12.5-20 or 0:12-0:20.")] = None,
    span: Annotated[str | None, typer.Option(metavar="A-B", help="The time is known: find the boxes only.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for files; alone it writes the page.")] = None,
    export: options.Export = None,
    frames: options.Frames = False,
    json_: options.Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and do nothing.")] = False,
    trace: options.Trace = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    cache: options.Cache = None,
    frame_rate: options.FrameRate = 25.0,
    max_download: options.MaxDownload = 4.0,
    require_answer: Annotated[
        bool, typer.Option("--require-answer", help=f"Exit with {UNSURE} where an answer is unsure.")
    ] = False,
) -> None:
    """When and where is what a SENTENCE says in VIDEO?

    Prints each answer; with --out it is also kept in OUT/<video>/, with a page to look at.

    Exit status: 0 done, 1 some failed, 2 wrong usage, 3 unsure with --require-answer, 130 interrupted.
    """
    from whenwhere.cli.job import Job
    from whenwhere.session import check_model
    from whenwhere.settings import GroundingSettings

    settings = GroundingSettings(
        rate=rate,
        sample_fps=sample_fps,
        fill=fill,
        smooth=smooth,
        within=options.read_span(within, "--within"),
        span=options.read_span(span, "--span"),
        frames=frames,
        seed=seed,
        pipeline=pipeline,
        samples=samples,
        trace=trace,
    )
    check_model(model, settings, device)
    exports = options.read_exports(export, out, default=("html",))
    job = Job(settings, model, cache, frame_rate, max_download, out, exports, device=device)
    if dry_run:
        _estimate(job, video, sentences, json_)
        return
    options.check_folder(out)
    tally = _answer(job, video, sentences, json_)
    if tally.failed:
        raise typer.Exit(1)
    if require_answer and tally.statuses["unsure"]:
        raise typer.Exit(UNSURE)


def _answer(job: "Job", video: str, sentences: list[str], json: bool) -> "Tally":
    from whenwhere.cli.console import Teller, Waiting, note, out, shortened
    from whenwhere.cli.job import Tally, run

    tally = Tally()
    try:
        with Waiting(f"looking at {shortened(video)}") as waiting:
            say = Teller(json, brief=False, waiting=waiting)
            page = run(replace(job, progress=waiting.share), video, sentences, tally, say)
    except KeyboardInterrupt:
        kept = f"; what is done is in {job.out}" if job.out and tally.questions else ""
        note(f"interrupted after {tally.questions} of {len(sentences)} sentences{kept}")
        raise typer.Exit(INTERRUPTED) from None
    if tally.failed and len(sentences) + tally.unwritten > 1:
        note(f"{len(sentences)} sentences: {tally}")
    if page is not None:
        (note if json else out.print)(f"page: {page}")
    elif not json and job.out is None and out.is_terminal:
        note("add --out DIR to see it: a page with the boxes drawn over the video", "dim")
    return tally


def _estimate(job: "Job", video: str, sentences: list[str], json_: bool) -> None:
    """What the command would cost."""
    from whenwhere.cli.console import out

    with job.open(video) as session:
        job.settings.check_video(session.info)
        costs = [session.estimate(job.settings, check_query(sentence)) for sentence in sentences]
        info = session.info
    # a built-in model looks at a video once, whatever the number of sentences
    cost = _together(costs) if "steps" in costs[0] else costs[0]
    if json_:
        shown = {"video": video, "duration": round(info.duration, 3), "sentences": len(sentences), **cost}
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    out.print(
        f"{video}: {info.duration:.1f} s, {info.width}×{info.height}, {info.fps:.4g} frames per second", markup=False
    )
    out.print(f"{len(sentences)} sentence{'s' * (len(sentences) != 1)}: {_counted(cost)}", markup=False)
    for name, step in cost.get("steps", {}).items():
        out.print(f"  {name}: {_counted(step)}", markup=False)
    if "assumed_seconds" in cost and job.settings.span is None:
        out.print(f"  if each sentence's answer is one span of {cost['assumed_seconds']:g} s", markup=False)
    if job.out is not None:
        out.print(f"would write to {job.out}: {', '.join(job.exports)}", markup=False)


def _counted(cost: dict[str, Any]) -> str:
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in cost.items() if isinstance(v, int))


def _together(costs: list[dict[str, Any]]) -> dict[str, Any]:
    """The costs of several sentences added up; what is assumed of each is the same for all."""
    total = dict(costs[0])
    for key, value in total.items():
        if key == "steps":
            total[key] = {name: _together([c["steps"][name] for c in costs]) for name in value}
        elif isinstance(value, int):
            total[key] = sum(c[key] for c in costs)
    return total
