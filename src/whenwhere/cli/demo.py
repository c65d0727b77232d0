"""`whenwhere demo`: renders a clip, grounds three sentences in it, and writes a page. Needs no network and no torch."""

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the clip and the answers.")] = Path("whenwhere-demo"),
) -> None:
    """Render a clip, ground three sentences in it with the built-in grounder, and write a page with the answers."""
    from whenwhere.batching import BatchJob, BatchResult, answer_video
    from whenwhere.cli.answers import ConsoleCallback
    from whenwhere.cli.console import Waiting
    from whenwhere.cli.console import out as console
    from whenwhere.cli.options import check_folder
    from whenwhere.datasets.item import Item
    from whenwhere.stage import demo_scene

    check_folder(out)
    clip = out / "demo.mp4"
    with Waiting("rendering a clip"):
        scene = demo_scene(clip)
    console.print(f"rendered {clip}: {scene.duration:.0f} s, {scene.width}×{scene.height}", markup=False)
    result = BatchResult(out)
    with Waiting("answering three sentences") as waiting:
        # Painted things are not what detectors know, so the demo is the same whatever is installed.
        job = BatchJob(
            out=out, model="motion", exports=("html",), callback=ConsoleCallback(False, brief=False, waiting=waiting)
        )
        answer_video(job, str(clip), [Item("", str(clip), query.text) for query in scene.sentences], result)
    if result.failed or not result.pages:
        raise typer.Exit(1)
    console.print(f"open {result.pages[0].resolve().as_uri()}", markup=False)
