"""The progress of a study while it runs, its result, and the callback that receives both."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from whenwhere.ablate.cells import State


@dataclass
class ArmProgress:
    """The progress of one arm.

    Attributes:
        id: Id of the arm.
        label: Words for the arm in tables.
        states: State of each seed of the arm.
    """

    id: str
    label: str
    states: dict[int, State] = field(default_factory=dict)

    def count(self, state: State) -> int:
        """Number of seeds in a state.

        Args:
            state: The state.
        """
        return sum(one == state for one in self.states.values())


@dataclass
class RunProgress:
    """The progress of a study.

    Attributes:
        arms: Progress of each arm.
        elapsed: Seconds since the run began.
        left: Estimated seconds until the end; None as long as there is nothing to estimate them from.
        running: Names of the cells that run now, `hash/seed`.
    """

    arms: Sequence[ArmProgress]
    elapsed: float = 0.0
    left: float | None = None
    running: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Number of cells (an arm with a seed) in each state."""
        return Counter(state for arm in self.arms for state in arm.states.values())

    @property
    def total(self) -> int:
        """Number of cells."""
        return sum(len(arm.states) for arm in self.arms)


class RunCallback:
    """Receives what happens while a study runs; override the methods that you need."""

    def on_progress(self, progress: RunProgress) -> None:
        """Called when something has changed, and about once a second.

        Args:
            progress: How far the study is.
        """

    def on_failure(self, arm: str, seed: int, reason: str) -> None:
        """Called when a cell has failed; the other cells go on.

        Args:
            arm: Id of the arm.
            seed: The seed.
            reason: Why it failed, as a sentence.
        """

    def on_message(self, sentence: str) -> None:
        """Called with something that a user should know.

        Args:
            sentence: The sentence.
        """


@dataclass(frozen=True)
class RunResult:
    """What became of the cells of a study.

    Attributes:
        total: Number of cells: arms times their seeds.
        done: Number of cells that are done, in this run or before it.
        failures: Arm, seed and reason of each cell that failed.
        seconds: Seconds that this run took.
    """

    total: int
    done: int
    failures: list[tuple[str, int, str]]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every cell is done."""
        return self.done == self.total

    def __str__(self) -> str:
        part = "all cells are done" if self.complete else f"partial ({self.done} of {self.total} cells are done)"
        return part + (f", {len(self.failures)} failed" if self.failures else "")
