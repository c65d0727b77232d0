"""The interface between the training loop and what it trains.

An objective owns a model and knows how to compute the gradients of one update. The loop (`training.loop`) owns
everything else: optimiser, learning rate, clipping, several processes, metrics, states and resuming. The loop knows
nothing of samples, rewards or families of models; a ten-line regression is trained by it like a policy with a verifier
(`tests/test_training_objective.py`).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from whenwhere.training.processes import Processes
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Outcome:
    """What one process found in one update.

    Attributes:
        metrics: Numbers that are averaged over the updates between two lines, such as `loss`. They are the same on
            every process.
        counts: Numbers that are added up over updates and processes, such as `tokens`. Each process gives its own.
        samples: How many samples this process could use. A run in which no process used any is an error.
        empty: Whether no process has gradients, so that the weights stay as they are.
        stop: Whether the objective asks the run to end after this update.
    """

    metrics: dict[str, float]
    counts: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    empty: bool = False
    stop: bool = False


class Objective(Protocol):
    """What a run trains, one update at a time.

    An objective that can be sharded has the methods of `ShardableObjective` too.
    """

    @property
    def settings(self) -> TrainingSettings:
        """The settings of the run."""
        ...

    @property
    def module(self) -> "torch.nn.Module":
        """The module whose parameters with `requires_grad` are trained; asked for after `prepare`."""
        ...

    @property
    def device(self) -> "torch.device":
        """The device that updates are computed on."""
        ...

    def prepare(self) -> None:
        """Makes the module ready to be trained: what is frozen, what is added, precision. Called once, seeded."""
        ...

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Computes the gradients of an update and leaves them in the module's parameters.

        Losses are divided by what all processes count together (`run.processes.sum`), because the loop adds the
        processes' gradients up. Which samples an update sees must follow from its number, the seed and what `state`
        gave, so that a resumed run sees the same.

        Args:
            number: Number of the update, from 0.
            run: The run, for skipping samples and writing lines.
        """
        ...

    def state(self) -> dict[str, Any]:
        """What later updates depend on beside the weights: tensors, numbers, texts, and lists and dicts of them."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave.

        Args:
            state: As `state` gave it.
        """
        ...

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the trained model.

        Args:
            folder: Folder that is replaced when everything is written.
            about: Metadata of the result: recipe, its hash, number of updates.
        """
        ...

    def close(self) -> None:
        """Ends threads and connections; called once, however the run ends."""
        ...


class ShardableObjective(Objective, Protocol):
    """An objective whose weights can be divided among processes, by `training.sharding.ShardedModule`.

    Its `step` makes the same number of passes in every process, and all processes call its `save`, in which the first
    one writes.
    """

    def shard(self, processes: Processes) -> None:
        """Divides the weights among the processes. Called once, after `prepare`.

        Args:
            processes: The processes that train together.

        Raises:
            SettingError: The weights cannot be divided.
        """
        ...

    def gathered(self) -> AbstractContextManager[None]:
        """Context manager, entered by all processes, in which one of them may compute with the model alone."""
        ...
