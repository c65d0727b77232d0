"""`whenwhere data trajectories`: asks a teacher for reasoning, and replaces its times and boxes by the true ones."""

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whenwhere.cli import options
from whenwhere.errors import SettingError

if TYPE_CHECKING:
    from whenwhere.curate.trajectory_report import TrajectoryReport


def trajectories(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A manifest (.jsonl or .parquet) with true times and boxes.")
    ],
    model: Annotated[
        str,
        typer.Option(
            help="The teacher: the address of a server, http://host:8000/v1#name, or the folder or Hugging Face id of "
            "a vision-language model. Frames leave this machine only if you name an address here."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Manifest to which items with a trajectory are added (.jsonl); items without one are added to "
            "FILE-rejected.jsonl. Items that either file holds already are not asked about again.",
        ),
    ],
    form: Annotated[
        str, typer.Option(help="Form of the answers, one with a place for reasoning, such as time-r1.")
    ] = "second-level",
    shown: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="Size of the picture that the policy is shown, for a form that answers in its pixels (open-o3-boxes).",
        ),
    ] = None,
    coordinates: Annotated[
        str, typer.Option(help="Whose times and boxes the reasoning holds: truth, or teacher for the teacher's own.")
    ] = "truth",
    tries: Annotated[
        int, typer.Option(min=1, help="How often the teacher is asked about an item before it is given up.")
    ] = 2,
    copies: Annotated[
        float,
        typer.Option(help="Share that is kept of the trajectories whose reasoning only repeats the answer, 0 to 1."),
    ] = 0.0,
    max_cost: options.MaxCost = None,
    dry_run: options.DryRun = False,
    json_: options.JsonObject = False,
    seed: options.Seed = 0,
    device: options.Device = None,
    concurrency: options.Concurrency = None,
    cache: options.Cache = None,
    engine: options.Engine = None,
    workers: options.Workers = None,
) -> None:
    """Ask a teacher to reason about when and which, and replace its times and boxes by the true ones.

    Exit status: 0 done, 1 some items could not be asked about or none is kept (rerun to go on),
    2 wrong usage, 130 interrupted (finished items are kept).
    """
    from whenwhere.chat import Budget
    from whenwhere.cli.console import Waiting, note, note_faults, show_estimate, write_json
    from whenwhere.cli.process import resumable
    from whenwhere.curate.teacher_error import TrajectoryLimits
    from whenwhere.curate.trajectories import TrajectoryJob, estimate, make_trajectories
    from whenwhere.models.backends.resolve import load_model

    limits = TrajectoryLimits(copies=copies)
    size = None if shown is None else _size(shown)
    job = TrajectoryJob(form, coordinates, tries, seed=seed, limits=limits, shown=size)  # type: ignore[arg-type]
    options.check_folder(out.parent)
    budget = None if max_cost is None else Budget(tokens=max_cost)
    with load_model(model, device=device, concurrency=concurrency, cache=cache, budget=budget) as backend:
        if dry_run:
            show_estimate(estimate(manifest, out, backend, job), json_, "one try each: ")
            return
        if engine is not None and workers is None:
            workers = backend.concurrency
        load = partial(load_model, model, device=device, concurrency=1, cache=cache)
        with resumable(out), Waiting("asking the teacher") as waiting, options.opened_engine(engine, workers) as opened:
            report = make_trajectories(
                manifest, out, backend, job, lambda done, of: waiting.share(done / of),
                engine=opened, load=load, tokens=max_cost,
            )  # fmt: skip
        for sentence in backend.warnings():
            note(sentence, "yellow")
    if json_:
        write_json(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        _tell(report, out)
    note_faults(report.faults)
    if report.faults or not report.kept:
        raise typer.Exit(1)


def _size(text: str) -> tuple[int, int]:
    """Width and height in pixels that were typed as WIDTHxHEIGHT.

    Raises:
        SettingError: The text is not two numbers with an x between them.
    """
    found = re.fullmatch(r"([0-9]{1,5})[xX×]([0-9]{1,5})", text.strip())
    if found is None:
        raise SettingError(f"--shown {text!r} is not a size: write it as width x height, such as 448x252")
    return int(found[1]), int(found[2])


def _tell(report: "TrajectoryReport", out: Path) -> None:
    """Print for a person how many items have a trajectory, and why replies were rejected."""
    from rich.table import Table

    from whenwhere.cli.console import counted, show_table
    from whenwhere.cli.console import out as stdout
    from whenwhere.curate.trajectory_checks import CHECKS

    stdout.print(
        f"{out}: {report.kept} of {counted(report.items, 'item')} have a trajectory, {report.resumed} were done before",
        markup=False,
    )
    if report.t_iou is not None:
        place = "" if report.v_iou is None else f", v_IoU {report.v_iou:.3f}"
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.kinds.most_common())
        stdout.print(f"  the teacher's first answers: t_IoU {report.t_iou:.3f}{place}; errors: {kinds}", markup=False)
    table = Table("rejected because", "items", "replies", "why")
    for name in sorted(CHECKS, key=lambda name: -report.replies[name]):
        if report.replies[name] or report.rejected[name]:
            table.add_row(name, str(report.rejected[name]), str(report.replies[name]), CHECKS[name].__doc__ or "")
    if table.row_count:
        show_table(table)
    stdout.print(f"  copy rate {report.copy_rate:.1%}")
