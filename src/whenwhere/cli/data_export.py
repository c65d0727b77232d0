"""`whenwhere data export`: writes manifests as the training data of other projects."""

import json
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.cli import options


def export(
    file: Annotated[
        str, typer.Argument(metavar="[BENCHMARK=]FILE", help="A manifest, or a benchmark's released file.")
    ],
    to: Annotated[str, typer.Option(help="trl, ms-swift, llama-factory, easyr1 or verl.")],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="File to write: .jsonl, .json or .parquet, whichever the project reads."),
    ],
    stage: Annotated[
        str, typer.Option(help="sft (with the right answer) or rl (with the truth for the reward).")
    ] = "sft",
    dialect: Annotated[str, typer.Option(help="Model family whose prompt and form of answer are taken.")] = "qwen3-vl",
    form: Annotated[
        str | None, typer.Option(help="Form of answer to use instead of the family's; needs --prompt.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt to use instead of the family's, with {query} and optionally {duration}.")
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the videos.", show_default="the manifest's folder")
    ] = None,
    frames: Annotated[
        int, typer.Option(help="Number of pictures of each video, for projects that take pictures (trl).")
    ] = 16,
    json_: options.JsonObject = False,
) -> None:
    """Write a manifest as training data of TRL, ms-swift, LLaMA-Factory, EasyR1 or verl.

    Exit status: 0 done (what was left out is counted by reason), 1 lines could not be read or nothing is left,
    2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, counted, note, note_faults, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate import training_formats

    with Waiting(f"writing {out.name}"):
        result = training_formats.export(
            file, to, out, stage=stage, dialect=dialect, form=form, prompt=prompt, videos=videos, frames=frames
        )
    if json_:
        found = {"rows": result.rows, "left_out": dict(result.left_out), "files": list(map(str, result.files))}
        write_json(json.dumps(found, ensure_ascii=False))
    else:
        stdout.print(f"wrote {', '.join(map(str, result.files))}: {counted(result.rows, 'row')} for {to}", markup=False)
    for reason, count in result.left_out.most_common():
        note(f"left out: {count}, such as {result.examples[reason]}: {reason}", "yellow")
    note_faults(result.faults, f"{counted(len(result.faults), 'line')} could not be read")
    if result.faults:
        raise typer.Exit(1)
