"""How hard questions are for a policy: measured, kept as lines, read again, taken over from others.

Difficulty is 1 - R, R being the recipe's reward without its format term, of the policy's own answers: 0 is answered
exactly, 1 is wholly wrong. It is a property of a question *and* a policy *and* a score, so all three stand on every
line, and lines that differ in them are never mixed.

Two estimators: one greedy answer (`draws` = 0), or the mean over k drawn answers, whose standard deviation is kept too
(what `variance` selects by). One prompt serves all draws and all questions of a video (`prefix.rollout`).

A file grows by one line a question; measuring again goes on where it stopped. What a measurement costs counts as
compute of the run that uses it.

    {"id": "clip-3#1", "sample": "clip-3", "number": 3, "of": 4, "difficulty": 0.42, "std": 0.11, "draws": 8,
     "duration": 12.0, "fraction": 0.25, "flops": 3.1e9, "score": "0.5 t_iou + 0.5 v_iou", "policy": "runs/sft",
     "recipe": "9f0c..."}
"""

import hashlib
import json
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.spans import SpanSet
from whenwhere.store import append_line, read_lines
from whenwhere.training.data.samples import Sample, SampleSource
from whenwhere.training.run_folder import SampleError
from whenwhere.verify import Verifier

if TYPE_CHECKING:
    from whenwhere.training.prefix.policy import Policy

