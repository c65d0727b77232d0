"""How far a study is while it runs, and who is told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from whenwhere.ablate.cells import State


@dataclass
class ArmProgress:
    """How far one arm is.

    Attributes:
        id: Id of the arm.
        label: What it is called in tables.
        states: State of each of its seeds.
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
    """How far a study is.

    Attributes:
        arms: How far each arm is.
        elapsed: Seconds since the run began.
        left: Estimated seconds until the end; None while nothing is known.
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
    """Told of what happens while a study runs; override the methods that you need."""

    def on_progress(self, progress: RunProgress) -> None:
        """Something has changed, or some time has passed."""

    def on_failure(self, arm: str, seed: int, reason: str) -> None:
        """A cell of an arm has failed; the rest goes on."""

    def on_message(self, sentence: str) -> None:
        """Something that a user should know."""


@dataclass(frozen=True)
class RunResult:
    """What became of the cells of a study.

    Attributes:
        total: Number of cells: arms times their seeds.
        done: How many are done, in this run or before.
        failures: Arm, seed and reason of each that failed.
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
