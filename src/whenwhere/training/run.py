"""Trains a model as a recipe says, from Python or from the command line: one function, `train`.

    import whenwhere
    result = whenwhere.train("tiny-sft", "runs/sft", ["max_steps=20"])
    result.checkpoint, result.metrics[-1]["loss"]

The run's folder also holds recipe.json, the recipe with every key filled in, and its hash. Calling `train` again with
the same recipe and folder resumes the run, or does nothing if it is finished.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whenwhere.errors import RecordError, SettingError
from whenwhere.models.runs import BEST
from whenwhere.readers import read_json
from whenwhere.store import read_lines, write_text
from whenwhere.training.callbacks import TrainingCallback
from whenwhere.training.checkpoint import STATE
from whenwhere.training.evaluators import build_evaluators
from whenwhere.training.hub import push_to_hub
from whenwhere.training.loop import TrainingRun
from whenwhere.training.machine import Machine, find_machine
from whenwhere.training.recipe import differences, load
from whenwhere.training.stages import Recipe, find_stage

#: What a run may write into its folder before its recipe.json.
_BEFORE_RECIPE = {"start", "difficulty", "skipped.jsonl"}


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        folder: Folder of the run.
        checkpoint: Folder of the trained model.
        best: Folder of the model with the best metric. None if no evaluator keeps one.
        steps: Number of updates.
        seconds: Seconds that the run took, pauses left out.
        counts: Sums over the run, such as `tokens` and `flops`.
        skipped: Names of samples that could not be used, one entry for each time.
        recipe: Name of the recipe.
        recipe_hash: Hash of the recipe.
        metrics: The lines of metrics.jsonl.
    """

    folder: Path
    checkpoint: Path
    best: Path | None
    steps: int
    seconds: float
    counts: dict[str, float]
    skipped: list[str]
    recipe: str
    recipe_hash: str
    metrics: list[dict[str, Any]]


def train(
    recipe: str | Path | Recipe,
    out: str | Path,
    overrides: Iterable[str] = (),
    *,
    preset: str | None = None,
    callbacks: Sequence[TrainingCallback] | None = None,
    device: str | None = None,
    device_memory: float | None = None,
) -> TrainingResult:
    """Trains as a recipe says, or resumes the run in a folder.

    Args:
        recipe: Name of a packaged recipe, path of a TOML file, or a recipe that is loaded already.
        out: Folder of the run.
        overrides: Keys of the recipe to override, such as "train.learning_rate=1e-4".
        preset: One of the recipe's presets, such as "eight-cards".
        callbacks: Callbacks for progress and warnings. None prints warnings on stderr.
        device: Device to train on. None means the best one available.
        device_memory: Memory of each device in GiB, by which runs that cannot fit are refused before weights are
            loaded. None means what the device says; nothing is refused where that is unknown.

    Raises:
        KeyboardInterrupt: A callback set `stop_requested`; the state is saved.
        ModelError: The model cannot be loaded, or a loss is not finite.
        OutputError: The disk is full; the last good state is kept. Or the model could not be pushed to the hub.
        RecordError: Annotations or the folder's files cannot be read.
        SettingError: The recipe is wrong or does not fit the device, or the folder holds a run of another recipe.
    """
    if not isinstance(recipe, Recipe):
        recipe = load(str(recipe), overrides, preset)
    elif list(overrides) or preset is not None:
        raise SettingError("overrides and presets are for recipes given by name: load the recipe with them instead")
    folder = Path(out)
    check_run_folder(recipe, folder)
    with _no_empty_folder(folder):
        run = TrainingRun(folder, {"recipe": recipe.name, "recipe_hash": recipe.hash}, callbacks)
        run.announce(recipe.train.max_steps)
        if device is None and run.processes.device is not None:
            device = str(run.processes.device)
        if run.processes.first and not (folder / STATE).exists():
            refuse_what_cannot_fit(recipe, find_machine(device, run.processes.count, device_memory))
        objective = find_stage(recipe.stage).build(recipe, run, device)
        evaluators = build_evaluators(recipe.evaluators, recipe.tables, objective)
    if run.processes.first:
        updates = objective.settings.max_steps
        if recipe.train.num_train_epochs is not None:
            run.tell(f"{recipe.train.num_train_epochs:g} epochs are {updates} updates")
        entry = {"name": recipe.name, "hash": recipe.hash, "max_steps": updates, "recipe": recipe.resolved}
        write_text(folder / "recipe.json", json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    checkpoint = run.train(objective, evaluators)
    best = folder / BEST
    kept = any(e.keep_best for e in recipe.evaluators) and best.exists()
    if recipe.train.push_to_hub and run.processes.first:
        pushed = best if kept else checkpoint
        run.tell(f"pushed {pushed} to {push_to_hub(pushed, recipe.train.push_to_hub)}")
    return TrainingResult(
        folder, checkpoint, best if kept else None,
        run.step, run.seconds, run.counts, [str(line.get("sample")) for line in read_lines(folder / "skipped.jsonl")],
        recipe.name, recipe.hash, list(read_lines(folder / "metrics.jsonl")),
    )  # fmt: skip


@contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    """Takes a folder away that the block made and left empty when it failed."""
    new = not folder.exists()
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()
        raise


def refuse_what_cannot_fit(recipe: Recipe, machine: Machine) -> None:
    """Refuses a recipe that the devices of a machine cannot hold, where their memory is known.

    Args:
        recipe: The recipe.
        machine: The machine.

    Raises:
        SettingError: It does not fit; the message names what helps.
    """
    estimate = find_stage(recipe.stage).estimate
    if estimate is not None and machine.memory is not None:
        check_estimate(recipe, estimate(recipe, lambda text: None, machine), machine)


def check_estimate(recipe: Recipe, estimate: Mapping[str, Any], machine: Machine) -> None:
    """Refuses what an estimate shows not to fit.

    Args:
        recipe: The recipe.
        estimate: What the recipe will cost, as its stage estimates it.
        machine: The machine that it was estimated for.

    Raises:
        SettingError: It does not fit; the message names what helps.
    """
    from whenwhere.training.prefix.memory import MemoryEstimate, check_fits

    memory = estimate.get("memory")
    if isinstance(memory, MemoryEstimate):
        check_fits(memory, recipe.train, machine, recipe.name)


def check_run_folder(recipe: Recipe, folder: Path) -> None:
    """Refuses a folder that holds something else, or a run that was begun with another recipe.

    Args:
        recipe: The recipe.
        folder: Folder of the run; it need not exist.

    Raises:
        RecordError: The folder's recipe.json cannot be read.
        SettingError: The folder holds something else, or a run of another recipe; the message names the keys in which
            the recipes differ.
    """
    file = folder / "recipe.json"
    there = {entry.name for entry in folder.iterdir()} - _BEFORE_RECIPE if folder.is_dir() else set()
    if there and not file.exists():
        raise SettingError(f"{folder} is not empty and holds no run: choose another --out")
    if not file.exists() or not (folder / STATE).exists():
        return  # nothing was learned yet
    try:
        changed = differences(read_json(file)["recipe"], recipe.resolved)
    except (LookupError, TypeError, ValueError, AttributeError, RecordError, SettingError) as e:
        raise RecordError(f"{file} cannot be read: take it away, or choose another --out") from e
    if changed:
        raise SettingError(
            f"the run in {folder} was begun with another recipe: {', '.join(changed)}; set "
            f"{'it' if len(changed) == 1 else 'them'} back, or choose another --out"
        )
