"""Options that several commands share, and how their texts are read."""

import re
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.errors import QueryError, RecordError, SettingError
from whenwhere.spans import Span
from whenwhere.store import make_folder

Model = Annotated[
    str,
    typer.Option(
        help="The model that answers: motion (built in), tiny (a small policy for practice), a folder or hub id of a "
        "vision-language model, or an address that serves one, http://host:8000/v1#name. Frames leave this machine "
        "only for an address that you name here."
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        help="How a model is asked: second-level, framewise, uniform, or detector. With detector the model chooses "
        "among the objects that a detector finds (detector:DETECTOR+PROPAGATOR names models other than Grounding DINO)."
    ),
]
Samples = Annotated[int, typer.Option(help="Samples per question; their agreement gives the confidence.")]
Trace = Annotated[bool, typer.Option("--trace", help="Keep each question to a model and its answer in the records.")]
Device = Annotated[
    str | None,
    typer.Option(help="Where a checkpoint runs: cuda, cuda:1, cpu. By default an accelerator, if there is one."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, help="Questions that an endpoint is sent at a time.", show_default="8"),
]
Rate = Annotated[float, typer.Option(help="Boxes per second in the answer.")]
SampleFps = Annotated[float | None, typer.Option(help="Frames per second to look at. By default the model chooses.")]
Fill = Annotated[str, typer.Option(help="How boxes between seconds are made: flow, linear, pchip or hold.")]
Smooth = Annotated[str, typer.Option(help="How boxes are smoothed: none, gauss, rts or hampel.")]
Seed = Annotated[int, typer.Option(help="Seed of models that draw at random.")]
Frames = Annotated[bool, typer.Option("--frames", help="Put a box for every frame into the records.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for what is computed about videos.", show_default="the user's cache folder")
]
FrameRate = Annotated[float, typer.Option(help="Pictures per second, if VIDEO is a folder of pictures.")]
MaxDownload = Annotated[float, typer.Option(help="The most gigabytes to take from an address or standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines records on stdout and nothing else there.")]
Export = Annotated[
    str | None,
    typer.Option(help="Files to write: json, csv, srt, vtt, mot, coco, cvat, mp4, clip, html (comma-separated)."),
]


def read_span(text: str | None, option: str) -> Span | None:
    """The time window that was typed.

    Args:
        text: `A-B`, each in seconds or as [h:]m:s, or None if the option was not given.
        option: Name of the option, for the error.

    Raises:
        QueryError: The text is not two times, or they are not in order.

    >>> read_span("12.5-20", "--span"), read_span("0:12-1:00:20.5", "--span")
    (Span(start=12.5, end=20.0, score=None), Span(start=12.0, end=3620.5, score=None))
    """
    if text is None:
        return None
    parts = re.split(r"\s*[-–]\s*", text.strip())
    try:
        start, end = map(_seconds, parts)
    except ValueError:
        raise QueryError(f"{option} {text!r} is not a time window: write it as 12.5-20 or 0:12-0:20") from None
    if not start < end:
        raise QueryError(f"{option} {text} has no length: its start must come before its end")
    return Span(start, end)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text):
        raise ValueError(text)
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def read_sentences(path: Path) -> list[str]:
    """The sentences of a text file, one per line.

    Raises:
        RecordError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise RecordError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    return [line.strip() for line in lines if line.strip()]


def read_exports(text: str | None, out: Path | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names in `--export`.

    Args:
        text: Names separated by commas, or None if the option was not given.
        out: The folder of `--out`; without it nothing can be written.
        default: What `--out` alone writes.

    Raises:
        SettingError: There is no `--out` to write to.
    """
    if out is None and text is not None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    if text is None:
        return default if out is not None else ()
    return tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))


def check_folder(out: Path | None) -> None:
    """Make the output folder, if there is one, before the work begins.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    if out is not None:
        make_folder(out)
