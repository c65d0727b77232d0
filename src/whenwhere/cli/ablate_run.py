"""`whenwhere ablate check` and `run`: from arms to finished cells."""

from pathlib import Path
from typing import Annotated

import typer


def check(
    bindings: Annotated[Path, typer.Argument(metavar="BINDINGS", help="The bindings, a .toml file.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Study to write, a .json file.")],
) -> None:
    """Check arms, metrics and cost before any run, and write the study."""
    raise NotImplementedError


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study, a .json file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the cells; rerun = resume.")],
) -> None:
    """Run the study's cells; the same command resumes."""
    raise NotImplementedError
