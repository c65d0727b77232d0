"""`whenwhere ablate check` and `run`: from arms to finished cells. `whenwhere.ablate` does the work."""

from collections.abc import Sequence
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
        int, typer.Option(min=1, help="Seeds of arms for which the budget has no room otherwise; five allow screening.")
    ] = 5,
    budget: Annotated[
        float | None,
        typer.Option(metavar="HOURS", help="Most CPU hours of the study; arms are paid for in the order of the plan."),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=SD", help="Standard deviation of the difference of one seed; repeatable."),
    ] = None,
    earlier: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of earlier cells, from which that is measured.")
    ] = None,
    cell_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Cost of one seed of an arm, if it is not to be measured.")
    ] = None,
    probe: Annotated[
        bool, typer.Option(help="Run a few updates of each arm, to find dead knobs and what an arm costs.")
    ] = True,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder in which these are kept.", show_default="FILE without .json, .probes"),
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
) -> None:
    """Check arms, metrics and cost before any run, and write the study.

    Exit status: 0 all that was bound can run, 1 some of it cannot (the study is written all the same), 2 wrong usage.
    """
    from whenwhere.ablate.binding import read_bindings
    from whenwhere.ablate.checking import check as check_bindings
    from whenwhere.ablate.study import write_study
    from whenwhere.ablate.summary import summarize
    from whenwhere.cli.console import out as stdout

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
        callback=_callback({}),
    )
    write_study(study, out)
    for line in summarize(study):
        stdout.print(line, markup=False)
    stdout.print(f"wrote {out}", markup=False)
    if any(one.status in ("refused", "dead", "missing") for one in study.not_run):
        raise typer.Exit(1)


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study, a .json file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the cells; rerun = resume.")],
    executor: Annotated[
        str, typer.Option(help="Where cells run: local (this machine), ray (a Ray cluster) or slurm (by submitit).")
    ] = "local",
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Most seconds of one process, a training and what follows.")
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
    with resumable(out), _callback({arm.id: arm.label for arm in found.arms}) as callback:
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
    """Texts KEY=VALUE as pairs.

    Raises:
        SettingError: One has no equals sign.
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
    """A number above 0 that was typed.

    Raises:
        SettingError: It is none.
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
    from whenwhere.training.tables import parsed

    return parsed(text)


def _callback(labels: dict[str, str]) -> "Any":
    """Shows a moving table on a terminal, and one line for each change in a pipe."""
    from whenwhere.ablate.progress import RunCallback
    from whenwhere.cli.console import err, note

    class Shown(RunCallback):
        def __init__(self) -> None:
            from rich.live import Live

            self._live = Live(console=err, transient=True, auto_refresh=False) if err.is_terminal else None
            self._said = ""

        def __enter__(self) -> "RunCallback":
            if self._live is not None:
                self._live.start()
            return self

        def __exit__(self, *_: object) -> None:
            if self._live is not None:
                self._live.stop()

        def on_progress(self, progress: "RunProgress") -> None:
            if self._live is not None and self._live.is_started:
                self._live.update(progress_table(progress), refresh=True)
                return
            counts = progress.counts
            said = f"{counts['done']} of {progress.total} cells done, {counts['failed']} failed"
            if said != self._said:
                self._said = said
                note(said + _left(progress.left))

        def on_failure(self, arm: str, seed: int, reason: str) -> None:
            note(f"{labels.get(arm, arm)}, seed {seed} failed: {reason}", "red")

        def on_message(self, sentence: str) -> None:
            note(sentence, "")

    return Shown()


def progress_table(progress: "RunProgress") -> "Table":
    """How far each arm is, as a table for a terminal.

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
    from whenwhere.training.callbacks import clock

    return "" if seconds is None or seconds < 1 else f", {clock(seconds)} left"
