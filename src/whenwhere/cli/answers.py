"""Prints answers as they come in: for a person a paragraph or a line each, for a program records in JSON Lines."""

import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.text import Text

from whenwhere.batching import BatchCallback, BatchResult
from whenwhere.cli import console
from whenwhere.cli.console import BUG, Waiting, format_span, format_time, note, write_json
from whenwhere.errors import OutputError, WhenwhereError
from whenwhere.readers import printable, visible
from whenwhere.records import Grounding
from whenwhere.store import append_line

#: Number of candidates that are listed under an unsure answer.
CANDIDATES = 5
#: The file in a batch's output folder that gets the tracebacks of bugs.
FAULTS = "faults.log"

_COLOURS = {"answered": "bold green", "absent": "bold blue", "unsure": "bold yellow", "failed": "bold red"}


class ConsoleCallback(BatchCallback):
    """Prints records as they come: JSON Lines for a program, or words for a person, and failures on stderr.

    Args:
        json: Print records instead of words.
        brief: Print one line for each answer, beginning with the name of the video, instead of a paragraph.
        waiting: The progress line, which is advanced with every answer and hidden while something is printed.

    Attributes:
        result: The counts of answers by status; they are empty before the batch begins.
    """

    def __init__(self, json: bool, brief: bool, waiting: Waiting) -> None:
        self.json, self.brief, self.waiting = json, brief, waiting
        self.result = BatchResult()
        self._last_failure = ""

    def on_begin(self, result: BatchResult) -> None:
        """Print which lines of the manifest cannot be used, and show the number of questions in the progress line."""
        self.result = result
        for fault in result.faults:
            note(printable(fault), "red")
        self.waiting.begin(f"{result.questions} questions about {result.videos} videos", result.questions)

    def on_progress(self, share: float) -> None:
        """Move the progress line to this fraction of the current video, from 0 to 1."""
        self.waiting.share(share)

    def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
        """Print the answer to one question, or why it failed, and advance the progress line.

        Args:
            source: The video as the user named it.
            record: The answer.
            files: The export files that were written for it.
        """
        with self.waiting.hidden():
            if self.json:
                write_json(record.to_json())
            elif record.error is None:
                (print_brief if self.brief else print_answer)(record, files)
            if record.error is not None and record.error.message != self._last_failure:
                # All questions about a broken video fail for one reason, which is said once.
                self._last_failure = record.error.message
                named = printable(source) in record.error.message or not self.brief
                note(record.error.message if named else f"{printable(source)}: {record.error.message}", "red")
            for warning in record.warnings if self.json else ():
                note(f"{record.query}: {warning}", "yellow")
        self.waiting.step()

    def on_unwritten(self, path: Path, error: Exception) -> None:
        """Print which export file could not be written, and why."""
        said = str(error) if isinstance(error, WhenwhereError) else f"unexpected {type(error).__name__}: {error}"
        note(printable(f"{path.name}: {said}"))

    def on_warning(self, sentence: str) -> None:
        """Print a warning on stderr."""
        note(printable(sentence), "yellow")

    def on_bug(self, error: Exception) -> None:
        """Report an unexpected exception with its traceback.

        In a batch the traceback goes to a log file in the output folder, so that thousands of them do not hide the
        answers; otherwise it is printed on stderr.
        """
        text = visible("".join(traceback.format_exception(error)))
        if self.result.out is not None:
            file = self.result.out / FAULTS
            with suppress(OutputError):
                append_line(file, text)
                note(f"{BUG} Its traceback is in {file}.")
                return
        sys.stderr.write(printable(text))
        note(BUG)


def print_brief(record: Grounding, files: list[Path]) -> None:
    """Print one answer in one line: video, sentence, status, spans and confidence."""
    spans = ", ".join(format_span(s.start, s.end) for s in record.spans)
    name = Path(record.video.path).name if record.video else ""
    line = Text(f"{name}: {record.query}: ").append(record.status, _COLOURS[record.status])
    sure = "" if record.confidence is None else f" ({record.confidence:.2f})"
    console.out.print(line.append(f" {spans}" if spans else "").append(sure))


