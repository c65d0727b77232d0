"""The options that several commands share, and the functions that parse their values."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.errors import QueryError, RecordError, SettingError
from whenwhere.readers import read_text
from whenwhere.spans import Span
from whenwhere.store import make_folder

if TYPE_CHECKING:
    from whenwhere.engine import Engine as OpenEngine

Model = Annotated[
    str,
    typer.Option(
        help="The model that answers: objects (recognises things by a detector; needs the extra [objects], or a "
        "detector's file: objects:FILE), motion (needs no weights), auto (objects if its detector is installed, else "
        "motion), tiny (a small trained model that comes with the package), the folder or Hugging Face id of a "
        "vision-language model, a model of a training run (RUN@STEP, RUN@best, RUN@last), encoder: and the name of an "
        "image-text or video-text encoder, such as encoder:openai/clip-vit-base-patch16, or the address of a server "
        "with a vision-language model, http://host:8000/v1#name. "
        "Frames leave this machine only if you name an address here."
    ),
]
Pipeline = Annotated[
    str,
    typer.Option(
        help="How a vision-language model is asked: second-level (first for the time, then for one box per second), "
        "framewise (one call per frame), uniform (one call with evenly spaced frames), or detector (the model chooses "
        "among the objects that a detector finds, by default Grounding DINO; detector:DETECTOR+TRACKER names others)."
    ),
]
Samples = Annotated[
    int, typer.Option(help="How often the model is asked for the time; the agreement of its answers is the confidence.")
]
Trace = Annotated[bool, typer.Option("--trace", help="Keep every call of the model, with its reply, in the records.")]
Device = Annotated[
    str | None,
    typer.Option(help="Device of a checkpoint: cuda, cuda:1 or cpu. By default an accelerator if there is one."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, help="How many questions a model server gets at the same time.", show_default="8"),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="Where videos are worked on: local (processes on all cores of this machine) or ray (the Ray cluster at "
        "$RAY_ADDRESS, or a new one on this machine). Without it, one after the other in this process.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="With --engine: number of worker processes.", show_default="by cores and model"),
]
Rate = Annotated[float, typer.Option(help="Boxes per second in the answer.")]
SampleFps = Annotated[
    float | None, typer.Option(help="Frames per second to look at in the video. By default the model decides.")
]
Fill = Annotated[
    str,
    typer.Option(
        help="How frames between the answered boxes get theirs: flow (optical flow), linear or pchip (interpolation), "
        "or hold (the box before)."
    ),
]
Smooth = Annotated[str, typer.Option(help="How the answered boxes are smoothed over time: none, gauss, rts or hampel.")]
Snap = Annotated[
    bool,
    typer.Option(
        "--snap",
        help="Move boxes of a vision-language model onto the tracks of the extra [objects], where they agree.",
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed, for models that sample their answers.")]
Frames = Annotated[bool, typer.Option("--frames", help="Add a box for every frame to the records.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps what was computed about videos, for later questions.",
        show_default="the user's cache folder",
    ),
]
FrameRate = Annotated[float, typer.Option(help="Pictures per second, if VIDEO is a folder of pictures.")]
MaxDownload = Annotated[float, typer.Option(help="Largest download or standard input to accept, in gigabytes.")]
Json = Annotated[bool, typer.Option("--json", help="Print the records as JSON Lines, and nothing else, on stdout.")]
JsonObject = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Estimate what it would cost, and stop.")]
MaxCost = Annotated[
    int | None,
    typer.Option(
        "--max-cost",
        metavar="TOKENS",
        min=1,
        help="Most tokens to spend at models in this run, prompts and answers together.",
        show_default="no limit",
    ),
]
Export = Annotated[
    str | None,
    typer.Option(help="Files to write: json, csv, srt, vtt, mot, coco, cvat, mp4, clip, html (comma-separated)."),
]


@contextmanager
def opened_engine(name: str | None, workers: int | None) -> "Iterator[OpenEngine | None]":
    """Open the engine of `--engine` and `--workers`, and close it after the block.

    Args:
        name: Name of the engine; None opens none and yields None.
        workers: Number of worker processes; None leaves it to the engine.

    Raises:
        SettingError: There is no such engine, or `workers` is given without an engine.
        MissingExtraError: The engine's package is not installed.
    """
    from whenwhere.engine import open_engine

    if name is None:
        if workers is not None:
            raise SettingError("--workers needs an engine: add --engine local or --engine ray, or leave it out")
        yield None
        return
    with open_engine(name, workers) as engine:
        yield engine


def read_span(text: str | None, option: str) -> Span | None:
    """Parse a time window given on the command line; None stays None.

    Args:
        text: The window as `A-B`, where each time is in seconds or [h:]m:s, or None if the option was not given.
        option: Name of the option, for the error message.

    Raises:
        QueryError: The text is not two times, or the first is not before the second.

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
    """Read the sentences of a UTF-8 text file with one sentence per line; blank lines are skipped.

    Raises:
        RecordError: The file cannot be read.
    """
    lines = read_text(path, RecordError, "name a text file with one sentence per line").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_exports(text: str | None, out: Path | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the exports to write: those of `--export` in lower case and without repetitions, or the default.

    Args:
        text: The value of `--export`, names separated by commas, or None if the option was not given.
        out: The folder of `--out`, or None if the option was not given; then nothing is written.
        default: The exports that are written if `--out` is given without `--export`.

    Raises:
        SettingError: `--export` is given without `--out`.
    """
    if out is None and text is not None:
        raise SettingError("--export needs a folder to write to: add --out DIR")
    if text is None:
        return default if out is not None else ()
    return tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))


def check_videos(folder: Path | None) -> None:
    """Refuse a value of `--videos` that is not a folder; None, if the option was not given, is allowed.

    Raises:
        SettingError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise SettingError(f"--videos {folder} is not a folder: give the folder of the videos")


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing FILE, whatever was edited in it.")]


def keep_edited(out: Path | None, overwrite: bool) -> None:
    """Refuse to replace a file that a person may have edited; None, if no file is written, does nothing.

    Raises:
        SettingError: The file exists, and --overwrite was not given.
    """
    if out is not None and out.exists() and not overwrite:
        raise SettingError(f"{out} exists and may have been edited: name another file, or add --overwrite")


def check_folder(out: Path | None) -> None:
    """Create the output folder before the work begins; None, if no folder was given, does nothing.

    Raises:
        OutputError: The folder cannot be created or written to.
    """
    if out is not None:
        make_folder(out)
