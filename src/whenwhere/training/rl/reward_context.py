"""Further inputs of a reward: the progress of training, frames for an encoder, and answers to shuffled frames.

Only what the reward's terms need is computed. For the term `order`, each question is answered once more, greedily, with
the frames shuffled; this costs a forward pass of the clip, which the FLOPs include. For the term `semantic`, an encoder
sees the frames that the policy sees, and compares the question with another sentence of the same clip. If the clip has
only one sentence, the term does not apply.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.rl.completions import CompletionGroup, PromptedClip
from whenwhere.training.rl.sampler import Sampler
from whenwhere.verify import RewardContext, Verifier, VideoView


def sample_shuffled(
    policy: Policy,
    sampler: Sampler,
    verifier: Verifier,
    clips: Sequence[PromptedClip],
    params: SamplingParams,
    seed: Sequence[int],
) -> list[CompletionGroup]:
    """Greedy answers to the same questions when the frames are shuffled and the timestamps stay as they are.

    Args:
        policy: The policy that answers.
        sampler: What samples its answers.
        verifier: The reward; nothing is sampled where none of its terms asks for it.
        clips: The clips with their questions.
        params: How the completions are sampled; temperature, top_k and top_p are not used.
        seed: Seed of the order.

    Returns:
        For each question, a group of one completion; or no group at all.
    """
    if not clips or not any("shuffled" in term.needs for term in verifier.terms):
        return []
    others = []
    for clip in clips:
        order = np.random.default_rng([*seed, clip.position]).permutation(len(clip.sample.images))
        sample = clip.sample.with_images(clip.sample.images[order])
        prompt, suffixes = policy.prompts(sample, clip.questions)
        others.append(replace(clip, sample=sample, prompt=prompt, suffixes=suffixes))
    return sampler.sample(policy, others, 1, replace(params, temperature=0.0, top_k=0, top_p=1.0))


def reward_context(
    policy: Policy,
    verifier: Verifier,
    group: CompletionGroup,
    progress: float,
    shuffled: Sequence[CompletionGroup] = (),
) -> RewardContext:
    """The further inputs for the reward of a question's completions.

    Args:
        policy: The policy that answered.
        verifier: The reward.
        group: The completions of the question.
        progress: Share of the training that is done, 0-1.
        shuffled: The answers of `sample_shuffled`.
    """
    clip, prediction = group.clip, None
    for other in shuffled:
        if (other.clip.position, other.question_index) == (clip.position, group.question_index):
            prediction = verifier.read(policy.decode(other.ids[0]), policy.truth(clip.sample, group.question))
    view = None
    swapped = [q.text for q in clip.sample.questions if q.text != group.question.text]
    if verifier.semantic is not None and swapped:
        truth = policy.truth(clip.sample, group.question)
        assert truth.duration is not None and truth.size is not None  # the policy has filled them in
        view = VideoView(_shown(clip.sample), truth.duration, truth.size, group.question.text, swapped[0])
    return RewardContext(progress, prediction, verifier.semantic, view)


def _shown(sample: Sample) -> Callable[[NDArray[np.float64]], NDArray[np.uint8]]:
    """A function from times in seconds, shape (n,), to the frames shown then, shape (n, h, w, 3)."""

    def look(times: NDArray[np.float64]) -> NDArray[np.uint8]:
        index = np.searchsorted(sample.times, np.asarray(times) + 1e-6, side="right") - 1
        return sample.images[np.clip(index, 0, len(sample.images) - 1)]

    return look
