"""Measures the model of a finished run by evaluators that the run itself did not have, without training again.

    recipe = load("tiny-svilm", [...])          # the recipe of the run, with any evaluators
    measured = measure_run(recipe, "runs/svilm")
    measured.metrics["retrieval/t2v-R@1"]

So several evaluations of one model cost a single training run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.item_values import ItemValue
from whenwhere.models.runs import RESULT
from whenwhere.training.callbacks import TrainingCallback
from whenwhere.training.checkpoint import STATE, load_state
from whenwhere.training.evaluators import build_evaluators
from whenwhere.training.loop import TrainingRun, seed_everything
from whenwhere.training.objective import Objective
from whenwhere.training.run import check_run_folder
from whenwhere.training.stages import Recipe, find_stage


@dataclass
class Measured:
    """What evaluators measured of a model.

    Attributes:
        metrics: Values of the metrics by `<evaluator>/<metric>`.
        items: Values of the metrics for single items, named in the same way.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    items: list[ItemValue] = field(default_factory=list)


def measure_run(
    recipe: Recipe,
    folder: str | Path,
    *,
    callbacks: Sequence[TrainingCallback] | None = None,
    device: str | None = None,
) -> Measured:
    """Measures the model that a run ended with. The run's folder is only read.

    Args:
        recipe: Recipe of the run, with the evaluators that are to measure; the run may have had others.
        folder: Folder of the run.
        callbacks: Callbacks that receive warnings. None prints warnings on stderr.
        device: Device to compute on. None means the best one available.

    Raises:
        RecordError: The folder holds no finished run, or its state cannot be read.
        SettingError: The run was begun with another recipe, its weights are sharded, or an evaluator does not fit.
    """
    run_folder = Path(folder)
    state = load_state(run_folder)
    if state is None:
        raise RecordError(f"{run_folder} holds no run whose model could be measured: train it first")
    check_run_folder(recipe, run_folder)
    if not (run_folder / RESULT).is_dir():
        raise RecordError(
            f"the run in {run_folder} has not finished, its last state is that of update {state['step']}: resume it by "
            "the command that began it, and measure it then"
        )
    if "weights" not in state:
        raise SettingError(
            f"the weights of {run_folder} are sharded, which cannot be measured later: put the evaluators into the "
            "recipe, and they measure while it trains"
        )
    objective = find_stage(recipe.stage).build(recipe, TrainingRun(run_folder, callbacks=callbacks), device)
    try:
        seed_everything(recipe.train.seed)
        objective.prepare()
        _take_weights(objective, state["weights"], run_folder / STATE)
        objective.restore(state["processes"][0]["stage"])
        measured = Measured()
        for evaluator in build_evaluators(recipe.evaluators, recipe.tables, objective):
            metrics, _ = evaluator.measure()
            measured.metrics |= {f"{evaluator.settings.name}/{key}": float(value) for key, value in metrics.items()}
            measured.items += evaluator.item_values()
        return measured
    finally:
        objective.close()


def _take_weights(objective: Objective, weights: dict[str, object], file: Path) -> None:
    """Copies the trained weights of a state into an objective's model; the other weights are those of its start."""
    import torch

    own = {name: weight for name, weight in objective.module.named_parameters() if weight.requires_grad}
    if own.keys() != weights.keys():
        raise RecordError(f"{file} holds the state of another model: measure it with the recipe of its run")
    with torch.no_grad():
        for name, weight in own.items():
            learned = weights[name]
            assert isinstance(learned, torch.Tensor)
            weight.copy_(learned)
