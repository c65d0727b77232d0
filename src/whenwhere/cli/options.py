"""Options that several commands have, and how their texts are read."""

import re
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.errors import OutputError, QueryError, SettingError
from whenwhere.spans import Span

Model = Annotated[
    str,
    typer.Option(
        help="Who answers: motion (built in), tiny (a small policy for practice), a folder or hub id of a "
        "vision-language model, or an address that serves one, http://host:8000/v1#name. Frames leave this machine "
        "only for an address that you name here."
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        help="How a model is asked: second-level, framewise, uniform, or detector: it chooses among what "
        "a detector finds (detector:DETECTOR+PROPAGATOR names other models than Grounding DINO alone)."
    ),
]
Samples = Annotated[int, typer.Option(help="Ask a model so often for the time; agreement is the confidence.")]
Trace = Annotated[bool, typer.Option("--trace", help="Put what a model was asked and said into the records.")]
Device = Annotated[str | None, typer.Option(help="Where a checkpoint runs: cuda, cuda:1, cpu; the best if left out.")]
Rate = Annotated[float, typer.Option(help="Boxes per second in the answer.")]
SampleFps = Annotated[float | None, typer.Option(help="Frames per second to look at; the model's choice if left out.")]
Fill = Annotated[str, typer.Option(help="Boxes between seconds: flow, linear, pchip or hold.")]
Smooth = Annotated[str, typer.Option(help="Steadier boxes: none, gauss, rts or hampel.")]
Seed = Annotated[int, typer.Option(help="For models that draw at random.")]
Frames = Annotated[bool, typer.Option("--frames", help="Put a box for every frame into the records.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for what was computed about videos.", show_default="the user's cache folder")
]
FrameRate = Annotated[float, typer.Option(help="Pictures per second, where VIDEO is a folder of pictures.")]
MaxDownload = Annotated[float, typer.Option(help="Most gigabytes to take from an address or standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines records on stdout and nothing else there.")]
Export = Annotated[
    str | None,
    typer.Option(help="Files to write, of: json, csv, srt, vtt, mot, coco, cvat, mp4, clip, html (comma-separated)."),
]


def read_span(text: str | None, option: str) -> Span | None:
    """A time window as it is typed.

    Args:
        text: `A-B`, each in seconds or as [h:]m:s; None where the option was not given.
        option: its name, for the error.

    Raises:
        QueryError: not two times, or not in order.

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


def read_exports(text: str | None, out: Path | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names in `--export`, checked.

    Args:
        text: comma-separated names; None where the option was not given.
        out: `--out`; without it nothing can be written.
        default: what `--out` alone writes.

    Raises:
        SettingError: an unknown name, or no `--out` to write to.
    """
    from whenwhere.export import EXPORTERS

    if out is None and text is not None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    if text is None:
        return default if out is not None else ()
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in EXPORTERS:
            raise SettingError(f"there is no export {name!r}; choose from {', '.join(EXPORTERS)}")
    return names


def check_folder(out: Path | None) -> None:
    """Make the output folder now: better an error before the work than after it.

    Raises:
        OutputError: it cannot be made or written.
    """
    if out is None:
        return
    import tempfile

    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as e:
        raise OutputError(f"cannot write to {out}: {e.strerror or e}; choose another --out") from e
