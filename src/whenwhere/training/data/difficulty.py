"""Measures how hard questions are for a policy, by its own answers (`curate.difficulty` is the record).

Two estimators: one greedy answer (`draws` = 0), or the mean over several sampled answers, whose standard deviation is
kept too (what the selector `variance` needs). One prompt serves all draws and all questions of a video
(`prefix.rollout`).

A file grows by one line a question; measuring again continues where it stopped. What a measurement costs counts as
compute of the run that uses it.
"""

import hashlib
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whenwhere.curate.difficulty import Difficulty, event_share, read_if_there
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.store import append_line
from whenwhere.training.data.samples import Sample, SampleSource
from whenwhere.training.run_folder import SampleError
from whenwhere.verify import Verifier

if TYPE_CHECKING:
    from whenwhere.training.prefix.policy import Policy


@dataclass(frozen=True, slots=True)
class DifficultySampling:
    """How a policy is asked when difficulty is measured.

    Attributes:
        draws: Sampled answers per question. 0 means one greedy answer.
        temperature: Sampling temperature.
        max_tokens: Largest number of tokens of an answer.
        max_prompt: Largest number of tokens of a prompt; a sample with a longer one cannot be measured.
        seed: Seed of sampling; the answers depend on it and the sample's name, and not on what was measured before.
    """

    draws: int = 0
    temperature: float = 1.0
    max_tokens: int = 512
    max_prompt: int = 16_384
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 0 or self.draws == 1:
            raise SettingError(
                f"difficulty is measured by one greedy answer (draws = 0) or by at least 2 draws, not {self.draws}"
            )


def score_name(verifier: Verifier) -> str:
    """A name for a reward from its terms and weights, by which files of difficulties can be compared.

    Args:
        verifier: The reward.

    >>> score_name(Verifier({"t_iou": 1, "v_iou": 1})), score_name(Verifier({"t_iou": 3}))
    ('0.5 t_iou + 0.5 v_iou', 't_iou')
    """
    total = sum(verifier.weights.values())
    shares = {name: weight / total for name, weight in verifier.weights.items() if weight > 0}
    return " + ".join(name if share == 1 else f"{share:.4g} {name}" for name, share in sorted(shares.items()))


def measure(
    policy: "Policy",
    source: SampleSource,
    verifier: Verifier,
    sampling: DifficultySampling,
    file: Path,
    *,
    name: str,
    recipe: str = "",
    skip: Callable[[str, str], None] | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Difficulty]:
    """Measures all questions of a source; those that are in the file already are not asked again.

    Args:
        policy: The policy that answers.
        source: The samples.
        verifier: The reward; its format term does not count.
        sampling: How the policy is asked.
        file: JSON Lines file to which the difficulties are appended.
        name: Name of the policy, which each line holds.
        recipe: Hash of the recipe, which each line holds.
        skip: Called with the name of a sample that cannot be used, and the reason. None raises an error instead.
        tell: Called with the number of samples done, and of all samples.

    Returns:
        Difficulties by the name of their question.

    Raises:
        RecordError: The file holds difficulties of another score, policy, recipe or number of draws.
    """
    same = {"score": score_name(verifier), "policy": name, "recipe": recipe, "draws": sampling.draws}
    known = read_if_there(file, same)
    lines = Tally(d.number for d in known.values())
    done = {d.number for d in known.values() if lines[d.number] == d.of}
    for number in range(len(source)):
        if number not in done:
            sample = f"sample {number}"
            try:
                clip = source[number]
                sample = clip.id
                found = list(_measured(policy, clip, number, verifier, sampling, same))
            except WhenwhereError as e:
                if skip is None:
                    raise
                skip(e.sample if isinstance(e, SampleError) else sample, str(e))
                found = []
            for one in found:
                if one.id not in known:
                    append_line(file, one.line())
                known[one.id] = one
        if tell is not None:
            tell(number + 1, len(source))
    return known


def _measured(
    policy: "Policy",
    sample: Sample,
    number: int,
    verifier: Verifier,
    sampling: DifficultySampling,
    same: Mapping[str, Any],
) -> Iterator[Difficulty]:  # fmt: skip
    from whenwhere.training.prefix.flops import FlopCounter
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.rl.completions import PromptedClip
    from whenwhere.training.rl.sampler import LocalSampler

    prompt, suffixes = policy.prompts(sample, sample.questions, sampling.max_prompt)
    clip = PromptedClip(number, 1.0, tuple(range(len(suffixes))), sample, sample.questions, prompt, suffixes)
    params = SamplingParams(
        sampling.max_tokens,
        temperature=sampling.temperature if sampling.draws else 0.0,
        stop=tuple(policy.end_ids),
        seed=int.from_bytes(hashlib.sha256(f"{sampling.seed} {sample.id}".encode()).digest()[:7]),
    )
    groups = LocalSampler().sample(policy, [clip], max(1, sampling.draws), params)
    lengths = [len(suffixes[g.question_index]) + len(row) for g in groups for row in g.ids]
    words = sum(len(row) for g in groups for row in g.ids)
    flops = FlopCounter(policy.parts).forward(prompt, lengths, words).shared / len(groups)
    for group in groups:
        truth = policy.truth(sample, group.question)
        rewards = np.array([verifier.score(policy.decode(row), truth).reward for row in group.ids])
        yield Difficulty(
            group.question.id, sample.id, number, len(suffixes), round(float(1 - rewards.mean()), 6),
            round(float(rewards.std()), 6),
            duration=truth.duration, fraction=event_share(truth.spans, truth.duration),
            flops=float(round(flops)), **same,
        )  # fmt: skip
