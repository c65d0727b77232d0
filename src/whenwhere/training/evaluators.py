"""Evaluators: what a run measures of its model while it trains it, and by which metric the best model is kept.

A recipe lists them as tables [[evaluators]]. After every `every` updates, and after the last one, the loop asks each
for its metrics, writes them to metrics.jsonl as `eval/<name>/<metric>`, and, where `keep_best` is set, saves the model
to RUN/best whenever the evaluator's metric is better than ever before. Where `patience` is set, the run ends once that
many evaluations in a row were no better. What they measured so far is kept by `training.evaluation`.

Only the first process evaluates. An evaluation leaves random numbers and weights as they are, so that a run with
evaluators learns what a run without them learns.

`EVALUATORS` names where each kind is described, as `stages.STAGES` does for stages.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.evaluate.item_values import ItemValue
from whenwhere.training.objective import Objective
from whenwhere.training.tables import checked, load_entry

#: Where the description of each kind of evaluator is, as module:name.
EVALUATORS: dict[str, str] = {
    "grounding": "whenwhere.training.policy_evaluator:EVALUATOR",
    "retrieval": "whenwhere.training.encoder_evaluators:RETRIEVAL",
    "recognition": "whenwhere.training.encoder_evaluators:RECOGNITION",
    "probe": "whenwhere.training.encoder_evaluators:PROBE",
    "qa": "whenwhere.training.encoder_evaluators:QUESTIONS",
    "localization": "whenwhere.training.encoder_evaluators:LOCALIZATION",
    "pointing": "whenwhere.training.encoder_evaluators:POINTING",
    "boundaries": "whenwhere.training.encoder_evaluators:BOUNDARIES",
}


@dataclass(frozen=True, kw_only=True)
class EvaluatorSettings:
    """One table [[evaluators]] of a training recipe: the keys that all kinds of evaluators share.

    Attributes:
        name: Name of the evaluator in metrics.jsonl.
        kind: What is evaluated, a key of `EVALUATORS`.
        every: Updates between two evaluations.
        metric: The metric that decides which model is best.
        keep_best: Keep the model with the best `metric` in RUN/best. One evaluator of a recipe may set it.
        minimize: Whether a lower value of `metric` is better.
        at_start: Whether to evaluate before the first update too, so that later values can be compared with those of
            the untrained model. None does so where `keep_best` or `patience` is set.
        patience: End the run after this many evaluations in a row whose `metric` was not better than the best before.
            0 never does.
        min_delta: Smallest amount that counts as better for `patience`.
    """

    name: str
    kind: str = "grounding"
    every: int
    metric: str
    keep_best: bool = False
    minimize: bool = False
    at_start: bool | None = None
    patience: int = 0
    min_delta: float = 0.0

    @property
    def measures_base(self) -> bool:
        """Whether the untrained model is evaluated."""
        return self.keep_best or self.patience > 0 if self.at_start is None else self.at_start

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SettingError(f"every is {self.every} and must be at least 1")


class Evaluator(Protocol):
    """Measures the model of an objective as it is now.

    An evaluator that knows the values of single items has the attribute of `ItemizingEvaluator` too.
    """

    def evaluate(self) -> dict[str, float]:
        """Measures the model now and returns the metrics by name."""
        ...


class ItemizingEvaluator(Evaluator, Protocol):
    """An evaluator that also says what single items contributed.

    Attributes:
        items: Values of single items in the latest evaluation, each under the name of the metric that is their mean.
    """

    items: list[ItemValue]


@dataclass(frozen=True)
class EvaluatorKind:
    """How evaluators of one kind are read and made.

    Attributes:
        settings: Dataclass of the table.
        build: Makes an evaluator. Gets the table, the recipe's other tables by name, and the objective.
    """

    settings: type[EvaluatorSettings]
    build: Callable[[Any, Mapping[str, Any], Any], Evaluator]


@dataclass(frozen=True)
class ScheduledEvaluator:
    """An evaluator together with the schedule on which it runs.

    Attributes:
        settings: The evaluator's table in the recipe, with the schedule.
        evaluator: The evaluator.
    """

    settings: EvaluatorSettings
    evaluator: Evaluator

    def due(self, step: int, last: bool) -> bool:
        """Whether the evaluator runs after an update.

        Args:
            step: Number of updates done; 0 before the first one.
            last: Whether this is the last update of the run.
        """
        return self.settings.measures_base if step == 0 else last or step % self.settings.every == 0

    def measure(self) -> tuple[dict[str, float], float]:
        """All metrics of the model as it is now, and the value of the one that decides which model is best.

        Raises:
            SettingError: The evaluator does not measure the metric that its table names.
        """
        metrics = self.evaluator.evaluate()
        if self.settings.metric not in metrics:
            raise SettingError(
                f"the evaluator {self.settings.name!r} has no metric {self.settings.metric!r}"
                f"{did_you_mean(self.settings.metric, metrics)}"
            )
        return metrics, metrics[self.settings.metric]

    def item_values(self) -> list[ItemValue]:
        """Values of single items in the latest evaluation, their metrics named `<evaluator>/<metric>`; often none."""
        name = self.settings.name
        return [replace(one, metric=f"{name}/{one.metric}") for one in getattr(self.evaluator, "items", ())]

    def better(self, value: float, best: float | None, by: float = 0.0) -> bool:
        """Whether a value of the deciding metric is better than the best so far.

        Args:
            value: The value; NaN is never better.
            best: The best so far. None means that there is none.
            by: Only a value that is better by more than this counts.
        """
        if math.isnan(value):
            return False
        return best is None or (best - value > by if self.settings.minimize else value - best > by)


def find_evaluator(name: object) -> EvaluatorKind:
    """The kind of evaluator that a recipe names.

    Args:
        name: A key of `EVALUATORS`.

    Raises:
        SettingError: There is no such kind.
    """
    kind: EvaluatorKind = load_entry(name, EVALUATORS, "kind of evaluator")
    return kind


def read_evaluators(tables: object, source: str) -> tuple[EvaluatorSettings, ...]:
    """The tables [[evaluators]] of a recipe, checked.

    Args:
        tables: The list of tables as the TOML parser returned it.
        source: Name of the recipe's file, for errors.

    Raises:
        SettingError: A key does not exist, a value is not allowed, two evaluators have the same name, or two of them
            keep the best model.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingError(f"{source}: evaluators is a list of tables, written [[evaluators]]")
    found: list[EvaluatorSettings] = []
    for table in tables:
        kind = find_evaluator(table.get("kind", "grounding"))
        found.append(checked(kind.settings, table, f"{source} [[evaluators]]"))
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"{source}: two evaluators are named {name!r}; give each a name of its own")
    if sum(one.keep_best for one in found) > 1:
        raise SettingError(f"{source}: one evaluator decides which model is the best: set keep_best once")
    return tuple(found)


def build_evaluators(
    settings: tuple[EvaluatorSettings, ...], tables: Mapping[str, Any], objective: Objective
) -> list[ScheduledEvaluator]:
    """The evaluators of a recipe.

    Args:
        settings: Their tables.
        tables: The recipe's other tables by name.
        objective: The objective whose model they measure.
    """
    return [ScheduledEvaluator(one, find_evaluator(one.kind).build(one, tables, objective)) for one in settings]
