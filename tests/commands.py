"""Commands of `whenwhere` run in the process of the test, which costs no start of another one.

What only a process shows (streams, signals, exit of the interpreter) is tested with the fixture `cli`.
"""

from dataclasses import dataclass

from typer.testing import CliRunner

from whenwhere.cli import app
from whenwhere.errors import QueryError, SettingError, WhenwhereError


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status as `main` would give it, and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: object, status: int | None = 0) -> Done:
    """Run a command; `status=None` accepts any exit status. A bug raises as it is."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    error = done.exception
    if isinstance(error, WhenwhereError):
        code = 2 if isinstance(error, SettingError | QueryError) else 1
        found = Done(code, done.stdout, f"{done.stderr}{error}\n")
    elif error is not None and not isinstance(error, SystemExit):
        raise error
    else:
        found = Done(done.exit_code, done.stdout, done.stderr)
    assert status is None or found.status == status, found
    return found
