"""How a run is doing, read from its folder: progress, time left, last metrics, evaluators, and what looks wrong.

    from whenwhere.training.status import run_status
    run_status("runs/sft").step

Nothing but files is read, so that a run can be looked at while it goes on, from another machine that shares its folder,
and after it died. Lines that are damaged or half written are left out.

The thresholds of the warnings are rules of thumb: they say where to look and not what is wrong.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import RecordError, SettingError
from whenwhere.models.runs import RESULT, kept_steps, step_of
from whenwhere.readers import read_json
from whenwhere.store import read_lines
from whenwhere.training.callbacks import clock

#: Lines of metrics at the end of a run that its pace and the warnings are taken from.
RECENT = 10
#: Metrics that are shown first, where a run has them.
SHOWN = ("loss", "reward", "reward_std", "zero_variance", "length", "entropy", "grad_norm", "lr")


@dataclass(frozen=True)
class EvaluatorStatus:
    """What an evaluator has measured, by the metric that decides which model is best.

    Attributes:
        name: Name of the evaluator.
        metric: Name of the metric.
        step: Number of updates at the last value.
        value: The last value.
        base: The value before training. None if it was not measured.
        best: The best value.
        best_step: Number of updates at the best value.
    """

    name: str
    metric: str
    step: int
    value: float
    base: float | None
    best: float
    best_step: int


@dataclass(frozen=True)
class TrainingStatus:
    """How a run is doing.

    Attributes:
        folder: Folder of the run.
        recipe: Name of its recipe; empty if recipe.json cannot be read.
        stage: Name of its stage; empty if recipe.json cannot be read.
        step: Number of updates in the last line of metrics.
        of: Number of updates in the whole run. None if it is not known.
        finished: Whether the result is written.
        seconds: Seconds that the run took so far, pauses left out.
        left: Estimated seconds until the end at the pace of the last lines. None if it is not known.
        age: Seconds since the last line of metrics was written. None if there is no line.
        metrics: The last line of metrics.
        evaluators: What each evaluator has measured.
        models: Numbers of updates of the models in RUN/checkpoints.
        warnings: What looks wrong, as sentences.
        curves: Values of each metric by number of updates.
    """

    folder: Path
    recipe: str
    stage: str
    step: int
    of: int | None
    finished: bool
    seconds: float
    left: float | None
    age: float | None
    metrics: dict[str, float]
    evaluators: tuple[EvaluatorStatus, ...] = ()
    models: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    curves: dict[str, dict[int, float]] = field(default_factory=dict)


def run_status(folder: str | Path) -> TrainingStatus:
    """How the run in a folder is doing; it may be going on.

    Args:
        folder: Folder of the run.

    Raises:
        SettingError: The folder holds no run.
    """
    run = Path(folder)
    file = run / "metrics.jsonl"
    if not (run / "recipe.json").is_file() and not file.is_file():
        what = "is not the folder of a training run" if run.is_dir() else "does not exist"
        raise SettingError(f"{run} {what}: name the folder that `whenwhere train --out` was given")
    recipe = _recipe(run)
    curves = _curves(run)
    steps = [step for name, curve in curves.items() if not name.startswith("eval/") for step in curve]
    step = max(steps, default=max((s for curve in curves.values() for s in curve), default=0))
    of = _whole(recipe.get("max_steps")) or _whole(_table(_table(recipe, "recipe"), "train").get("max_steps"))
    seconds = curves.pop("seconds", {})
    result = step_of(run / RESULT)
    finished = (run / RESULT).is_dir() and (result is None or result >= step)
    left = 0.0 if finished else _left(seconds, step, of)
    try:
        age = max(time.time() - file.stat().st_mtime, 0.0)
    except OSError:
        age = None
    evaluators = _evaluators(recipe, curves)
    return TrainingStatus(
        run, str(recipe.get("name", "")), str(_table(recipe, "recipe").get("stage", "")), step, of, finished,
        seconds[max(seconds)] if seconds else 0.0, left, age,
        {name: curve[step] for name, curve in curves.items() if step in curve and not name.startswith("eval/")},
        evaluators, tuple(kept_steps(run)), tuple(_warnings(curves, evaluators)), curves,
    )  # fmt: skip


def _recipe(run: Path) -> dict[str, Any]:
    """What recipe.json holds; nothing if it cannot be read."""
    try:
        found = read_json(run / "recipe.json")
    except RecordError:
        return {}
    return found if isinstance(found, dict) else {}


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, Mapping) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _curves(run: Path) -> dict[str, dict[int, float]]:
    """Each metric of metrics.jsonl by number of updates; of lines with the same number the last one counts."""
    curves: dict[str, dict[int, float]] = {}
    for line in read_lines(run / "metrics.jsonl"):
        step = line.get("step")
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 10**12:
            continue
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                curves.setdefault(name, {})[step] = float(value)
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


def _left(seconds: Mapping[int, float], step: int, of: int | None) -> float | None:
    """Seconds until the end, at the pace of the last lines."""
    recent = list(seconds)[-RECENT:]
    if of is None or not recent:
        return None
    first = recent[0] if len(recent) > 1 else 0
    began = seconds[first] if len(recent) > 1 else 0.0
    pace = (seconds[recent[-1]] - began) / max(recent[-1] - first, 1)
    return max(pace * (of - step), 0.0) if math.isfinite(pace) else None


def _evaluators(recipe: Mapping[str, Any], curves: Mapping[str, Mapping[int, float]]) -> tuple[EvaluatorStatus, ...]:
    tables = _table(recipe, "recipe").get("evaluators")
    found = []
    for table in tables if isinstance(tables, list) else ():
        if not isinstance(table, Mapping):
            continue
        name, metric, sign = str(table.get("name")), str(table.get("metric")), -1 if table.get("minimize") else 1
        curve = {s: v for s, v in curves.get(f"eval/{name}/{metric}", {}).items() if not math.isnan(v)}
        if curve:
            last = max(curve)
            best = max(curve, key=lambda s: (sign * curve[s], -s))
            found.append(EvaluatorStatus(name, metric, last, curve[last], curve.get(0), curve[best], best))
    return tuple(found)


def _warnings(curves: Mapping[str, Mapping[int, float]], evaluators: tuple[EvaluatorStatus, ...]) -> list[str]:
    """What looks wrong, as sentences."""

    def mean(name: str, first: bool = False) -> float:
        """Mean of a metric over the last lines, or over the first ones; NaN if there are none."""
        values = [v for v in curves.get(name, {}).values() if math.isfinite(v)]
        return float(np.mean(values[:RECENT] if first else values[-RECENT:])) if values else math.nan

    said = []
    if (share := mean("zero_variance")) > 0.7:
        said.append(
            f"{share:.0%} of the groups have completions of equal reward and teach nothing: set zero_variance = "
            "'resample', or choose questions of medium difficulty ([curriculum])"
        )
    if (now := mean("entropy")) < 0.2 * (then := mean("entropy", first=True)):
        said.append(
            f"the entropy fell from {then:.3g} to {now:.3g}, so completions hardly differ any more: a lower "
            "learning_rate, a higher epsilon_high or entropy_coef keeps it up"
        )
    if (share := mean("truncated")) > 0.2:
        said.append(f"{share:.0%} of the completions are cut off: raise max_completion_length")
    if (now := mean("length")) > 2 * (then := mean("length", first=True)):
        said.append(f"completions grew from {then:.0f} to {now:.0f} tokens: look at RUN/completions")
    if (share := mean("parse_rate")) < 0.5:
        said.append(f"only {share:.0%} of the completions can be read: train by SFT first, or check prompt and form")
    if (share := mean("format_variance")) > 0.5:
        said.append(f"{share:.0%} of the differences in reward are those of the format: the policy learns to write")
    skipped, used = (max(curves.get(name, {0: 0.0}).values()) for name in ("skipped", "clips"))
    if skipped > 0.1 * (skipped + used):
        said.append(f"{skipped:.0f} of {skipped + used:.0f} samples could not be used: skipped.jsonl says why")
    if any(not math.isfinite(v) for name in ("loss", "grad_norm") for v in curves.get(name, {}).values()):
        said.append("a loss or gradient is not finite")
    for one in evaluators:
        if one.base is not None and one.step > 0 and one.best_step == 0:
            said.append(f"{one.name} {one.metric} was never better than before training, {one.base:.4g}")
    return said


def summary(status: TrainingStatus) -> list[str]:
    """The status as lines for a person: progress, last metrics, each evaluator, and the models that have a name.

    Args:
        status: The status of a run.
    """
    of = "" if status.of is None else f" of {status.of} ({min(status.step / status.of, 1):.0%})"
    lines = [f"update {status.step}{of}, {clock(status.seconds)} so far"]
    if status.finished:
        lines[0] += ", finished" if status.of in (None, status.step) else ", ended early"
    elif status.left is not None:
        lines[0] += f", about {clock(status.left)} left"
    if status.age is not None and not status.finished:
        lines[0] += f"; the last line of metrics is {clock(status.age)} old"
    if status.metrics:
        shown = [name for name in SHOWN if name in status.metrics]
        lines.append(", ".join(f"{name} {status.metrics[name]:.4g}" for name in shown or list(status.metrics)[:4]))
    for one in status.evaluators:
        base = "" if one.base is None else f"base {one.base:.4g}, "
        lines.append(
            f"{one.name} {one.metric} {one.value:.4g} at {one.step} ({base}best {one.best:.4g} at {one.best_step})"
        )
    if status.models:
        lines.append(f"models: {', '.join(f'{status.folder}@{step}' for step in status.models[-3:])}")
    return lines
