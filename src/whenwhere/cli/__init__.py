"""The command line: one file per command, and a few small ones that they share.

A command reads options, calls one function that a notebook could call too, and prints. To add one, write a file with a
function in this folder and add a line to `COMMANDS`.

`main` is the only place that turns errors into exit statuses:

- 0: done (an honest "unsure" counts as done);
- 1: some of what was asked failed; the last line says how many;
- 2: the command itself makes no sense (a wrong option, a reversed span);
- 3: an answer is unsure, with `--require-answer`;
- 130: interrupted; finished work is kept. After SIGTERM it is 143, after SIGHUP 129.

An error that is explained to users is one sentence on stderr. Anything else is a bug: its traceback stays, with a hint.
Each command imports what it needs when it runs, so that `--help` is quick.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import whenwhere
from whenwhere.cli.ablate import ablate
from whenwhere.cli.batch import batch_command
from whenwhere.cli.data import data
from whenwhere.cli.demo import demo_command
from whenwhere.cli.doctor import doctor_command
from whenwhere.cli.eval import eval_
from whenwhere.cli.ground import ground_command
from whenwhere.cli.misspelt import SuggestingGroup
from whenwhere.cli.process import INTERRUPTED, ended_by_signals, prepare_streams
from whenwhere.cli.stage import stage_command
from whenwhere.cli.train import train_command
from whenwhere.cli.train_status import train_status_command
from whenwhere.errors import QueryError, SettingError, WhenwhereError
from whenwhere.readers import visible

__all__ = ["COMMANDS", "app", "main"]

#: Each command by the name that is typed, of one word or two: its function, and the example that its --help ends with.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "ground": (
        ground_command,
        'whenwhere ground clip.mp4 "the red car drives up" "a person leaves" --out answers --export html,srt',
    ),
    "batch": (batch_command, "whenwhere batch questions.jsonl --out answers --json > records.jsonl"),
    "eval": (
        eval_,
        "whenwhere eval --benchmark qvhighlights --annotations val.jsonl --predictions answers.jsonl --out report",
    ),
    "stage": (stage_command, "whenwhere stage clips --clips 8 --seed 1"),
    "train": (train_command, "whenwhere train tiny-sft train.max_steps=2000 --out runs/sft"),
    "train status": (train_status_command, "whenwhere train status runs/sft runs/rl --html"),
    "demo": (demo_command, "whenwhere demo --out demo"),
    "doctor": (doctor_command, "whenwhere doctor --json"),
}


def build_app(commands: dict[str, tuple[Callable[..., None], str]]) -> typer.Typer:
    """The command line with these commands and the groups `data` and `ablate`."""
    app = typer.Typer(
        name="whenwhere",
        cls=SuggestingGroup,
        help="Find when and where a video shows what a sentence says.",
        epilog='Example: whenwhere ground clip.mp4 "the red car drives up" --out answers',
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, (function, example) in commands.items():
        app.command(name, epilog=f"Example: {example}")(function)
    app.add_typer(data)
    app.add_typer(ablate)
    app.callback()(_read_global_options)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(whenwhere.__version__)
        raise typer.Exit


def _read_global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app = build_app(COMMANDS)


def main() -> None:
    """Run the command line and leave with its exit status."""
    prepare_streams()
    if not sys.stderr.isatty():
        # Progress bars of other libraries do not belong in logs.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        with ended_by_signals():
            app()
    except WhenwhereError as e:
        sys.stderr.write(f"{visible(str(e))}\n")
        sys.exit(2 if isinstance(e, SettingError | QueryError) else 1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except Exception as e:
        if isinstance(e, OSError) and (sentence := _full_disk(e)):
            sys.stderr.write(f"{sentence}\n")
            # Python must not try again at exit to write what is left in the buffer.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        from whenwhere.cli.console import BUG

        e.add_note(BUG)
        raise


def _full_disk(e: OSError) -> str | None:
    """A sentence about a full disk that some library met, or None if the error is another one."""
    if isinstance(e, FileNotFoundError) and "temporary directory" in str(e):
        return "no folder for temporary files can be written: make room in one, or set TMPDIR"
    if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"cannot write {e.filename or 'to standard output'}: {e.strerror}; make room there"
    return None
