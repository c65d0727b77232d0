"""`whenwhere data audit`: what sets cover, how far they can be answered blindly, how accurate they are, what leaks."""

import json
from pathlib import Path
from typing import Annotated

import typer

from whenwhere.cli import options


def audit(
    sets: Annotated[
        list[str], typer.Argument(metavar="[BENCHMARK=]FILE...", help="Manifests, or released files of benchmarks.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for audit.md and audit.json.")],
    reannotated: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Manifest of items of the first set that were annotated a second time."),
    ] = None,
    blind: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Answers to the first set by a model that did not see the video or the sentence; repeatable.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Also write this many questions of the first set, without truth, to annotate a second time."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    json_: options.JsonObject = False,
) -> None:
    """Audit sets: types of queries, scores without looking or reading, accuracy of labels, leaks between splits.

    Exit status: 0 done, 1 lines could not be read, 2 wrong usage.
    """
    from whenwhere.cli.console import Waiting, counted, note_faults, write_json
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.audit import audit_files

    with Waiting(f"auditing {counted(len(sets), 'set')}"):
        result = audit_files(sets, out, again=reannotated, blind=blind or [], sample=sample, seed=seed)
    if json_:
        write_json(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        stdout.print(result.markdown(), markup=False)
    faults = [fault for one in result.sets for fault in one.faults]
    note_faults(faults, f"{counted(len(faults), 'line')} could not be read and are not in the audit")
    if faults:
        raise typer.Exit(1)
