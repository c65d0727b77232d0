"""`whenwhere train`: SFT or RL as a recipe says, in a folder from which the same command goes on.

    RUN/recipe.json       the recipe, filled in, with its hash
    RUN/metrics.jsonl, skipped.jsonl, completions/, state/, checkpoint/      see `whenwhere.training.loop`
    RUN/difficulty/       what was measured for a curriculum

Progress goes to stderr: a moving line on a terminal, a line for each line of metrics elsewhere. With --json the lines
of metrics are printed on stdout too, and the result at the end.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whenwhere.cli import options
from whenwhere.cli.ground import INTERRUPTED
from whenwhere.training.callbacks import Progress, TrainingCallback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.recipe import Recipe


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="Name of a recipe (--list shows all), or a path to a .toml file."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="What to change in it, such as train.learning_rate=1e-4.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run; one that was begun in it goes on.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print metrics and the result as JSON Lines on stdout.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe, its hash, and what it will cost; train nothing.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Print the recipes of this package, and leave.")] = False,
    device: options.Device = None,
) -> None:
    """Train a policy as a recipe says; run it again to go on.

    Exit status: 0 done, 1 it failed or samples were skipped (the last line says how many), 2 wrong usage, 130
    interrupted (the last good state is kept).
    """
    from whenwhere.errors import SettingError
    from whenwhere.training.recipe import load

    if list_:
        _list(json_)
        return
    if recipe is None:
        raise SettingError("whenwhere train needs a RECIPE; `whenwhere train --list` shows those of the package")
    found = load(recipe, changes or [])
    if dry_run:
        _plan(found, json_, device)
        return
    if out is None:
        raise SettingError("whenwhere train needs a folder for the run: add --out RUN")
    options.check_folder(out)
    _agree(found, out)
    _train(found, out, json_, device)


def _list(json_: bool) -> None:
    from rich.text import Text

    from whenwhere.cli.console import out
    from whenwhere.training.recipe import load, packaged

    for name in packaged():
        recipe = load(name)
        if json_:
            entry = {"name": name, "stage": recipe.stage, "headline": recipe.headline, "hash": recipe.hash}
            sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
        else:
            out.print(Text(f"{name:<20} {recipe.headline}"))


def _agree(recipe: "Recipe", out: Path) -> None:
    """Refuse to go on with another recipe than the run was begun with.

    Raises:
        RecordError: the folder's recipe.json cannot be read.
        SettingError: the recipe is another one; names the keys.
    """
    from whenwhere.errors import RecordError, SettingError
    from whenwhere.training.checkpoint import STATE
    from whenwhere.training.recipe import differences

    file = out / "recipe.json"
    there = {entry.name for entry in out.iterdir()} - {"start"} if out.is_dir() else set()
    if there and not file.exists():
        raise SettingError(f"{out} is not empty and holds no run: choose another --out")
    if not file.exists() or not (out / STATE).exists():
        return  # nothing was learned yet
    try:
        before = json.loads(file.read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise RecordError(f"{file} cannot be read: take it away, or choose another --out") from e
    others = differences(before, recipe.resolved)
    if others:
        raise SettingError(
            f"the run in {out} was begun with another recipe: {', '.join(others)}; set "
            f"{'it' if len(others) == 1 else 'them'} back, or choose another --out"
        )


def _train(recipe: "Recipe", out: Path, json_: bool, device: str | None) -> None:
    from whenwhere.cli.console import note
    from whenwhere.errors import SettingError
    from whenwhere.store import write_text
    from whenwhere.training import builders
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.rl.settings import RLSettings

    quiet()
    watch = _Watch(recipe, json_, out)
    run = TrainingRun(out, callbacks=[watch])
    watch.run = run
    if device is None and run.processes.device is not None:
        device = str(run.processes.device)
    source = builders.source(recipe, tell=lambda text: watch.said(text, ""))
    with _first(run):
        checkpoint = builders.checkpoint(recipe, out / "start", device)
    run.about = _about(recipe, checkpoint)
    policy = builders.policy(recipe, checkpoint)
    if run.processes.first:
        entry = {"name": recipe.name, "hash": recipe.hash, "recipe": recipe.resolved}
        write_text(out / "recipe.json", json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    if recipe.curriculum.schedule == "rescored" and run.processes.count > 1:
        raise SettingError("schedule = 'rescored' runs in one process: start it without accelerate launch")
    if recipe.curriculum.needed and not recipe.curriculum.difficulty:
        watch.said(f"difficulty is measured on {len(source)} samples (data.count says how many there are)", "")
    try:
        with watch:
            with _first(run):
                course = builders.course(
                    recipe, source, policy, out, skip=watch.unmeasured, tell=watch.measured,
                    say=lambda text: watch.said(text, "yellow"),
                )  # fmt: skip
            with _halting(run):
                if isinstance(recipe.train, RLSettings):
                    from whenwhere.training.rl import objective as rl

                    result = run.train(rl.RLObjective(policy, course, recipe.verifier, recipe.train))
                else:
                    from whenwhere.training.sft import objective as sft

                    result = run.train(sft.SFTObjective(policy, course, recipe.train))
    except KeyboardInterrupt:
        note(f"interrupted after update {run.step} of {recipe.train.max_steps}; {_goes_on(run)}")
        raise typer.Exit(INTERRUPTED) from None
    if run.processes.first:
        _finish(recipe, run, result, json_)


@contextmanager
def _halting(run: "TrainingRun") -> "Iterator[None]":
    """The first Ctrl-C ends a run of one process behind this update, with its state; the second at once."""
    import signal
    import threading

    from whenwhere.cli.console import note

    def halt(*_: object) -> None:
        run.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        note(f"stopping behind update {run.step + 1}; Ctrl-C again stops at once, and loses what was not saved")

    before = signal.getsignal(signal.SIGINT)
    ours = run.processes.count == 1 and threading.current_thread() is threading.main_thread()
    # a job in the background has Ctrl-C ignored
    if ours and before is signal.default_int_handler:
        signal.signal(signal.SIGINT, halt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _goes_on(run: "TrainingRun") -> str:
    """From where an interrupted run goes on."""
    if run.saved is None:
        return "no state was saved yet: run it again to begin anew"
    lost = run.step - run.saved
    return "run it again to go on" + (f" from update {run.saved}; {lost} are lost" if lost > 0 else "")


@contextmanager
def _first(run: "TrainingRun") -> "Iterator[None]":
    """The first process does what makes files; the others do it when they are there."""
    if not run.processes.first:
        run.processes.wait()
    yield
    if run.processes.first:
        run.processes.wait()


def quiet() -> None:
    """No bars of transformers between ours; says which package is missing."""
    from whenwhere.models.vlm import required

    required("training", "train")
    from transformers.utils import logging

    logging.disable_progress_bar()


def _about(recipe: "Recipe", checkpoint: Any) -> dict[str, Any]:
    """What the trained checkpoint says of itself, so that it is asked as it was trained."""
    model, data = recipe.model, recipe.data
    about = {
        "recipe": recipe.name, "recipe_hash": recipe.hash, "sample_fps": model.sample_fps,
        "long_side": model.long_side or checkpoint.dialect.side,
        "seconds": float(data.world.seconds[1]) if data.kind == "shapes" else checkpoint.dialect.seconds,
    }  # fmt: skip
    return {key: value for key, value in about.items() if value is not None}


def _finish(recipe: "Recipe", run: "TrainingRun", result: Path, json_: bool) -> None:
    """The result, and how many samples could not be used."""
    from whenwhere.cli.console import note
    from whenwhere.cli.console import out as stdout
    from whenwhere.store import read_lines

    skipped = [line["sample"] for line in read_lines(run.folder / "skipped.jsonl")]
    if json_:
        entry = {
            "checkpoint": str(result), "steps": run.step, "seconds": round(run.seconds, 1), "recipe": recipe.name,
            "recipe_hash": recipe.hash, "skipped": len(skipped), **run.counts,
        }  # fmt: skip
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        stdout.print(f"{run.step} updates in {_clock(run.seconds)}; wrote {result}", markup=False)
    if skipped:
        names = list(dict.fromkeys(skipped))
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        note(f"skipped {len(skipped)} samples ({some}): see {run.folder / 'skipped.jsonl'}", "red")
        raise typer.Exit(1)


def _clock(seconds: float) -> str:
    """A length of time for a person.

    >>> _clock(8.4), _clock(125), _clock(7500)
    ('8 s', '2 min 5 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Watch(TrainingCallback):
    """What a person sees of a run: a moving line on a terminal, else a line for each line of metrics.

    Args:
        recipe: that is trained.
        json: print metrics on stdout.
        out: folder of the run.

    Attributes:
        run: set before the first update.
    """

    def __init__(self, recipe: "Recipe", json: bool, out: Path) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from whenwhere.cli.console import err

        self.recipe, self.json, self.out = recipe, json, out
        self.run: TrainingRun | None = None
        self._moving = err.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False), console=err, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(recipe.name, total=recipe.train.max_steps, left="")

    def __enter__(self) -> None:
        if self._moving:
            self._bar.start()

    def __exit__(self, *_: object) -> None:
        if self._moving:
            self._bar.stop()

    def said(self, text: str, style: str) -> None:
        """A line beside the moving one, of the first process."""
        from whenwhere.cli.console import note

        if self.run is None or self.run.processes.first:
            note(text, style)

    def unmeasured(self, sample: str, reason: str) -> None:
        """A sample's difficulty cannot be measured; it is not part of the run."""
        from whenwhere.store import append_line, read_lines

        file = self.out / "skipped.jsonl"
        if sample not in {line["sample"] for line in read_lines(file)}:
            # of no update: a run that goes on keeps the line
            append_line(file, json.dumps({"step": 0, "sample": sample, "reason": reason}, ensure_ascii=False))
            self.said(f"{sample} is skipped: {reason}", "yellow")

    def measured(self, done: int, of: int) -> None:
        """So many samples' difficulties are known."""
        if self._moving:
            self._bar.update(self._task, description="measuring difficulty", completed=done, total=of)
        elif done == of:
            self.said(f"measured the difficulty of {of} samples", "")

    def on_message(self, text: str) -> None:
        """A sentence for a person."""
        self.said(text, "")

    def on_warning(self, text: str) -> None:
        """A warning."""
        self.said(text, "yellow")

    def on_preparation(self, what: str, done: int, of: int) -> None:
        """Work before the first update goes on."""
        self.measured(done, of)

    def on_update(self, progress: Progress) -> None:
        """An update is done."""
        name, of = self.recipe.name, progress.of
        left = f"{_clock(progress.left)} left"
        said = _brief(progress.metrics)
        if self._moving:
            self._bar.update(self._task, description=f"{name} {said}", completed=progress.step, total=of, left=left)
        every = self.recipe.train.logging_steps
        if progress.step % every == 0 or progress.step == of:
            if not self._moving:
                self.said(f"{name} {progress.step}/{of} {said} {left}", "")
            if self.json:
                self._print()

    def _print(self) -> None:
        """The last line of metrics."""
        lines = (self.out / "metrics.jsonl").read_bytes().splitlines()
        if lines:
            sys.stdout.write(lines[-1].decode() + "\n")
            sys.stdout.flush()