#: What must be alike on all lines that are used together.
_ALIKE = ("score", "policy", "recipe", "draws")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard one question is.

    Attributes:
        id: of the question.
        sample: name of its clip.
        number: of its sample in the source; None where it came from a manifest.
        of: questions of that sample.
        difficulty: 1 - R, or 1 - mean R over draws; 0-1.
        std: standard deviation of R over the draws (0 for one greedy answer).
        draws: k; 0 = one greedy answer.
        score: what R is made of.
        policy: whose answers.
        recipe: hash of the recipe under which it was asked.
        duration: of the clip in seconds, where it is known.
        fraction: share of the clip that the true spans take, where it is known; 0 where the truth is absence.
        flops: that measuring it took, counted (`prefix.flops`).
    """

    id: str
    sample: str
    number: int | None
    of: int
    difficulty: float
    std: float = 0.0
    draws: int = 0
    score: str = "t_iou"
    policy: str = ""
    recipe: str = ""
    duration: float | None = None
    fraction: float | None = None
    flops: float = 0.0

    def line(self) -> str:
        """As it stands in a file."""
        return json.dumps(asdict(self), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class DifficultySampling:
    """How difficulty is measured.

    Attributes:
        draws: answers per question; 0 = one greedy answer.
        temperature: of drawing.
        max_tokens: of an answer.
        max_prompt: tokens; a sample with a longer prompt cannot be measured.
        seed: of the draws; with the sample's name it fixes them, whatever was measured before.
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
    """What the reward is made of, as a name that two files can be compared by.

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
    ask: DifficultySampling,
    file: Path,
    *,
    name: str,
    recipe: str = "",
    skip: Callable[[str, str], None] | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> dict[str, Difficulty]:
    """Measure all questions of a source; those that stand in the file already are not asked again.

    Args:
        policy: who answers.
        source: of samples.
        verifier: what scores; its format term does not count.
        ask: how.
        file: JSON Lines that grow.
        name: of the policy, for the lines.
        recipe: hash, for the lines.
        skip: told the name of a sample that cannot be used, and why; None raises instead.
        tell: told how many samples are done, of how many.

    Returns:
        Question → difficulty.

    Raises:
        RecordError: the file holds difficulties of another score, policy, recipe or number of draws.
    """
    alike = {"score": score_name(verifier), "policy": name, "recipe": recipe, "draws": ask.draws}
    known = _known(file, alike)
    lines = Tally(d.number for d in known.values())
    done = {d.number for d in known.values() if lines[d.number] == d.of}
    for number in range(len(source)):
        if number not in done:
            sample = f"sample {number}"
            try:
                clip = source[number]
                sample = clip.id
                found = list(_measured(policy, clip, number, verifier, ask, alike))
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
    policy: "Policy", sample: Sample, number: int, verifier: Verifier, ask: DifficultySampling, alike: Mapping[str, Any]
) -> Iterator[Difficulty]:
    from whenwhere.training.prefix.flops import FlopCounter
    from whenwhere.training.prefix.rollout import SamplingParams
    from whenwhere.training.rl.completions import PromptedClip
    from whenwhere.training.rl.sampler import LocalSampler

    prompt, suffixes = policy.prompts(sample, sample.questions, ask.max_prompt)
    clip = PromptedClip(number, 1.0, tuple(range(len(suffixes))), sample, sample.questions, prompt, suffixes)
    params = SamplingParams(
        ask.max_tokens,
        temperature=ask.temperature if ask.draws else 0.0,
        stop=tuple(policy.end_ids),
        seed=int.from_bytes(hashlib.sha256(f"{ask.seed} {sample.id}".encode()).digest()[:7]),
    )
    groups = LocalSampler().sample(policy, [clip], max(1, ask.draws), params)
    lengths = [len(suffixes[g.question_index]) + len(row) for g in groups for row in g.ids]
    words = sum(len(row) for g in groups for row in g.ids)
    flops = FlopCounter(policy.parts).forward(prompt, lengths, words).shared / len(groups)
    for group in groups:
        truth = policy.truth(sample, group.question)
        rewards = np.array([verifier.score(policy.decode(row), truth).reward for row in group.ids])
        yield Difficulty(
            group.question.id, sample.id, number, len(suffixes), round(float(1 - rewards.mean()), 6),
            round(float(rewards.std()), 6),
            duration=truth.duration, fraction=_fraction(truth.spans, truth.duration),
            flops=float(round(flops)), **alike,
        )  # fmt: skip


def read(file: Path, alike: Mapping[str, Any] | None = None) -> dict[str, Difficulty]:
    """The difficulties of a file by question.

    Args:
        file: JSON Lines as `measure` writes them; a torn last line is left out.
        alike: what all lines must have; None = the same as the first.

    Raises:
        RecordError: not such a file, or lines that do not go together.
    """
    if not file.is_file():
        raise RecordError(f"there is no file of difficulties at {file}: `whenwhere data difficulty` writes one")
    found = _known(file, alike)
    if not found:
        raise RecordError(f"{file} holds no difficulties: measure them with `whenwhere data difficulty`")
    return found


def _known(file: Path, alike: Mapping[str, Any] | None) -> dict[str, Difficulty]:
    """What stands in a file, which may not be there yet."""
    found: dict[str, Difficulty] = {}
    for entry in read_lines(file):
        try:
            one = Difficulty(**entry)
        except TypeError as e:
            raise RecordError(f"{file} holds a line that is no difficulty: {json.dumps(entry)[:80]}") from e
        alike = alike or {key: getattr(one, key) for key in _ALIKE}
        for key in _ALIKE:
            if getattr(one, key) != alike[key]:
                raise RecordError(
                    f"{file} mixes difficulties: {key} is {getattr(one, key)!r} and {alike[key]!r}; measure all with "
                    "one policy and score, in a file of their own"
                )
        found[one.id] = one
    return found


def of_items(items: Iterable[Item]) -> dict[str, Difficulty]:
    """The difficulties that a manifest carries; Time-R1's inverted field is converted where its file is read.

    Args:
        items: with `difficulty` in 0-1, high is hard, and `difficulty_of` naming the score and policy.

    Raises:
        RecordError: an item without one, or items whose difficulties are of different scores.
    """
    found: dict[str, Difficulty] = {}
    names: set[str] = set()
    for item in items:
        if item.difficulty is None or not item.difficulty_of:
            raise RecordError(
                f"item {item.id!r} has no difficulty (or does not say of which score): measure with `whenwhere data "
                "difficulty` and give the file as curriculum.difficulty"
            )
        names.add(item.difficulty_of)
        if len(names) > 1:
            raise RecordError(
                f"difficulties of different scores do not mix: {' and '.join(sorted(names))}; measure all with one"
            )
        found[item.id] = Difficulty(
            item.id, item.video, None, 1, item.difficulty, score=item.difficulty_of, duration=item.duration,
            fraction=_fraction(item.span_set, item.duration),
        )  # fmt: skip
    return found


def _fraction(spans: SpanSet | None, duration: float | None) -> float | None:
    return None if spans is None or not duration else min(1.0, spans.duration / duration)


def summary(found: Mapping[str, Difficulty]) -> dict[str, Any]:
    """What a file says, in numbers: count, mean, deciles, share of wholly wrong and wholly right, mean of std."""
    values = np.array([d.difficulty for d in found.values()])
    one = next(iter(found.values()))
    return {
        "questions": len(values), "score": one.score, "policy": one.policy, "recipe": one.recipe, "draws": one.draws,
        "mean": round(float(values.mean()), 4),
        "deciles": [round(float(v), 4) for v in np.quantile(values, np.linspace(0, 1, 11))],
        "wrong": round(float((values >= 1 - 1e-9).mean()), 4), "right": round(float((values <= 1e-9).mean()), 4),
        "std": round(float(np.mean([d.std for d in found.values()])), 4),
        "flops": sum(d.flops for d in found.values()),
    }  # fmt: skip
