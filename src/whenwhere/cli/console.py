"""How the commands print: answers go to stdout, everything else goes to stderr.

On a terminal there are colours and, for whatever takes longer than two seconds, a moving line. In a pipe there is plain
text, one line for each thing, so that logs and other programs can read it.
"""

import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from whenwhere.readers import printable, visible

if TYPE_CHECKING:
    from rich.table import Table

#: Seconds until a moving line appears.
PATIENCE = 2.0
#: Number of faults of one kind that are named; of the others only the number is given.
SHOWN = 3
# Characters that a terminal may obey: the upper control characters, and marks that change the direction of text.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: Printed under the traceback of an error that is not explained to users.
BUG = "This is a fault of whenwhere, not of your input: please report it with what `whenwhere doctor` prints."


class SafeConsole(Console):
    """A console that shows the control characters of what it prints instead of sending them to the terminal.

    Sentences, answers, file names and error messages may come from anybody; colours and cursor moves are its own.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Turn what is printed into segments, whose control characters are made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


# Neither console wraps its text, so that a line of output is one line. Both look up sys.stdout and sys.stderr whenever
# they print.
out = SafeConsole(soft_wrap=True, highlight=False)
err = SafeConsole(soft_wrap=True, highlight=False, stderr=True)


def write_json(line: str) -> None:
    """Print a line of JSON on stdout, with control characters that JSON allows in texts escaped.

    Args:
        line: The JSON text, on one line.
    """
    escaped = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
    sys.stdout.write(f"{escaped}\n")
    sys.stdout.flush()


def note(text: str, style: str = "") -> None:
    """Print a line on stderr.

    Args:
        text: The line.
        style: A style of rich, such as "red".
    """
    err.print(Text(text, style))


def counted(count: int, noun: str) -> str:
    """Write a number with its noun, which gets an s unless the number is 1.

    >>> counted(1, "item"), counted(2, "item")
    ('1 item', '2 items')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def note_faults(faults: Sequence[str], total: str = "") -> None:
    """Print the first faults on stderr, and how many there are.

    Args:
        faults: One sentence for each fault; nothing is printed if there are none.
        total: What to say of all of them together. By default their number, if not all were named.
    """
    for fault in faults[:SHOWN]:
        note(fault, "red")
    if not total and len(faults) > SHOWN:
        total = f"{counted(len(faults), 'fault')} in all"
    if total and faults:
        note(total, "red")


def show_estimate(plan: Mapping[str, Any], json: bool, lead: str = "") -> None:
    """Print what the calls of a command would cost: a sentence, or one JSON object.

    Args:
        plan: The numbers of calls, frames and tokens, and the faults, as `plan_costs` gives them.
        json: Whether to print JSON.
        lead: What the sentence begins with.
    """
    from json import dumps

    if json:
        write_json(dumps(plan, ensure_ascii=False))
    else:
        out.print(
            f"{lead}{counted(plan.get('calls', 0), 'call')}, {plan.get('frames', 0)} frames, about "
            f"{plan.get('prompt_tokens', 0)} tokens of prompts and {plan.get('output_tokens', 0)} of answers"
        )
    note_faults(plan["faults"])


def show_table(table: "Table") -> None:
    """Print a table on stdout; in a pipe it is as wide as it needs to be."""
    (out if out.is_terminal else SafeConsole(width=10_000, highlight=False)).print(table)


class Waiting:
    """A moving line on stderr for whatever takes long, if stderr is a terminal; a context manager.

    Args:
        what: Words for what is going on.
        total: Number of things to count, or None to show the share of one video.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, count=f"0/{total}" if total else "")
        self._total = total
        self._done = 0
        self._timer: threading.Timer | None = None

    def begin(self, what: str, total: int) -> None:
        """Count questions from now on, instead of showing the share of one video.

        Args:
            what: Words for what is going on.
            total: Number of questions.
        """
        self._total = total
        self._progress.update(self._task, description=what, total=total, count=f"0/{total}")

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
        """Hide the line while the block prints something else."""
        self._hide()
        yield
        self._arm()

    def step(self) -> None:
        """Count one more question as done; nothing changes while the line shows the share of one video."""
        if self._total is not None:
            self._done += 1
            self._progress.update(self._task, completed=self._done, count=f"{self._done}/{self._total}")

    def share(self, done: float) -> None:
        """Show which share of the video is done, 0 to 1; nothing changes while the line counts questions."""
        if self._total is None:
            self._progress.update(self._task, total=1.0, completed=done, count=f"{done:.0%}")


def shortened(source: str) -> str:
    """The last part of a path or address, at most 40 characters, for a line that must be short.

    >>> shortened("/films/2024/a.mp4"), shortened("https://host/b.mp4"), shortened("-")
    ('a.mp4', 'b.mp4', 'standard input')
    """
    return "standard input" if source == "-" else printable(source).rstrip("/").rsplit("/", 1)[-1][:40]


def format_span(start: float, end: float) -> str:
    """Write a span of time, given in seconds, as a person reads it.

    >>> format_span(0.5, 8), format_span(58, 61.2), format_span(58, 59.97)
    ('0.5–8.0 s', '0:58.0–1:01.2', '0:58.0–1:00.0')
    """
    if end < 59.95:
        return f"{start:.1f}–{end:.1f} s"
    return f"{'0:' if start < 59.95 else ''}{format_time(start).removesuffix(' s').zfill(4)}–{format_time(end)}"


def format_time(seconds: float) -> str:
    """Write seconds as a person reads them, with minutes and hours if there are any.

    >>> format_time(7.25), format_time(59.97), format_time(83.5), format_time(3600)
    ('7.2 s', '1:00.0', '1:23.5', '1:00:00.0')
    """
    if seconds < 59.95:  # what is rounded to 60.0 is a minute
        return f"{seconds:.1f} s"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{lead}:{rest / 10:04.1f}"
