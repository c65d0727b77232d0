"""Difficulties of the sentences that a recipe trains on, for the policy that it starts from."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from whenwhere.curate.difficulty import Difficulty
from whenwhere.training import builders
from whenwhere.training.data.difficulty import measure
from whenwhere.training.stages import Recipe


def measure_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    device: str | None = None,
    skip: Callable[[str, str], None] | None = None,
    tell: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Difficulty]:
    """Measure how hard each sentence of a recipe is for its policy; those that are in the file are not asked again.

    Args:
        recipe: A recipe for a policy, with its checkpoint, data, reward and table [curriculum].
        out: JSON Lines file to which the difficulties are appended.
        device: Device to compute on. None means the best one available.
        skip: Called with the name of a sample that cannot be used, and the reason. None raises an error instead.
        tell: Called with the number of samples done, and of all samples.
        note: Called with messages about the data.

    Returns:
        Difficulties by the name of their question.

    Raises:
        MissingExtraError: A package that training needs is not installed.
        ModelError: The checkpoint cannot be opened.
        RecordError: The data cannot be read, or the file holds difficulties of another score, policy, recipe or number
            of draws.
    """
    builders.quiet_transformers()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = builders.open_checkpoint(recipe, Path(folder), device)
        source = builders.open_source(recipe, note)
        policy = builders.open_policy(recipe, checkpoint)
        if tell is not None:
            tell(0, len(source))
        return measure(
            policy, source, recipe.reward.verifier(recipe.model.form), builders.difficulty_sampling(recipe), Path(out),
            name=builders.policy_name(recipe, checkpoint), recipe=recipe.resumable_hash, skip=skip, tell=tell,
        )  # fmt: skip
