"""What a person reads: answers on stdout, everything else on stderr.

On a terminal there is colour and, for whatever takes longer than two seconds, a moving line; in a pipe there is plain
text, a line for each thing, so that logs and other programs can read it.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.text import Text

from whenwhere.records import Grounding
from whenwhere.settings import printable

#: Seconds before a moving line appears.
PATIENCE = 2.0
#: Candidates listed under an unsure answer.
CANDIDATES = 5

#: Under the traceback of what is no error we explain.
BUG = "This is a fault of whenwhere, not of your input: please report it with what `whenwhere doctor` prints."

_COLOURS = {"answered": "bold green", "absent": "bold blue", "unsure": "bold yellow", "failed": "bold red"}

# Neither wraps: a line of output is a line. Consoles look up sys.stdout and sys.stderr when they print.
out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


def note(text: str, style: str = "") -> None:
    """A line on stderr."""
    err.print(Text(text, style))


class Waiting:
    """A moving line on stderr for whatever takes long, if stderr is a terminal; a context manager.

    Args:
        what: is going on.
        total: questions to come; None where the bar shows the share of one video.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        count = [TaskProgressColumn()] if total is None else [MofNCompleteColumn()]
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *count,
            TimeElapsedColumn(),
            console=err,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total)
        self._total = total
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()

    def _arm(self) -> None:
        if err.is_terminal:
            self._timer = threading.Timer(PATIENCE, self._progress.start)
            self._timer.daemon = True
            self._timer.start()

    def _hide(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._progress.stop()
            self._timer = None

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Out of the way while something else is printed."""
        self._hide()
        yield
        self._arm()

    def step(self) -> None:
        """One more question is done; nothing to show where the bar is about one video."""
        if self._total is not None:
            self._progress.advance(self._task)

    def share(self, done: float) -> None:
        """This share of the video was looked at, 0-1."""
        self._progress.update(self._task, total=1.0, completed=done)


class Teller:
    """Prints records as they come: JSON Lines for a program, or words for a person, and failures on stderr.

    Args:
        json: print records.
        brief: a line for each answer, naming its video, instead of a paragraph.
        waiting: the moving line to step and to print beside.
    """

    def __init__(self, json: bool, brief: bool, waiting: Waiting) -> None:
        self.json, self.brief, self.waiting = json, brief, waiting
        self._last_failure = ""

    def __call__(self, source: str, record: Grounding, files: list[Path]) -> None:
        """Print one record of a video."""
        with self.waiting.hidden():
            if self.json:
                sys.stdout.write(record.to_json() + "\n")
                sys.stdout.flush()
            elif record.error is None:
                (brief if self.brief else tell)(record, files)
            if record.error is not None and record.error.message != self._last_failure:
                # All questions about a broken video fail for one reason: it is said once.
                self._last_failure = record.error.message
                named = printable(source) in record.error.message or not self.brief
                note(record.error.message if named else f"{printable(source)}: {record.error.message}", "red")
            for warning in record.warnings if self.json else ():
                note(f"{record.query}: {warning}", "yellow")
        self.waiting.step()


def brief(record: Grounding, files: list[Path]) -> None:
    """One answer in one line."""
    spans = ", ".join(window(s.start, s.end) for s in record.spans)
    name = Path(record.video.path).name if record.video else ""
    line = Text(f"{name}: {record.query}: ").append(record.status, _COLOURS[record.status])
    sure = "" if record.confidence is None else f" ({record.confidence:.2f})"
    out.print(line.append(f" {spans}" if spans else "").append(sure))


def tell(record: Grounding, files: list[Path]) -> None:
    """One answer for a person: when, where, how the sentence was read, what else was seen, and files written."""
    line = Text().append(record.query, "bold").append("\n  ").append(record.status, _COLOURS[record.status])
    if record.spans:
        line.append("  " + ", ".join(window(s.start, s.end) for s in record.spans))
    if record.confidence is not None:
        line.append(f"  confidence {record.confidence:.2f}")
    out.print(line)
    for tube in record.tubes:
        if tube.boxes:
            first, rate = tube.boxes[0], record.settings.rate if record.settings else 1.0
            x1, y1, x2, y2 = (round(v) for v in first.box)
            label = f"{tube.label}: " if tube.label else ""
            many = f"{len(tube.boxes)} boxes at {rate:g} per second" if len(tube.boxes) > 1 else "1 box"
            out.print(Text(f"  {label}{many}, at {clock(first.t)}: x {x1}–{x2}, y {y1}–{y2}"))
    if record.reading is not None:
        _tell_reading(record.reading)
    if record.status == "unsure" and record.candidates:
        out.print(Text("  what was seen:"))
        for candidate in record.candidates[:CANDIDATES]:
            out.print(Text(f"    {_candidate(candidate)}"))
        if len(record.candidates) > CANDIDATES:
            out.print(Text(f"    and {len(record.candidates) - CANDIDATES} more (--json lists them)"))
    if record.parse is not None:
        c = record.cost
        tokens = f"{c.prompt_tokens} and {c.output_tokens} tokens"
        paid = f"{c.calls} calls, {tokens}" if c.calls else "nothing, all calls were answered before"
        out.print(Text(f"  cost: {paid}; {c.frames_shown} frames shown", "dim"))
    for call in record.raw or []:
        out.print(Text(f"  {_call(call)}", "dim"))
    for warning in record.warnings:
        out.print(Text(f"  warning: {warning}", "yellow"))
    for file in files:
        out.print(Text(f"  wrote {file}"))


def _tell_reading(reading: dict[str, Any]) -> None:
    """How the sentence was read, and how clear the answer was."""
    words = {k: v for k, v in reading.items() if k not in ("margin", "runner_up", "doubts")}
    out.print(Text(f"  read as: {_plain(words) or 'nothing it knows'}", "dim"))
    if "margin" in reading:
        other = reading.get("runner_up")
        over = f" over the runner-up at {window(*other)}" if other else "; nothing else was seen"
        out.print(Text(f"  margin: {reading['margin']:.2f}{over}", "dim"))
    for doubt in reading.get("doubts", []):
        out.print(Text(f"  doubt: {doubt}", "yellow"))


def _candidate(candidate: dict[str, Any]) -> str:
    """One thing that was seen, in a line: its time, then whatever the model says of it in words."""
    words = {k: v for k, v in candidate.items() if isinstance(v, str | list) and k != "box"}
    when = window(candidate["start"], candidate["end"]) if {"start", "end"} <= candidate.keys() else ""
    where = ""
    if "box" in candidate:
        x1, y1, x2, y2 = (round(v) for v in candidate["box"])
        where = f"  x {x1}–{x2}, y {y1}–{y2}"
    return f"{when}{where}  {_plain(words)}".strip()


def _call(call: dict[str, Any]) -> str:
    """One call to a model, in a line."""
    when = f" at {call['first']:.1f}–{call['last']:.1f} s" if call["frames"] else ""
    cost = "asked before" if call["cached"] else f"{call['prompt_tokens']} and {call['output_tokens']} tokens"
    said = " ".join((call["error"] or call["text"]).split())
    return f"{call['step']}: {call['frames']} frames{when}, {cost}: {said if len(said) <= 160 else said[:157] + '...'}"


def shortened(source: str) -> str:
    """The last part of a path or an address, for a line that must be short.

    >>> shortened("/films/2024/a.mp4"), shortened("https://host/b.mp4"), shortened("-")
    ('a.mp4', 'b.mp4', 'standard input')
    """
    return "standard input" if source == "-" else printable(source).rstrip("/").rsplit("/", 1)[-1][:40]


def window(start: float, end: float) -> str:
    """A span for a person.

    >>> window(0.5, 8), window(58, 61.2)
    ('0.5–8.0 s', '0:58.0–1:01.2')
    """
    if end < 59.95:
        return f"{start:.1f}–{end:.1f} s"
    return f"{'0:' if start < 59.95 else ''}{clock(start).removesuffix(' s').zfill(4)}–{clock(end)}"


def clock(seconds: float) -> str:
    """Seconds for a person; minutes and hours where there are any.

    >>> clock(7.25), clock(83.5), clock(3600)
    ('7.2 s', '1:23.5', '1:00:00.0')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{lead}:{rest / 10:04.1f}"


def _plain(value: object) -> str:
    """A JSON value as a person would write it."""
    if isinstance(value, dict):
        said = (f"{k.replace('_', ' ')} {_plain(v)}" for k, v in value.items() if v not in (None, "", [], {}))
        return ", ".join(said)
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
