"""`whenwhere stage`: procedural clips whose truth is known exactly."""

from pathlib import Path
from typing import Annotated

import typer


def stage(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the clips, truth.jsonl and manifest.jsonl.")],
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
) -> None:
    """Render clips with sentences and their exact spans and boxes.

    OUT/manifest.jsonl can be asked with `whenwhere batch OUT/manifest.jsonl --out DIR`.
    """
    from whenwhere.cli.console import Waiting
    from whenwhere.cli.console import out as console
    from whenwhere.cli.options import check_folder
    from whenwhere.stage import write_stage

    check_folder(out)
    with Waiting(f"rendering {clips} clips"):
        write_stage(out, clips, seed)
    console.print(f"wrote {clips} clips, truth.jsonl and manifest.jsonl to {out}", markup=False)
