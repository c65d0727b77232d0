"""The stage `rl`: RL with a verifier."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whenwhere.errors import SettingError
from whenwhere.training.machine import Machine
from whenwhere.training.objective import Objective
from whenwhere.training.policy_tables import POLICY_TABLES, check_policy_tables
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.stages import Recipe, TrainingStage

if TYPE_CHECKING:
    from whenwhere.training.prefix.flops import FlopCounter, Flops
    from whenwhere.training.prefix.group import TokenSegment


def build(recipe: Recipe, run: RunFolder, device: str | None) -> Objective:
    """The objective of a recipe; see `stages.TrainingStage`."""
    from whenwhere.training.builders import start_policy
    from whenwhere.training.rl.objective import RLObjective

    policy, source = start_policy(recipe, run, device)
    return RLObjective(policy, source, recipe.reward.verifier(recipe.model.form), recipe.train)


def estimate(recipe: Recipe, tell: Callable[[str], None], machine: Machine) -> dict[str, Any]:
    """What a recipe will cost; see `stages.TrainingStage`. Completions are counted at their longest."""
    from whenwhere.training.policy_estimate import LongestClip, estimate_policy
    from whenwhere.training.prefix.footprint import PassShape
    from whenwhere.training.prefix.memory import UpdateShape

    train: RLSettings = recipe.train
    longest, count = train.max_completion_length, train.num_generations

    def cost(counter: "FlopCounter", prompt: "TokenSegment", suffixes: list[int], targets: list[int]) -> "Flops":
        branches = [suffixes[0] + longest] * count
        return counter.forward(prompt, branches, longest * count) + counter.training(prompt, branches, longest * count)

    def shape(clip: LongestClip) -> UpdateShape:
        suffixes = clip.suffixes[: train.prompts_per_step]
        questions = len(suffixes)
        branches = tuple(s + longest for s in suffixes for _ in range(count))
        group = PassShape(clip.prompt, branches, longest * count * questions, 1, clip.frames, clip.patches)
        return UpdateShape(
            group, max(train.prompts_per_step // questions, 1), longest, "trained" if train.entropy_coef else True,
            train.temperature, bool(train.beta and not (train.lora_r and train.freeze_vision_tower)),
        )  # fmt: skip

    return estimate_policy(recipe, tell, machine, cost, shape, train.prompts_per_step, longest)


def check_tables(tables: dict[str, Any], train: TrainingSettings) -> TrainingSettings:
    """Checks tables against each other; see `stages.TrainingStage`."""
    if tables["model"].head != "text":
        raise SettingError("[model] head: RL trains answers as text; set head = 'text', or stage = 'sft'")
    return check_policy_tables(tables, train)


STAGE = TrainingStage(settings=RLSettings, build=build, tables=POLICY_TABLES, estimate=estimate, check=check_tables)
