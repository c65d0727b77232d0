"""The stage `sft`: supervised fine-tuning of a policy, or of another output head."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whenwhere.training.machine import Machine
from whenwhere.training.objective import Objective
from whenwhere.training.policy_tables import POLICY_TABLES, check_policy_tables
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.training.stages import Recipe, TrainingStage

if TYPE_CHECKING:
    from whenwhere.training.prefix.flops import FlopCounter, Flops
    from whenwhere.training.prefix.group import TokenSegment


def build(recipe: Recipe, run: RunFolder, device: str | None) -> Objective:
    """The objective of a recipe; see `stages.TrainingStage`."""
    from whenwhere.training.builders import start_policy
    from whenwhere.training.sft.head_objective import HeadObjective
    from whenwhere.training.sft.heads import HEADS
    from whenwhere.training.sft.objective import SFTObjective

    if recipe.model.head == "text":  # has an objective of its own, which computes clips side by side
        return SFTObjective(*start_policy(recipe, run, device), recipe.train)
    head = HEADS[recipe.model.head]()
    return HeadObjective(*start_policy(recipe, run, device, head.prepare), recipe.train, head)


def estimate(recipe: Recipe, tell: Callable[[str], None], machine: Machine) -> dict[str, Any]:
    """What a recipe will cost; see `stages.TrainingStage`."""
    from whenwhere.training.policy_estimate import LongestClip, estimate_policy
    from whenwhere.training.prefix.footprint import PassShape
    from whenwhere.training.prefix.memory import UpdateShape

    train: SFTSettings = recipe.train

    def cost(counter: "FlopCounter", prompt: "TokenSegment", suffixes: list[int], targets: list[int]) -> "Flops":
        return counter.training(prompt, [s + t for s, t in zip(suffixes, targets, strict=True)], sum(targets))

    def shape(longest: LongestClip) -> UpdateShape:
        branches = tuple(s + t for s, t in zip(longest.suffixes, longest.targets, strict=True))
        clip = PassShape(longest.prompt, branches, sum(longest.targets), 1, longest.frames, longest.patches)
        return UpdateShape(clip, train.samples_per_step)

    return estimate_policy(recipe, tell, machine, cost, shape, train.samples_per_step)


STAGE = TrainingStage(
    settings=SFTSettings, build=build, tables=POLICY_TABLES, estimate=estimate, check=check_policy_tables
)
