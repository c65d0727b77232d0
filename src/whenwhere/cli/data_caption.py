"""`whenwhere data caption` and `sample`: captions of clips at several scales, and samples of them."""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.curate.captioning import CaptionReport

Prompt = Annotated[
    str, typer.Option(help="What this captioner is asked.", show_default="the default of its kind of model")
]


def caption(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="Folders, videos, or manifests (.jsonl, .parquet) that name videos."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Manifest to which captioned clips are added (.jsonl); clips that it holds already are passed over.",
        ),
    ],
    coarse: Annotated[
        str,
        typer.Option(
            help="Captioner of each clip's middle frame: a BLIP, BLIP-2, Florence-2 or vision-language model by hub id "
            "or folder, a server, http://host:8000/v1#name, or module:function. Frames leave this machine only if you "
            "name an address."
        ),
    ] = "",
    fine: Annotated[str, typer.Option(help="Captioner or tagger of frames at --fps, named as for --coarse.")] = "",
    fused: Annotated[
        str,
        typer.Option(help="Language model that fuses both captions: http://host:8000/v1#name, or module:function."),
    ] = "",
    coarse_prompt: Prompt = "",
    fine_prompt: Annotated[
        str,
        typer.Option(
            help="What the fine captioner is asked; <OD> asks Florence-2 for tags.",
            show_default="the default of its kind of model",
        ),
    ] = "",
    fps: Annotated[float, typer.Option(help="Frames per second that the fine captioner sees.")] = 1.0,
    frames: Annotated[int, typer.Option(min=1, help="Most frames of a clip that the fine captioner sees.")] = 32,
    words: Annotated[
        int, typer.Option(help="Most words of a fused caption that the language model is asked for.")
    ] = 30,
    shots: Annotated[
        str,
        typer.Option(
            help="How clips are found: content (cuts), transnetv2, whole, items (of a manifest), or module:function "
            "from a path to seconds."
        ),
    ] = "content",
    shortest: Annotated[float, typer.Option(help="Shots that last fewer seconds are left out.")] = 2.0,
    longest: Annotated[float, typer.Option(help="Shots that last more seconds are divided into equal parts.")] = 30.0,
    clips: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write each clip as an mp4 file, without encoding it again where possible."
        ),
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Video-text encoder that measures how well captions fit (for `data sample --how flt`).")
    ] = "",
    aesthetics: Annotated[
        str, typer.Option(help="Function that scores frames: module:function from an array (n, h, w, 3) to n scores.")
    ] = "",
    tracks: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Manifest with labelled true boxes, with which the claims of captions are compared."
        ),
    ] = None,
    detector: Annotated[
        str, typer.Option(help="Detector to use for that instead of --tracks: a hub id or folder.")
    ] = "",
    vocabulary: Annotated[
        str, typer.Option(help='With --detector: what else to look for, to measure recall, such as "person, car, dog".')
    ] = "",
    max_cost: options.MaxCost = None,
    dry_run: options.DryRun = False,
    json_: options.JsonObject = False,
    engine: options.Engine = None,
    workers: options.Workers = None,
    device: options.Device = None,
    concurrency: options.Concurrency = None,
    cache: options.Cache = None,
) -> None:
    """Cut videos into clips and caption each at several scales: coarse, fine, and both fused.

    Exit status: 0 done, 1 some videos or clips could not be captioned (rerun to try them again), 2 wrong usage,
    130 interrupted (finished clips are kept).
    """
    from whenwhere.chat import Budget
    from whenwhere.cli.console import Waiting, note_faults, show_estimate, write_json
    from whenwhere.cli.process import resumable
    from whenwhere.curate.captioning import caption_videos, estimate, open_models
    from whenwhere.curate.captions import CaptionJob
    from whenwhere.errors import SettingError
    from whenwhere.models.backends.base import BackendOptions
    from whenwhere.store import Cache

    job = CaptionJob(
        coarse, fine, fused, coarse_prompt, fine_prompt, fps=fps, frames=frames, words=words, shots=shots,
        shortest=shortest, longest=longest, encoder=encoder, aesthetics=aesthetics, detector=detector,
        vocabulary=tuple(word.strip() for word in vocabulary.split(",") if word.strip()),
    )  # fmt: skip
    if max_cost is not None and engine is not None:
        raise SettingError("workers of an engine share no budget: leave out --max-cost or --engine")
    options.check_folder(out.parent)
    if clips is not None and not dry_run:
        options.check_folder(clips)
    kept = Cache(cache)
    how = BackendOptions(kept, device, concurrency, None if max_cost is None else Budget(tokens=max_cost))
    with ExitStack() as stack:
        models = open_models(job, how, tracks, stack)
        if dry_run:
            with Waiting("finding the clips"):
                plan = estimate(sources, out, models, job, kept)
            show_estimate(plan, json_)
            return
        with resumable(out), Waiting("captioning") as waiting, options.opened_engine(engine, workers) as opened:
            report = caption_videos(
                sources, out, models, job, clips, kept, lambda done, of: waiting.share(done / of), opened,
                partial(open_models, job, how, tracks),
            )  # fmt: skip
    if json_:
        write_json(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        _tell(report, out)
    note_faults(report.faults)
    if report.faults or not report.written:
        raise typer.Exit(1)


def sample(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest of captioned clips.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write: .jsonl or .parquet.")],
    how: Annotated[
        str,
        typer.Option(
            help="all, random, div (clips of videos with many clips are drawn less often) or flt (div among the 30 % "
            "whose caption fits best)."
        ),
    ] = "all",
    count: Annotated[int | None, typer.Option(help="Most clips to draw.", show_default="no limit")] = None,
    captions: Annotated[
        str,
        typer.Option(help="The caption that a clip must have, and that is compared for flt: coarse, fine or fused."),
    ] = "fused",
    table: Annotated[
        bool, typer.Option("--table", help="Write InternVid's table (YoutubeID, Caption ...) instead of a manifest.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the draw; 42 is InternVid's.")] = 42,
    json_: options.JsonObject = False,
) -> None:
    """Draw clips from captions as InternVid's DIV and FLT do, as a manifest or as InternVid's table.

    Exit status: 0 done, 1 lines could not be read, 2 wrong usage.
    """
    from whenwhere.cli.console import counted, note_faults, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.internvid import write_sample

    number, own = write_sample(file, out, how, count, seed, captions, table)
    if json_:
        write_json(json.dumps({"clips": number, "of": len(own.items), "faults": own.faults}, ensure_ascii=False))
    else:
        stdout.print(f"wrote {out}: {counted(number, 'clip')} of {len(own.items)}", markup=False)
    note_faults(own.faults)
    if own.faults:
        raise typer.Exit(1)


def _tell(report: "CaptionReport", out: Path) -> None:
    """Print for a person how many clips have captions, and how long and how true those are."""
    from rich.table import Table

    from whenwhere.cli.console import counted, show_table
    from whenwhere.cli.console import out as stdout

    stdout.print(
        f"{out}: {report.written} of {counted(report.clips, 'clip')} of {counted(report.videos, 'video')} have "
        f"captions, {report.resumed} were done before",
        markup=False,
    )
    table = Table("captions", "words", "similarity", "objects: precision, recall", "directions: precision, recall")
    for scale, words in report.words.items():
        checks = report.claims.get(scale, {})
        shares = [
            "-" if kind not in checks else f"{_share(checks[kind]['precision'])}, {_share(checks[kind]['recall'])}"
            for kind in ("objects", "directions")
        ]
        table.add_row(scale, f"{words:.1f}", _share(report.similarity.get(scale)), *shares)
    show_table(table)
    for reason, count in report.empty.most_common():
        stdout.print(f"  without: {count} {reason}", markup=False)
    if report.copied or report.encoded:
        reasons = "; ".join(f"{count} because {reason}" for reason, count in report.encoded.most_common())
        stdout.print(f"  clips: {report.copied} copied, {report.encoded.total()} encoded again ({reasons or 'none'})")


def _share(value: float | None) -> str:
    """A share with three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"
