"""`whenwhere ground`: answers one or more sentences about one video."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options
from whenwhere.cli.process import INTERRUPTED
from whenwhere.records import check_query

if TYPE_CHECKING:
    from whenwhere.batching import BatchJob, BatchResult

#: Exit status of an unsure answer with --require-answer.
UNSURE = 3


def ground_command(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, a folder of pictures, an http(s) address, or - for stdin.")
    ],
    sentences: Annotated[
        list[str],
        typer.Argument(metavar="SENTENCE", help="What to look for. One analysis of the video serves all sentences."),
    ],
    model: options.Model = "auto",
    pipeline: options.Pipeline = "second-level",
    samples: options.Samples = 1,
    rate: options.Rate = 1.0,
    sample_fps: options.SampleFps = None,
    fill: options.Fill = "flow",
    smooth: options.Smooth = "none",
    snap: options.Snap = False,
    within: Annotated[
        str | None, typer.Option(metavar="A-B", help="Search only in this time window: 12.5-20 or 0:12-0:20.")
    ] = None,
    span: Annotated[
        str | None, typer.Option(metavar="A-B", help="The time is already known: find only the boxes in this window.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the records and exports; by default the export is an HTML page.")
    ] = None,
    export: options.Export = None,
    frames: options.Frames = False,
    json_: options.Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Estimate what the answers would cost, and stop.")] = False,
    trace: options.Trace = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    concurrency: options.Concurrency = None,
    cache: options.Cache = None,
    frame_rate: options.FrameRate = 25.0,
    max_download: options.MaxDownload = 4.0,
    require_answer: Annotated[
        bool, typer.Option("--require-answer", help=f"Exit with status {UNSURE} if an answer is unsure.")
    ] = False,
) -> None:
    """Find when and where VIDEO shows what a SENTENCE says.

    Prints each answer. With --out the answers are also saved in OUT/<video>/, by default with an HTML page.

    Exit status: 0 done, 1 some sentences failed, 2 wrong usage,
    3 an answer is unsure (with --require-answer), 130 interrupted.
    """
    from whenwhere.batching import BatchJob
    from whenwhere.cli.answers import ConsoleCallback
    from whenwhere.cli.console import Waiting, shortened
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
        snap=snap,
    )
    check_model(model, settings, device, concurrency)
    with Waiting(f"looking at {shortened(video)}") as waiting:
        job = BatchJob(
            settings,
            model,
            out,
            options.read_exports(export, out, default=("html",)),
            cache=cache,
            frame_rate=frame_rate,
            max_download=max_download,
            device=device,
            concurrency=concurrency,
            callback=ConsoleCallback(json_, brief=False, waiting=waiting),
        )
        if dry_run:
            _print_estimate(job, video, sentences, json_)
            return
        options.check_folder(out)
        result = _answer(job, video, sentences)
    _print_result(result, len(sentences), json_)
    if result.failed:
        raise typer.Exit(1)
    if require_answer and result.statuses["unsure"]:
        raise typer.Exit(UNSURE)


def _answer(job: "BatchJob", video: str, sentences: list[str]) -> "BatchResult":
    """Answer the sentences; after Ctrl-C say how many are done and end with status 130."""
    from whenwhere.batching import BatchResult, answer_video
    from whenwhere.cli.console import note
    from whenwhere.datasets.item import Item

    result = BatchResult(job.out, len(sentences), 1)
    try:
        answer_video(job, video, [Item("", video, sentence) for sentence in sentences], result)
    except KeyboardInterrupt:
        kept = f"; finished answers are in {job.out}" if job.out and result.done else ""
        note(f"interrupted after {result.done} of {len(sentences)} sentences{kept}")
        raise typer.Exit(INTERRUPTED) from None
    return result


def _print_result(result: "BatchResult", sentences: int, json_: bool) -> None:
    """Say how many failed, and where the page is."""
    from whenwhere.cli.console import note, out

    if result.failed and sentences + result.unwritten > 1:
        note(f"{sentences} sentences: {result}")
    for page in result.pages:
        (note if json_ else out.print)(f"page: {page}")
    if not json_ and result.out is None and out.is_terminal:
        note("add --out DIR to get a page with the boxes drawn over the video", "dim")


def _print_estimate(job: "BatchJob", video: str, sentences: list[str], json_: bool) -> None:
    """Print what the command would cost."""
    from whenwhere.cli.console import out, write_json

    with job.open(video) as session:
        job.settings.check_video(session.info)
        costs = [session.estimate(job.settings, check_query(sentence)) for sentence in sentences]
        info = session.info
    # A built-in model looks at a video once, whatever the number of sentences.
    cost = _sum_costs(costs) if "steps" in costs[0] else costs[0]
    if json_:
        shown = {"video": video, "duration": round(info.duration, 3), "sentences": len(sentences), **cost}
        write_json(json.dumps(shown))
        return
    out.print(
        f"{video}: {info.duration:.1f} s, {info.width}×{info.height}, {info.fps:.4g} frames per second", markup=False
    )
    out.print(f"{len(sentences)} sentence{'s' * (len(sentences) != 1)}: {_as_text(cost)}", markup=False)
    for name, step in cost.get("steps", {}).items():
        out.print(f"  {name}: {_as_text(step)}", markup=False)
    if "assumed_seconds" in cost and job.settings.span is None:
        out.print(f"  assuming that each answer is one span of {cost['assumed_seconds']:g} s", markup=False)
    if job.out is not None:
        out.print(f"would write to {job.out}: {', '.join(job.exports)}", markup=False)


def _as_text(cost: dict[str, Any]) -> str:
    """The whole numbers of a cost with their names."""
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in cost.items() if isinstance(v, int))


def _sum_costs(costs: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of the costs of several sentences; what is assumed about each is the same for all."""
    total = dict(costs[0])
    for key, value in total.items():
        if key == "steps":
            total[key] = {name: _sum_costs([c["steps"][name] for c in costs]) for name in value}
        elif isinstance(value, int):
            total[key] = sum(c[key] for c in costs)
    return total
