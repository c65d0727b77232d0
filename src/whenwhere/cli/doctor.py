"""`whenwhere doctor`: says what is installed, what works, what is missing and how to install it."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from whenwhere.diagnosis import Diagnosis


def doctor_command(
    json_: options.JsonObject = False,
) -> None:
    """Say what is installed, what works, what is missing and how to get it.

    Exit status: 0 if everything that is needed works, else 1.
    """
    from whenwhere.cli.console import write_json
    from whenwhere.diagnosis import diagnose

    checks = diagnose()
    broken = [c for c in checks if c.state == "broken"]
    if json_:
        shown: dict[str, Any] = {"ok": not broken, "checks": [asdict(c) for c in checks]}
        write_json(json.dumps(shown))
    else:
        _show(checks)
    if broken:
        raise typer.Exit(1)


def _show(checks: list["Diagnosis"]) -> None:
    from rich.text import Text

    from whenwhere.cli.console import out

    signs = {"ok": ("ok     ", "green"), "missing": ("missing", "yellow"), "broken": ("BROKEN ", "bold red")}
    width = max(len(c.name) for c in checks)
    for c in checks:
        out.print(
            Text(signs[c.state][0], signs[c.state][1]).append(f"  {c.name:{width}}  {c.found}", "not bold default")
        )
        if c.mend and c.state != "ok":
            out.print(Text(f"{'':{width + 11}}{c.mend}"))
