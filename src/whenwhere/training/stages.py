"""What a recipe can train: one table of stages, and the recipe as a stage gets it.

A stage is described by `TrainingStage`: the tables that its recipes have, the settings in [train], how its objective
is built, and what a run will cost. `STAGES` names where each description is; it is imported when a recipe asks for it,
so that a new stage costs nothing to those who do not use it:

    STAGES["regression"] = "my_package.regression:STAGE"
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from whenwhere.training.evaluators import EvaluatorSettings
from whenwhere.training.machine import Machine
from whenwhere.training.objective import Objective
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.tables import load_entry

#: Where the description of each stage is, as module:name.
STAGES: dict[str, str] = {
    "sft": "whenwhere.training.sft.stage:STAGE",
    "rl": "whenwhere.training.rl.stage:STAGE",
    "pretrain": "whenwhere.training.pretrain.stage:STAGE",
}


@dataclass(frozen=True)
class Recipe:
    """A recipe, checked and filled in. Its tables are attributes too: `recipe.data`, `recipe.model`.

    Attributes:
        name: Name of the recipe's file without its ending.
        stage: Name of the stage, a key of `STAGES`.
        tables: The stage's tables by name, each as its dataclass.
        train: The table [train].
        evaluators: The tables [[evaluators]].
        headline: First line of the file's comment.
        header: The whole comment at the top of the file.
        presets: Names of the presets that the recipe has.
        processes: Number of processes that it is meant for, as its preset says.
    """

    name: str
    stage: str
    tables: Mapping[str, Any]
    train: Any
    evaluators: tuple[EvaluatorSettings, ...] = ()
    headline: str = ""
    header: str = ""
    presets: tuple[str, ...] = ()
    processes: int = 1

    def __getattr__(self, name: str) -> Any:
        """A table of the recipe by its name, such as `recipe.model`."""
        if not name.startswith("_") and name != "tables" and name in self.tables:
            return self.tables[name]
        raise AttributeError(f"the recipe has no table {name!r}")

    @property
    def resolved(self) -> dict[str, Any]:
        """The recipe with every key filled in, as JSON values: all that the outcome of a run depends on."""
        tables = {name: asdict(table) for name, table in self.tables.items()}
        evaluators = {"evaluators": [asdict(e) for e in self.evaluators]} if self.evaluators else {}
        found: dict[str, Any] = json.loads(
            json.dumps({"stage": self.stage, **tables, "train": asdict(self.train), **evaluators})
        )
        return found

    @property
    def hash(self) -> str:
        """SHA-256 of the resolved recipe, without keys that do not change what is learned, such as `logging_steps`."""
        return self._hash(self.train.UNHASHED)

    @property
    def resumable_hash(self) -> str:
        """SHA-256 like `hash`, but also without keys that may change when a run is resumed.

        Files that are written during a run, such as measured difficulties, are named by it.
        """
        return self._hash(self.train.RESUMABLE)

    def _hash(self, left_out: frozenset[str]) -> str:
        dropped = {f"train.{key}" for key in left_out} | unset_additions({**self.tables, "train": self.train})
        kept = {k: v for k, v in flat(self.resolved).items() if k not in dropped and k != "evaluators"}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingStage:
    """How recipes of one stage are read and run.

    Attributes:
        settings: Dataclass of the table [train].
        build: Makes the objective of a recipe. Gets the recipe, the run, and the device (None for the best one).
        tables: Dataclasses of the recipe's other tables by name.
        estimate: Estimates what a recipe will cost, as names with numbers or sentences; `memory` may be a
            `prefix.memory.MemoryEstimate`. Gets the recipe, a function that is called with messages for the user, and
            the machine that it is planned for. None if there is no estimate.
        check: Checks that the tables fit together, and returns the settings of [train].
    """

    settings: type[TrainingSettings]
    build: Callable[[Recipe, RunFolder, str | None], Objective]
    tables: Mapping[str, type[Any]]
    estimate: Callable[[Recipe, Callable[[str], None], Machine], dict[str, Any]] | None = None
    check: Callable[[dict[str, Any], TrainingSettings], TrainingSettings] = lambda tables, train: train


def find_stage(name: object) -> TrainingStage:
    """The training stage that a recipe names.

    Args:
        name: A key of `STAGES`.

    Raises:
        SettingError: There is no such stage.
    """
    stage: TrainingStage = load_entry(name, STAGES, "stage")
    return stage


def flat(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Flattens nested tables into one, whose keys are joined by dots.

    Args:
        tables: The nested tables.
        before: Prefix of every key.

    >>> flat({"a": {"b": 1, "c": {}}, "d": 2})
    {'a.b': 1, 'd': 2}
    """
    found: dict[str, Any] = {}
    for key, value in tables.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def unset_additions(tables: Mapping[str, Any], before: str = "") -> set[str]:
    """Keys that were added to recipes in a later version (`settings.ADDED`) and have their default value.

    Args:
        tables: Dataclasses by the name of their table.
        before: Prefix of every key.
    """
    found: set[str] = set()
    for name, table in tables.items():
        for one in fields(table):
            value = getattr(table, one.name)
            if one.metadata.get("added") and value == one.default:
                found.add(f"{before}{name}.{one.name}")
            elif is_dataclass(value):
                found |= unset_additions({one.name: value}, f"{before}{name}.")
    return found