def _brief(metrics: dict[str, float]) -> str:
    """The numbers that say most.

    >>> _brief({"loss": 0.51234, "reward": 0.25, "clip": 3})
    'loss 0.512 reward 0.250'
    """
    return " ".join(f"{name} {metrics[name]:.3f}" for name in ("loss", "reward", "reward_std") if name in metrics)


def _plan(recipe: "Recipe", json_: bool, device: str | None) -> None:
    """The recipe, filled in, and what it will cost, so far as that can be known without weights."""
    from rich.text import Text

    from whenwhere.cli.console import note, out
    from whenwhere.training.estimate import estimate

    entry: dict[str, Any] = {"name": recipe.name, "hash": recipe.hash, "recipe": recipe.resolved}
    quiet()
    entry["estimate"] = estimate(recipe, lambda text: note(text, ""), device)
    if json_:
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return
    out.print(Text(f"{recipe.name}: {recipe.headline}"))
    out.print(f"hash {recipe.hash}")
    for table, values in recipe.resolved.items():
        if table == "stage":
            continue
        out.print(f"\n[{table}]", markup=False)
        if table == "train":
            out.print(f'stage = "{recipe.stage}"', markup=False)
        for key, value in values.items():
            out.print(Text(f"{key} = {json.dumps(value, ensure_ascii=False)}"))
    out.print("")
    for key, value in entry["estimate"].items():
        out.print(Text(f"{key.replace('_', ' ')}: {value if isinstance(value, str) else f'{value:,.4g}'}"))
