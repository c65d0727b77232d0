"""`whenwhere ablate check` and `whenwhere ablate run`: from arms to finished cells (`whenwhere.ablate`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from whenwhere.ablate.progress import RunCallback, RunProgress


def check(
    bindings: Annotated[Path, typer.Argument(metavar="BINDINGS", help="The bindings, a .toml file.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Study to write, a .json file.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each arm; eight make a verdict.")] = 8,
    fewer_seeds: Annotated[
        int,
        typer.Option(min=1, help="Seeds of an arm that the budget cannot pay with --seeds; five allow a screening."),
    ] = 5,
    budget: Annotated[
        float | None,
        typer.Option(metavar="HOURS", help="Most CPU hours of the study; arms are paid for in the order of the plan."),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=SD", help="Standard deviation of a metric's difference of one seed; repeatable."),
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of earlier cells, from which the noise is measured.")
    ] = None,
    cell_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Seconds of one seed of an arm, instead of measuring them.")
    ] = None,
    probe: Annotated[
        bool, typer.Option(help="Run a few updates of each arm, to find dead knobs and what an arm costs.")
    ] = True,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps these runs.", show_default="that of --out, FILE.probes"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--a-a", help="Add the baseline once more with other seeds: its difference is noise alone.")
    ] = False,
    null: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Add an arm with changes that are expected to have no effect."),
    ] = None,
    accept_dead: Annotated[
        list[str] | None,
        typer.Option(metavar="KNOB", help="Run this knob although the first updates show no difference; repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Check arms, metrics and cost before any run, and write the study.

    Exit status: 0 all that was bound can run, 1 some of it cannot (the study is written all the same), 2 wrong usage.
    """
    from whenwhere.ablate.binding import read_bindings
    from whenwhere.ablate.checking import check as check_bindings
    from whenwhere.ablate.study import write_study
    from whenwhere.ablate.summary import summarize
    from whenwhere.cli.console import out as stdout

    options.keep_edited(out, overwrite)
    with _shown({}, table=False) as callback:
        study = check_bindings(
            read_bindings(bindings),
            seeds=seeds,
            fewer_seeds=fewer_seeds,
            budget=None if budget is None else budget * 3600,
            noise={key: _number(value, key) for key, value in _pairs(noise)},
            earlier=earlier,
            cell_seconds=cell_seconds,
            probe=probe,
            work=work or out.with_suffix(".probes"),
            again=again,
            null={key: _parsed(value) for key, value in _pairs(null)} if null else None,
            accept_dead=accept_dead or (),
            jobs=jobs,
            device=device,
            callback=callback,
        )
    write_study(study, out)
    for line in summarize(study):
        stdout.print(line, markup=False)
    stdout.print(f"wrote {out}", markup=False)
    if any(one.status in ("refused", "dead", "missing") for one in study.not_run):
        raise typer.Exit(1)


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study, a .json file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the cells; the same command resumes.")],
    executor: Annotated[
        str, typer.Option(help="Where cells run: local (this machine), ray (a Ray cluster) or slurm (by submitit).")
    ] = "local",
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Most seconds of one process: a training and all that needs it."),
    ] = None,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Keep cells of other code or data; the report shows it.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Option of the executor; repeatable. local: devices=0,1. ray: num_gpus=1. slurm: slurm_partition=gpu.",
        ),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the result of each cell as JSON Lines on stdout.")
    ] = False,
    device: options.Device = None,
) -> None:
    """Run the study's cells. The same command resumes: what is done stays, what failed is tried again.

    Exit status: 0 all cells are done, 1 some failed, 2 wrong usage, 130 interrupted.
    """
    from whenwhere.ablate.cells import read_cells
    from whenwhere.ablate.run import run as run_study
    from whenwhere.ablate.study import read_study
    from whenwhere.cli.console import out as stdout
    from whenwhere.cli.console import write_json
    from whenwhere.cli.process import resumable

    found = read_study(study)
    options.check_folder(out)
    with resumable(out), _shown({arm.id: arm.label for arm in found.arms}, table=True) as callback:
        result = run_study(
            found, out, executor, jobs, timeout=timeout, allow_mixed=allow_mixed, device=device,
            options={key: _parsed(value) for key, value in _pairs(option)}, callback=callback,
        )  # fmt: skip
    if json_:
        import json

        for cell in read_cells(out, found):
            entry = {"arm": cell.arm, "seed": cell.seed, "state": cell.state, "reason": cell.reason,
                     "metrics": cell.metrics}  # fmt: skip
            write_json(json.dumps(entry, ensure_ascii=False))
    else:
        stdout.print(f"{result}; the cells are in {out}", markup=False)
    if not result.complete:
        raise typer.Exit(1)


