"""A ten-line objective that has nothing to do with videos, as a stage of its own.

`regression_stage.py RECIPE RUN [STEP]` trains by a recipe, and kills itself after update STEP.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whenwhere.training.callbacks import Progress, TrainingCallback
from whenwhere.training.evaluators import EVALUATORS, EvaluatorKind, EvaluatorSettings
from whenwhere.training.objective import Outcome
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.stages import STAGES, TrainingStage


@dataclass(frozen=True)
class LineSettings:
    """The table [line].

    Attributes:
        slope: Slope of the line that is learned.
        points: Points in an update.
    """

    slope: float = 2.0
    points: int = 16


class Regression:
    """Learns y = slope · x from noisy points."""

    def __init__(self, line: LineSettings, settings: TrainingSettings) -> None:
        import torch

        torch.manual_seed(0)
        self.line, self.settings, self.seen = line, settings, 0
        self.module, self.device = torch.nn.Linear(1, 1), torch.device("cpu")

    def prepare(self) -> None: ...
    def close(self) -> None: ...

    def step(self, number: int, run: Any) -> Outcome:
        import torch

        if not self.line.points:
            return Outcome({}, empty=True)
        x = torch.randn(self.line.points, 1)
        loss = (self.module(x) - self.line.slope * x).square().mean()
        loss.backward()
        self.seen += len(x)
        return Outcome({"loss": loss.item()}, {"points": len(x)}, samples=len(x))

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = [p.tolist() for p in self.module.parameters()]
        (folder / "line.json").write_text(json.dumps({"weights": weights, "seen": self.seen, **about}))


class SlopeError:
    """Measures how far the learned slope is from the true one; draws random numbers, as an evaluator may."""

    def __init__(self, objective: Regression) -> None:
        self.objective = objective

    def evaluate(self) -> dict[str, float]:
        import torch

        torch.rand(7)
        return {"slope_error": abs(self.objective.module.weight.item() - self.objective.line.slope)}


def build_evaluator(settings: EvaluatorSettings, tables: Mapping[str, Any], objective: Regression) -> SlopeError:
    return SlopeError(objective)


STAGE = TrainingStage(
    settings=TrainingSettings,
    build=lambda recipe, run, device: Regression(recipe.line, recipe.train),
    tables={"line": LineSettings},
)
EVALUATOR = EvaluatorKind(EvaluatorSettings, build_evaluator)


def register() -> None:
    STAGES["regression"] = "regression_stage:STAGE"
    EVALUATORS["slope"] = "regression_stage:EVALUATOR"


@contextmanager
def registered() -> Iterator[None]:
    """The stage and the evaluator are known inside the block, and gone after it."""
    before = dict(STAGES), dict(EVALUATORS)
    register()
    try:
        yield
    finally:
        for table, old in zip((STAGES, EVALUATORS), before, strict=True):
            table.clear()
            table.update(old)


class Dies(TrainingCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_update(self, progress: Progress) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(recipe: str, folder: str, step: str = "0") -> None:
    from whenwhere.training.run import train

    register()
    train(recipe, folder, callbacks=[Dies(int(step))])
    heavy = ("transformers", "whenwhere.training.prefix", "whenwhere.training.data", "whenwhere.grounders")
    assert not [name for name in sys.modules if name.startswith(heavy)], sys.modules.keys()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
