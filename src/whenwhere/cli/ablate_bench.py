"""`whenwhere ablate judge` and `bench`: how good plans are."""

from pathlib import Path
from typing import Annotated

import typer


def judge(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan to judge.")],
) -> None:
    """Judge a plan against the ablations that a paper has or lacks."""
    raise NotImplementedError


def bench(
    data: Annotated[str, typer.Option(help="Files of AblationBench.")],
) -> None:
    """Plan and judge every paper of AblationBench's data."""
    raise NotImplementedError