def print_answer(record: Grounding, files: list[Path]) -> None:
    """Print one answer: when, where, how the sentence was read, what else was seen, and the files written."""
    line = Text().append(record.query, "bold").append("\n  ").append(record.status, _COLOURS[record.status])
    if record.spans:
        line.append("  " + ", ".join(format_span(s.start, s.end) for s in record.spans))
    if record.confidence is not None:
        line.append(f"  confidence {record.confidence:.2f}")
    console.out.print(line)
    for tube in record.tubes:
        if tube.boxes:
            first, rate = tube.boxes[0], record.settings.rate if record.settings else 1.0
            x1, y1, x2, y2 = (round(v) for v in first.box)
            label = f"{tube.label}: " if tube.label else ""
            many = f"{len(tube.boxes)} boxes at {rate:g} per second" if len(tube.boxes) > 1 else "1 box"
            console.out.print(Text(f"  {label}{many}, at {format_time(first.t)}: x {x1}–{x2}, y {y1}–{y2}"))
    if record.reading is not None:
        _tell_reading(record.reading)
    if record.status == "unsure" and record.candidates:
        console.out.print(Text("  what was seen:"))
        for candidate in record.candidates[:CANDIDATES]:
            console.out.print(Text(f"    {_candidate(candidate)}"))
        if len(record.candidates) > CANDIDATES:
            console.out.print(Text(f"    and {len(record.candidates) - CANDIDATES} more (--json lists them)"))
    if record.parse is not None:
        c = record.cost
        tokens = f"{c.prompt_tokens} and {c.output_tokens} tokens"
        paid = f"{c.calls} calls, {tokens}" if c.calls else "nothing, all calls were answered before"
        console.out.print(Text(f"  cost: {paid}; {c.frames_shown} frames shown", "dim"))
    for call in record.raw or []:
        console.out.print(Text(f"  {_call(call)}", "dim"))
    for warning in record.warnings:
        console.out.print(Text(f"  warning: {warning}", "yellow"))
    for file in files:
        console.out.print(Text(f"  wrote {file}"))


def _tell_reading(reading: dict[str, Any]) -> None:
    """Print how the sentence was read, and how clear the answer was."""
    words = {k: v for k, v in reading.items() if k not in ("margin", "runner_up", "doubts")}
    plain = _plain(words)
    console.out.print(Text(f"  read as: {plain}" if plain else "  nothing in the sentence was recognised", "dim"))
    if "margin" in reading:
        other = reading.get("runner_up")
        over = f" over the runner-up at {format_span(*other)}" if other else "; nothing else was seen"
        console.out.print(Text(f"  margin: {reading['margin']:.2f}{over}", "dim"))
    for doubt in reading.get("doubts", []):
        console.out.print(Text(f"  doubt: {doubt}", "yellow"))


def _candidate(candidate: dict[str, Any]) -> str:
    """Write one thing that was seen in a line: its time, its box, then what the model says of it in words."""
    words = {k: v for k, v in candidate.items() if isinstance(v, str | list) and k != "box"}
    when = format_span(candidate["start"], candidate["end"]) if {"start", "end"} <= candidate.keys() else ""
    where = ""
    if "box" in candidate:
        x1, y1, x2, y2 = (round(v) for v in candidate["box"])
        where = f"  x {x1}–{x2}, y {y1}–{y2}"
    return f"{when}{where}  {_plain(words)}".strip()


def _call(call: dict[str, Any]) -> str:
    """Write one call to a model in a line: step, frames, cost and reply."""
    when = f" at {call['first']:.1f}–{call['last']:.1f} s" if call["frames"] else ""
    cost = "asked before" if call["cached"] else f"{call['prompt_tokens']} and {call['output_tokens']} tokens"
    said = " ".join((call["error"] or call["text"]).split())
    return f"{call['step']}: {call['frames']} frames{when}, {cost}: {said if len(said) <= 160 else said[:157] + '...'}"


def _plain(value: object) -> str:
    """Write a JSON value as a person would.

    >>> _plain({"thing": "car", "every": True, "colours": ["red", "white"]})
    'thing car, every, colours red, white'
    """
    if isinstance(value, dict):
        names = {k.replace("_", " "): v for k, v in value.items() if v not in (None, "", [], {})}
        return ", ".join(k if v is True else f"{k} {_plain(v)}" for k, v in names.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
