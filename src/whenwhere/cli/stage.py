"""`whenwhere stage`: renders procedural clips whose true times and boxes are known exactly."""

from pathlib import Path
from typing import Annotated

import typer

from whenwhere.errors import SettingError


def stage_command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the clips and the files that describe them.")],
    clips: Annotated[int, typer.Option(min=1, help="Number of clips.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clips.")] = 0,
    world: Annotated[
        str,
        typer.Option(help="What the clips show: places (people and things), or shapes (small clips, for training)."),
    ] = "places",
    split: Annotated[
        str,
        typer.Option(
            help="For shapes: train, val, heldout, ood-longer, ood-later, ood-faster or ood-look. The ood- splits "
            "differ from train in the one factor in their name."
        ),
    ] = "train",
    domain: Annotated[str | None, typer.Option(help="For shapes: street, lecture, sport or still.")] = None,
    side: Annotated[int, typer.Option(help="For shapes: width and height in pixels.")] = 128,
    fps: Annotated[float, typer.Option(help="For shapes: frames per second.")] = 8.0,
) -> None:
    """Render clips with sentences and their exact spans and boxes.

    OUT/manifest.jsonl holds the sentences with their true spans and boxes.
    OUT/truth.jsonl holds the same as answer records, with a box for every frame.
    With --world shapes there are also captions.jsonl, questions.jsonl and actions.jsonl.

    `whenwhere batch OUT/manifest.jsonl --out DIR` answers the sentences;
    `whenwhere eval --benchmark manifest-tubes --annotations OUT/manifest.jsonl --predictions DIR` scores the answers.
    """
    from whenwhere.cli.console import Waiting
    from whenwhere.cli.console import out as console
    from whenwhere.cli.options import check_folder

    if world not in ("places", "shapes"):
        raise SettingError(f"there is no world {world!r}: choose places or shapes")
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
