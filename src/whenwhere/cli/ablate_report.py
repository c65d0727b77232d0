"""`whenwhere ablate report`: tables, plots and a page of finished cells."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the cells.")],
) -> None:
    """Report what finished cells say about every arm."""
    raise NotImplementedError
