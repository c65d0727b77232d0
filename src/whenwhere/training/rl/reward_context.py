"""What a reward may need beside an answer: the progress, what an encoder may look at, answers to shuffled frames.

Only what the reward's terms ask for is made. Answers to shuffled frames (the term `order`) are the likeliest ones, one
for each question, drawn as the completions are; they cost a forward pass of the clip and stand in the FLOPs. An encoder
(the term `semantic`) sees the frames that the policy sees; the sentence that is not meant is the clip's next one. Where
a clip has one sentence alone the term does not apply.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.rl.completions import Attempt, Clip, Drawer
from whenwhere.verify import RewardContext, Verifier, VideoView


def shuffled(policy: Policy, drawer: Drawer, verifier: Verifier, clips: Sequence[Clip], sampling: SamplingParams,
             seed: Sequence[int]) -> list[Attempt]:  # fmt: skip
    """The likeliest answers to the same questions with the frames in another order, under the same stamps.

    Args:
        policy: that answers.
        drawer: that it answers by.
        verifier: the reward; nothing is drawn where no term asks for it.
        clips: and their questions.
        sampling: of the completions.
        seed: of the order.
    """
    if not clips or not any("shuffled" in term.needs for term in verifier.terms):
        return []
    others = []
    for clip in clips:
        order = np.random.default_rng([*seed, clip.place]).permutation(len(clip.sample.images))
        sample = replace(clip.sample, images=clip.sample.images[order])
        prompt, rests = policy.prompts(sample, clip.questions)
        others.append(replace(clip, sample=sample, prompt=prompt, rests=rests))
    return drawer.draw(policy, others, 1, replace(sampling, temperature=0.0, top_k=0, top_p=1.0))


def beside(
    policy: Policy, verifier: Verifier, attempt: Attempt, progress: float, others: Sequence[Attempt] = ()
) -> RewardContext:
    """What the reward of a question's completions may look at.

    Args:
        policy: that answered.
        verifier: the reward.
        attempt: the question.
        progress: share of the training that is done.
        others: what `shuffled` gave.
    """
    clip, said = attempt.clip, None
    for other in others:
        if (other.clip.place, other.number) == (clip.place, attempt.number):
            said = verifier.read(policy.decode(other.ids[0]), policy.truth(clip.sample, attempt.question))
    view = None
    swapped = [q.text for q in clip.sample.questions if q.text != attempt.question.text]
    if verifier.semantic is not None and swapped:
        truth = policy.truth(clip.sample, attempt.question)
        assert truth.duration is not None and truth.size is not None  # what the policy has filled in
        view = VideoView(_look(clip.sample), truth.duration, truth.size, attempt.question.text, swapped[0])
    return RewardContext(progress, said, verifier.semantic, view)


def _look(sample: Sample) -> Any:
    def look(times: Any) -> Any:
        at = np.searchsorted(sample.times, np.asarray(times) + 1e-6, side="right") - 1
        return sample.images[np.clip(at, 0, len(sample.images) - 1)]

    return look
