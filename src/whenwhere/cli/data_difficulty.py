"""`whenwhere data difficulty`: measures how hard sentences are for a policy."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from whenwhere.cli import options

#: Number of samples that are named.
SHOWN = 3
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def difficulty(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name or path of a training recipe. Its model answers its data, and its reward scores the answers.",
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the recipe to change, such as checkpoint=runs/sft."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="JSON Lines file to write. If it exists, only sentences that it lacks are measured."
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0, help="Sampled answers per sentence; 0 takes one greedy answer.", show_default="the recipe's"
        ),
    ] = None,
    json_: Json = False,
    device: options.Device = None,
) -> None:
    """Measure how hard each sentence is for a policy: 1 - the mean reward of the policy's own answers.

    Exit status: 0 done, 1 some sentences could not be measured (the last line says how many),
    2 wrong usage, 130 interrupted (finished measurements are kept).
    """
    from whenwhere.cli.console import Waiting, counted, note
    from whenwhere.cli.ground import INTERRUPTED
    from whenwhere.curate.difficulty import summary
    from whenwhere.errors import SettingError
    from whenwhere.training import builders
    from whenwhere.training.data import difficulty as measured
    from whenwhere.training.recipe import load

    if out is None:
        raise SettingError("whenwhere data difficulty needs a file to write: add --out FILE")
    found = load(recipe, [*(changes or []), *([f"curriculum.draws={draws}"] if draws is not None else [])])
    options.check_folder(out.parent)
    builders.quiet_transformers()
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        skipped.append(name)
        note(f"{name} is skipped: {reason}", "yellow")

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = builders.open_checkpoint(found, Path(folder), device)
        source = builders.open_source(found, note)
        policy = builders.open_policy(found, checkpoint)
        try:
            with Waiting(f"asking about {counted(len(source), 'sample')}", total=len(source)) as waiting:
                verifier = found.reward.verifier(found.model.form)
                known = measured.measure(
                    policy, source, verifier, builders.difficulty_sampling(found), out,
                    name=builders.policy_name(found, checkpoint),
                    recipe=found.resumable_hash, skip=skip, tell=lambda done, of: waiting.step(),
                )  # fmt: skip
        except KeyboardInterrupt:
            note(f"interrupted; what is measured is in {out}, rerun to resume")
            raise typer.Exit(INTERRUPTED) from None
    if known:
        _tell_difficulty(summary(known), out, json_)
    if skipped:
        some = ", ".join(skipped[:SHOWN])
        note(f"{len(skipped)} of {counted(len(source), 'sample')} could not be used, such as {some}", "red")
        raise typer.Exit(1)


def _tell_difficulty(found: dict[str, Any], file: Path, json_: bool) -> None:
    from whenwhere.cli.console import counted, out, write_json

    if json_:
        write_json(json.dumps(found, ensure_ascii=False))
        return
    how = f"mean of {found['draws']} draws" if found["draws"] else "one greedy answer"
    out.print(f"{file}: {counted(found['questions'], 'sentence')}, {how}, 1 - ({found['score']})", markup=False)
    out.print(f"  deciles: {' '.join(f'{value:.2f}' for value in found['deciles'])}; mean {found['mean']:.3f}")
    spread = f"; mean deviation between draws {found['std']:.3f}" if found["draws"] else ""
    out.print(f"  wholly wrong {found['wrong']:.1%}, exact {found['right']:.1%}{spread}")
    out.print(f"  cost {found['flops']:.2e} FLOPs")