def _pairs(texts: Sequence[str] | None) -> list[tuple[str, str]]:
    """Split texts KEY=VALUE.

    Raises:
        SettingError: A text has no equals sign, or nothing before it.
    """
    from whenwhere.errors import SettingError
    from whenwhere.readers import quoted

    found = []
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"{quoted(text)} is not KEY=VALUE: write it with an equals sign")
        found.append((key.strip(), value.strip()))
    return found


def _number(text: str, key: str) -> float:
    """Read the noise of a metric that was typed.

    Raises:
        SettingError: The text is not a number above 0.
    """
    import math

    from whenwhere.errors import SettingError
    from whenwhere.readers import quoted

    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SettingError(f"the noise of {key} is {quoted(text)} and must be a number above 0")
    return value


def _parsed(text: str) -> Any:
    """The value that a text has in TOML, or else the text itself."""
    from whenwhere.training.tables import parsed

    return parsed(text)


@contextmanager
def _shown(labels: Mapping[str, str], table: bool) -> "Iterator[RunCallback]":
    """Give a callback that prints messages and failures, and progress as a moving table or as one line for each change.

    Args:
        labels: Words for the arms by their ids.
        table: Whether to show the table, if stderr is a terminal.
    """
    from rich.live import Live

    from whenwhere.ablate.progress import RunCallback
    from whenwhere.cli.console import err, note

    live = Live(console=err, transient=True, auto_refresh=False) if table and err.is_terminal else None

    class Shown(RunCallback):
        said = ""

        def on_progress(self, progress: "RunProgress") -> None:
            if live is not None:
                live.update(progress_table(progress), refresh=True)
                return
            counts = progress.counts
            said = f"{counts['done']} of {progress.total} cells done, {counts['failed']} failed"
            if said != self.said:
                self.said = said
                note(said + _left(progress.left))

        def on_failure(self, arm: str, seed: int, reason: str) -> None:
            note(f"{labels.get(arm, arm)}, seed {seed} failed: {reason}", "red")

        def on_message(self, sentence: str) -> None:
            note(sentence, "")

    with live if live is not None else nullcontext():
        yield Shown()


def progress_table(progress: "RunProgress") -> "Table":
    """Make a table for a terminal that shows how far each arm is.

    Args:
        progress: How far the study is.
    """
    from rich.table import Table
    from rich.text import Text

    from whenwhere.training.callbacks import clock

    counts = progress.counts
    title = f"{counts['done']} of {progress.total} cells, {clock(progress.elapsed)}{_left(progress.left)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("arm", "done", "running", "failed", "waiting"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm in progress.arms:
        numbers = [str(arm.count(state)) for state in ("done", "running", "failed", "waiting")]
        table.add_row(Text(arm.label), *(Text(one if one != "0" else "") for one in numbers))
    return table


def _left(seconds: float | None) -> str:
    """The remaining time as the end of a sentence; empty if it is not known or almost over."""
    from whenwhere.training.callbacks import clock

    return "" if seconds is None or seconds < 1 else f", {clock(seconds)} left"
