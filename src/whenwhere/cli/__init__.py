"""The command line: one file per verb, and a few small ones they share.

`main` is the only place that turns errors into exit statuses:

- 0: done (an honest "unsure" counts as done);
- 1: some of what was asked failed; the last line says how many;
- 2: the command itself makes no sense (a wrong option, a reversed span);
- 3: unsure, where `--require-answer` was given;
- 130: interrupted; what was finished is kept.

An error we can explain is one sentence on stderr. Anything else is a bug of ours: its traceback stays, with a hint.
Each command imports what it needs when it runs, so `--help` is quick.
"""

import errno
import os
import sys
from typing import Annotated

import typer

import whenwhere
from whenwhere.cli.batch import batch
from whenwhere.cli.data import data
from whenwhere.cli.demo import demo
from whenwhere.cli.doctor import doctor
from whenwhere.cli.eval import eval_
from whenwhere.cli.ground import INTERRUPTED, ground
from whenwhere.cli.stage import stage
from whenwhere.cli.train import train
from whenwhere.errors import QueryError, SettingError, WhenwhereError

__all__ = ["app", "main"]

app = typer.Typer(
    name="whenwhere",
    help="Ask a video when and where, in a sentence's words.",
    epilog='Example: whenwhere ground clip.mp4 "the red car drives up" --out answers',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, example in (
    (ground, 'whenwhere ground clip.mp4 "the red car drives up" "a person leaves" --out answers --export html,srt'),
    (batch, "whenwhere batch questions.jsonl --out answers --json > records.jsonl"),
    (eval_, "whenwhere eval --benchmark qvhighlights --annotations val.jsonl --predictions answers.jsonl --out report"),
    (stage, "whenwhere stage clips --clips 8 --seed 1"),
    (train, "whenwhere train tiny-sft train.max_steps=2000 --out runs/sft"),
    (demo, "whenwhere demo --out demo"),
    (doctor, "whenwhere doctor --json"),
):
    app.command(command.__name__.rstrip("_"), epilog=f"Example: {example}")(command)
app.add_typer(data)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(whenwhere.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that is not UTF-8 must not stop the line it is printed in.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if not sys.stderr.isatty():
        # bars of the libraries are for eyes, not for logs
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except WhenwhereError as e:
        sys.stderr.write(f"{e}\n")
        sys.exit(2 if isinstance(e, SettingError | QueryError) else 1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except Exception as e:
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.stderr.write(f"cannot write to standard output: {e.strerror}\n")
            # What is left in the buffer must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        from whenwhere.cli.console import BUG

        e.add_note(BUG)
        raise
