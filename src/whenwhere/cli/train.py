"""`whenwhere train`: trains a model as a recipe says. The same command resumes a run that was stopped (`training.run`).

Progress goes to stderr: a progress bar on a terminal, otherwise one line for each line of metrics. With --json the
metrics, and the result at the end, are also printed on stdout as JSON Lines.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options
from whenwhere.cli.process import INTERRUPTED
from whenwhere.training.callbacks import Progress, RunStatus, TrainingCallback, clock

if TYPE_CHECKING:
    from whenwhere.training.machine import Machine
    from whenwhere.training.run import TrainingResult
    from whenwhere.training.stages import Recipe

#: Bytes at the end of metrics.jsonl in which the line of the last update is looked for.
_TAIL = 1 << 16


def train_command(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="Name of a recipe (--list shows all), or a path to a .toml file."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Settings of the recipe to change, such as train.learning_rate=1e-4.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Folder for the run; if it holds an unfinished run, that resumes."),
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print metrics and the result as JSON Lines on stdout.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the recipe, its hash, and an estimate of its tokens, FLOPs and memory, without training. "
            "A recipe that cannot fit is an error.",
        ),
    ] = False,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A preset of the recipe, such as eight-cards (--list shows all).")
    ] = None,
    device_memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB",
            help="Plan for devices with this much memory, such as 80, instead of those of this machine.",
            show_default=False,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --dry-run: plan for this many processes, one device each.",
            show_default="the preset's, or 1",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Print the recipes of this package and exit.")] = False,
    device: options.Device = None,
) -> None:
    """Train a policy as a recipe says. The same command resumes a run that was stopped.

    `whenwhere train status RUN` shows how far a run is.

    Exit status: 0 done, 1 training failed or skipped samples (the last line says how many),
    2 wrong usage, 130 interrupted (the last saved state is kept).
    """
    from whenwhere.errors import SettingError
    from whenwhere.training.recipe import load

    if list_:
        _list(json_)
        return
    if recipe is None:
        raise SettingError("whenwhere train needs a RECIPE; `whenwhere train --list` shows those of the package")
    found = load(recipe, changes or [], preset)
    if dry_run:
        from whenwhere.training.machine import find_machine

        _plan(found, json_, find_machine(device, processes, device_memory, found.processes))
        return
    if processes is not None:
        raise SettingError("--processes is for --dry-run: start them with `accelerate launch --num_processes`")
    if out is None:
        raise SettingError("whenwhere train needs a folder for the run: add --out RUN")
    options.check_folder(out)
    _train(found, out, json_, device, device_memory)


def _list(json_: bool) -> None:
    """Print the recipes of the package."""
    from rich.text import Text

    from whenwhere.cli.console import out, write_json
    from whenwhere.training.recipe import load, packaged

    for name in packaged():
        recipe = load(name)
        if json_:
            entry = {
                "name": name, "stage": recipe.stage, "headline": recipe.headline, "hash": recipe.hash,
                "presets": list(recipe.presets),
            }  # fmt: skip
            write_json(json.dumps(entry, ensure_ascii=False))
        else:
            presets = "".join(f" [--preset {preset}]" for preset in recipe.presets)
            out.print(Text(f"{name:<20} {recipe.headline}{presets}"))


def _train(recipe: "Recipe", out: Path, json_: bool, device: str | None, device_memory: float | None) -> None:
    from whenwhere.cli.console import note
    from whenwhere.training.run import train

    watch = _Watch(recipe, json_, out)
    try:
        with watch, _stopping(watch):
            result = train(recipe, out, callbacks=[watch], device=device, device_memory=device_memory)
    except KeyboardInterrupt:
        of = f" of {watch.of}" if watch.of else ""
        note(f"interrupted after update {watch.step}{of}; {_how_to_resume(watch.run)}")
        raise typer.Exit(INTERRUPTED) from None
    if watch.run is not None:  # the first process
        _tell_result(result, json_)


@contextmanager
def _stopping(watch: "_Watch") -> Iterator[None]:
    """Ctrl-C ends a run of one process after the current update, with its state; a second Ctrl-C ends it at once."""
    import signal
    import threading

    from whenwhere.cli.console import note

    def stop(*_: object) -> None:
        if watch.run is None or not watch.run.stoppable or not watch.training:
            raise KeyboardInterrupt
        watch.run.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        note(f"stopping after update {watch.step + 1}; Ctrl-C again stops at once, and loses what was not saved")

    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    # a job in the background has Ctrl-C ignored
    if main and before is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _how_to_resume(run: RunStatus | None) -> str:
    """Say where a rerun of an interrupted run begins."""
    if run is None or run.saved is None:
        return "no state was saved yet: rerun to begin anew"
    lost = run.step - run.saved
    return "rerun to resume" + (f" from update {run.saved}; {lost} are lost" if lost > 0 else "")


def _tell_result(result: "TrainingResult", json_: bool) -> None:
    """Print the result, and how many samples could not be used."""
    from whenwhere.cli.console import note, write_json
    from whenwhere.cli.console import out as stdout

    if json_:
        best = {} if result.best is None else {"best": str(result.best)}
        entry = {
            "checkpoint": str(result.checkpoint), **best, "steps": result.steps, "seconds": round(result.seconds, 1),
            "recipe": result.recipe, "recipe_hash": result.recipe_hash, "skipped": len(result.skipped),
            **result.counts,
        }  # fmt: skip
        write_json(json.dumps(entry, ensure_ascii=False))
    else:
        best_too = "" if result.best is None else f", the best model in {result.best}"
        text = f"{result.steps} updates in {clock(result.seconds)}; wrote {result.checkpoint}{best_too}"
        stdout.print(text, markup=False)
    if result.skipped:
        names = list(dict.fromkeys(result.skipped))
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        note(f"skipped {len(result.skipped)} samples ({some}): see {result.folder / 'skipped.jsonl'}", "red")
        raise typer.Exit(1)


class _Watch(TrainingCallback):
    """What a person sees of a run: a moving line on a terminal, else a line for each line of metrics.

    Args:
        recipe: The recipe that is trained.
        json: Print metrics on stdout.
        out: Folder of the run.

    Attributes:
        run: The run. None until it begins, and in all processes but the first.
        training: Whether an update is done already in this process.
        of: Number of updates in the whole run; 0 until it is known.
    """

    def __init__(self, recipe: "Recipe", json: bool, out: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as ProgressBar

        from whenwhere.cli.console import err

        self.recipe, self.json, self.out = recipe, json, out
        self.run: RunStatus | None = None
        self.training = False
        self.of = recipe.train.max_steps
        self._moving = err.is_terminal
        self._bar = ProgressBar(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False), console=err, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(recipe.name, total=recipe.train.max_steps or None, left="")

    def __enter__(self) -> None:
        if self._moving:
            self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._moving:
            self._bar.stop()

    @property
    def step(self) -> int:
        """Number of updates done."""
        return 0 if self.run is None else self.run.step

    def on_start(self, run: RunStatus, of: int) -> None:
        """Keeps the run, to stop it and to say where it stopped."""
        self.run = run

    def on_message(self, text: str) -> None:
        """Prints a sentence."""
        from whenwhere.cli.console import note

        note(text, "")

    def on_warning(self, text: str) -> None:
        """Prints a warning."""
        from whenwhere.cli.console import note

        note(text, "yellow")

    def on_preparation(self, what: str, done: int, of: int) -> None:
        """Moves the progress line; where there is none, prints a line when the work is done."""
        if self._moving:
            self._bar.update(self._task, description=what, completed=done, total=of)
        elif done == of:
            self.on_message(f"{what}: {of} of {of} samples")

    def on_update(self, progress: Progress) -> None:
        """Shows how far the run is."""
        self.training = True
        name, of = self.recipe.name, progress.of
        self.of = of
        left = f"{clock(progress.left)} left"
        text = _brief(progress.metrics)
        if self._moving:
            self._bar.update(self._task, description=f"{name} {text}", completed=progress.step, total=of, left=left)
        if progress.step % self.recipe.train.logging_steps == 0 or progress.step == of:
            if not self._moving:
                self.on_message(f"{name} {progress.step}/{of} {text} {left}")
            if self.json:
                self._print_metrics(progress.step)

    def on_evaluation(self, name: str, step: int, metrics: dict[str, float], best: bool) -> None:
        """Says what an evaluator measured."""
        decides = next((one.metric for one in self.recipe.evaluators if one.name == name), "")
        base = None if self.run is None else self.run.history[name].base
        compared = "" if base is None else f" (base {base:.3f})" if step else " (base)"
        shown = [f"{decides} {metrics[decides]:.3f}{compared}"]
        shown += [f"{key} {value:.3f}" for key, value in metrics.items() if key != decides][:2]
        self.on_message(f"{self.recipe.name} {step}: {name} {' '.join(shown)}" + (" (best so far)" if best else ""))
        if self.json:
            line = {"step": step, **{f"eval/{name}/{key}": value for key, value in metrics.items()}}
            self._write(json.dumps(line, ensure_ascii=False))

    def _print_metrics(self, step: int) -> None:
        """Prints the line of metrics of an update."""
        with (self.out / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
        for text in reversed(lines if size <= _TAIL else lines[1:]):  # the first one may be cut
            line = json.loads(text)
            if "lr" in line and line["step"] == step:
                self._write(text)
                return

    def _write(self, line: str) -> None:
        from whenwhere.cli.console import write_json

        write_json(line)
        sys.stdout.flush()


def _brief(metrics: dict[str, float]) -> str:
    """The numbers that say most.

    >>> _brief({"loss": 0.51234, "reward": 0.25, "clip": 3})
    'loss 0.512 reward 0.250'
    """
    return " ".join(f"{name} {metrics[name]:.3f}" for name in ("loss", "reward", "reward_std") if name in metrics)


def _plan(recipe: "Recipe", json_: bool, machine: "Machine") -> None:
    """Print the recipe with all its values, and what it will cost as far as that is known without weights."""
    from rich.text import Text

    from whenwhere.cli.console import note, out, write_json
    from whenwhere.training.prefix.memory import MemoryEstimate
    from whenwhere.training.run import check_estimate
    from whenwhere.training.stages import find_stage

    entry: dict[str, Any] = {"name": recipe.name, "hash": recipe.hash, "recipe": recipe.resolved}
    estimate = find_stage(recipe.stage).estimate
    found = {} if estimate is None else estimate(recipe, lambda text: note(text, ""), machine)
    memory = found.get("memory")
    shown = memory.as_dict(machine) if isinstance(memory, MemoryEstimate) else memory
    entry["estimate"] = {**found, "memory": shown} if "memory" in found else found
    if json_:
        write_json(json.dumps(entry, ensure_ascii=False))
        check_estimate(recipe, found, machine)
        return
    out.print(Text(f"{recipe.name}: {recipe.headline}"))
    out.print(f"hash {recipe.hash}")
    for table, values in recipe.resolved.items():
        for one in values if table == "evaluators" else [values]:
            if table == "stage":
                continue
            out.print(f"\n[[{table}]]" if table == "evaluators" else f"\n[{table}]", markup=False)
            if table == "train":
                out.print(f'stage = "{recipe.stage}"', markup=False)
            for key, value in one.items():
                out.print(Text(f"{key} = {json.dumps(value, ensure_ascii=False)}"))
    out.print("")
    for key, value in entry["estimate"].items():
        if not isinstance(value, dict):
            out.print(Text(f"{key.replace('_', ' ')}: {value if isinstance(value, str) else _number(value)}"))
    if isinstance(shown, dict):
        out.print(Text(_memory_text(shown)))
    check_estimate(recipe, found, machine)


def _number(value: float) -> str:
    """A number of an estimate: counts below a thousand million in full, others to four digits.

    >>> _number(24000), _number(27_510_000_000), _number(0.024)
    ('24,000', '2.751e+10', '0.024')
    """
    return f"{value:,}" if isinstance(value, int) and value < 1_000_000_000 else f"{value:.4g}"


def _memory_text(memory: dict[str, Any]) -> str:
    """Describe the memory per device, its parts at the peak, and the phases of an update."""
    where = "an accelerator" if memory["planned_for"] == "accelerator" else (
        "the CPU (--device-memory 80 plans for an accelerator of 80 GiB)"
    )  # fmt: skip
    of = "" if memory["device_gib"] is None else f" of {memory['device_gib']:.1f} GiB"
    count = memory["processes"]
    parts = ", ".join(f"{part} {value:.2f}" for part, value in memory["parts_gib"].items())
    phases = ", ".join(f"{phase} {value:.2f}" for phase, value in memory["phases_gib"].items())
    return (
        f"memory per device: {memory['total_gib']:.2f} GiB{of}, in {count} process{'es' if count > 1 else ''}, planned "
        f"for {where}\nat the peak ({memory['peak']}): {parts}\nphases of an update: {phases}"
    )
