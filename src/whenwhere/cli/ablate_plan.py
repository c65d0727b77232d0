"""`whenwhere ablate plan` and `bind`: from words to arms."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[PLAN]...", help="Plans to read and merge: .md, .jsonl or .json.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plan to write: .md, .jsonl or .json.", show_default=False)
    ] = None,
) -> None:
    """Read plans, check every line, merge them, and write one plan."""
    raise NotImplementedError


def bind(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan: .md, .jsonl or .json.")],
    knobs: Annotated[str, typer.Option(help="A recipe with knobs, or a .toml file of knobs.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Bindings to write, a .toml file.")],
) -> None:
    """Bind the plan's words to knobs and metrics, and write what each means."""
    raise NotImplementedError
