"""`whenwhere stage`: procedural clips whose truth is known exactly."""

from pathlib import Path
from typing import Annotated

import typer

from whenwhere.errors import SettingError


def stage_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the clips, manifest.jsonl and truth.jsonl.")],
    clips: Annotated[int, typer.Option(min=1, help="Number of clips.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clips.")] = 0,
    world: Annotated[
        str, typer.Option(help="places (people and things) or shapes (small clips, for training).")
    ] = "places",
    split: Annotated[str, typer.Option(help="For shapes: train, val, heldout, ood-longer, ood-later, ...")] = "train",
    domain: Annotated[str | None, typer.Option(help="For shapes: street, lecture, sport or still.")] = None,
    side: Annotated[int, typer.Option(help="For shapes: width and height in pixels.")] = 128,
    fps: Annotated[float, typer.Option(help="For shapes: frames per second.")] = 8.0,
) -> None:
    """Render clips with sentences and their exact spans and boxes.

    OUT/manifest.jsonl holds the sentences and their truth. `whenwhere batch OUT/manifest.jsonl --out DIR` answers them;
    `whenwhere eval --benchmark manifest-tubes --annotations OUT/manifest.jsonl --predictions DIR` scores the answers.
    The world of shapes also writes captions.jsonl, questions.jsonl and actions.jsonl.
    """
    from whenwhere.cli.console import Waiting
    from whenwhere.cli.console import out as console
    from whenwhere.cli.options import check_folder

    if world not in ("places", "shapes"):
        raise SettingError(f"there is no world {world!r}; choose from places, shapes")
    if world == "places" and (split, domain, side, fps) != ("train", None, 128, 8.0):
        raise SettingError("--split, --domain, --side and --fps belong to the world of shapes: add --world shapes")
    if world == "places":
        from whenwhere.stage import write_stage

        check_folder(out)
        with Waiting(f"rendering {clips} clips"):
            write_stage(out, clips, seed)
        console.print(f"wrote {clips} clips, manifest.jsonl and truth.jsonl to {out}", markup=False)
        return
    from whenwhere.stage.shapes import ShapesWorld, write_shapes

    drawn_from = ShapesWorld(split=split, domain=domain, side=side, fps=fps)
    check_folder(out)
    with Waiting(f"rendering {clips} clips"):
        write_shapes(out, clips, seed, drawn_from)
    names = "truth, manifest, captions, questions and actions"
    console.print(f"wrote {clips} clips with {names} (.jsonl) to {out}", markup=False)
