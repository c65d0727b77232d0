"""`whenwhere demo`: a rendered clip, three sentences, a page to look at. No network, no torch."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clip and the answers.")] = Path("whenwhere-demo"),
) -> None:
    """Render a clip, ask it three sentences, and write a page that shows the answers."""
    from whenwhere.cli.console import Teller, Waiting
    from whenwhere.cli.console import out as console
    from whenwhere.cli.job import Job, Tally, run
    from whenwhere.cli.options import check_folder
    from whenwhere.settings import GroundingSettings
    from whenwhere.stage import demo_scene

    check_folder(out)
    clip = out / "demo.mp4"
    with Waiting("rendering a clip"):
        scene = demo_scene(clip)
    sentences = [query.text for query in scene.sentences]
    console.print(f"rendered {clip}: {scene.duration:.0f} s, {scene.width}×{scene.height}", markup=False)
    tally = Tally()
    with Waiting("asking it") as waiting:
        page = run(
            Job(GroundingSettings(), out=out, exports=("html",)),
            str(clip),
            sentences,
            tally,
            Teller(False, False, waiting),
        )
    if tally.failed or page is None:
        raise typer.Exit(1)
    console.print(f"open {page.resolve().as_uri()}", markup=False)
