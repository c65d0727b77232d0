"""What a command needs from the process that it runs in: streams that can be written to, and an orderly end.

A program may be started with its standard streams closed, with an encoding that cannot hold every letter, and may be
ended by a signal. None of that may damage a line of JSON, write into a video's file or leave temporary folders.
"""

import codecs
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

#: Exit status after Ctrl-C, by the convention of shells.
INTERRUPTED = 130


def prepare_streams() -> None:
    """Open those of the three standard streams that are closed, and let stdout and stderr print any text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The next file that is opened would get the number, and with it whatever some library prints.
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    codecs.register_error("whenwhere-escape", _escape)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="whenwhere-escape")


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Write letters that the encoding of a stream cannot hold as JSON escapes them, so that JSON stays valid.

    >>> _escape(UnicodeEncodeError("ascii", "é😀", 0, 2, "not in range"))
    ('\\u00e9\\ud83d\\ude00', 2)
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """End as after Ctrl-C on SIGTERM and SIGHUP, so that temporary folders are deleted.

    The exit status is 128 plus the number of the signal. A signal that is ignored, as by `nohup`, stays ignored. A
    second signal ends the process at once.
    """
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            # Windows has no SIGHUP.
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, stop)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        if received:
            sys.exit(128 + received[0])
        raise


@contextmanager
def resumable(kept: Path) -> Iterator[None]:
    """End with status 130 and one sentence after Ctrl-C, where the same command goes on from what it has finished.

    Args:
        kept: The file or folder that holds what is finished.
    """
    from whenwhere.cli.console import note

    try:
        yield
    except KeyboardInterrupt:
        note(f"interrupted; what is finished is in {kept}, rerun to resume")
        raise typer.Exit(INTERRUPTED) from None
