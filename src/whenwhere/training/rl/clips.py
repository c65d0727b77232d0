"""Reads clips for RL: as many as an update needs, each with questions that the reward applies to, as tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Sample, SampleSource, sample_at
from whenwhere.training.data.unused import UnusedSamples
from whenwhere.training.prefix.flops import FlopCounter
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.rl.completions import PromptedClip
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.run_folder import RunFolder
from whenwhere.verify import Verifier


class ClipReader:
    """Reads a run's clips in order.

    Args:
        policy: The policy, which turns clips into tokens.
        source: The samples.
        verifier: The reward.
        settings: The settings of the run.
        unused: Counter that is notified of samples that cannot be used.
        flop_counter: Function that returns the FLOP counter; called after parameters have been frozen.
        reader: Function that returns what reads the samples; called after the policy is prepared.

    Attributes:
        position: Number of samples that this process has read so far.
    """

    def __init__(
        self,
        policy: Policy,
        source: SampleSource,
        verifier: Verifier,
        settings: RLSettings,
        unused: UnusedSamples,
        flop_counter: Callable[[], FlopCounter],
        reader: Callable[[], SampleReader[Sample]],
    ) -> None:
        self._policy, self._source, self._verifier, self._settings = policy, source, verifier, settings
        self._unused, self._flop_counter, self._reader = unused, flop_counter, reader
        self._ahead = 0
        self.position = 0

    def read(self, wanted: int, progress: float, run: RunFolder) -> tuple[list[PromptedClip], int]:
        """Reads the next clips, until they have enough questions.

        Args:
            wanted: Number of questions that the clips should have together.
            progress: Share of the run's updates that are done.
            run: The run, for skipping samples and questions.

        Returns:
            The clips, with fewer questions where samples cannot be used; and the number of samples skipped.
        """
        found: list[PromptedClip] = []
        skipped, processes = 0, run.processes
        for _ in range(wanted):
            lacking = wanted - sum(len(c.questions) for c in found)
            if not lacking:
                break
            position = self.position * processes.count + processes.rank
            self.position += 1
            name = f"sample {position}"
            try:
                sample = self._sample(position, progress, processes.count)
                name = sample.id
                chosen = self._rewarded_questions(sample, run)
                if len(chosen) > lacking:
                    chosen = (
                        np.random.default_rng([self._settings.seed, position]).permutation(chosen)[:lacking].tolist()
                    )
                found.append(self._tokenise(position, progress, sample, tuple(sorted(chosen))))
            except WhenwhereError as e:
                skipped += 1
                run.skip(name, e)
                self._unused.note(name, e)
        # an update takes about as many samples as the update before
        self._ahead = len(found) * self._settings.dataloader_prefetch
        return found, skipped

    def read_again(self, position: int, progress: float, question_indices: tuple[int, ...]) -> PromptedClip:
        """A clip that was read before, for a resumed run.

        Args:
            position: Index of its sample in the run's order.
            progress: Share of the run's updates that were done then.
            question_indices: Which of the sample's questions were asked.
        """
        sample = sample_at(self._source, position, progress, self._settings.seed)
        return self._tokenise(position, progress, sample, question_indices)

    def _sample(self, position: int, progress: float, stride: int) -> Sample:
        following = range(position + stride, position + stride * (self._ahead + 1), stride)
        return self._reader().get(position, progress, following)

    def _rewarded_questions(self, sample: Sample, run: RunFolder) -> list[int]:
        """Indices of the questions that the reward applies to; the others are skipped and named."""
        found = []
        for k, question in enumerate(sample.questions):
            truth = self._policy.truth(sample, question)
            if any(term.fits(truth) for term in self._verifier.terms):
                found.append(k)
            else:
                run.skip(f"question {question.id}", "no term of the reward applies to it")
        if not found:
            raise SettingError("no term of the reward applies to any of its questions")
        return found

    def _tokenise(
        self, position: int, progress: float, sample: Sample, question_indices: tuple[int, ...]
    ) -> PromptedClip:
        """A sample with some of its questions, as tokens.

        Raises:
            WhenwhereError: It cannot be used.
        """
        questions = tuple(sample.questions[k] for k in question_indices)
        prompt, suffixes = self._policy.prompts(sample, questions, self._settings.max_prompt_length)
        vision_flops = 0.0
        if self._settings.freeze_vision_tower:
            vision_flops = self._flop_counter().vision(prompt)
            prompt = self._policy.frozen_features(sample, prompt)
        return PromptedClip(position, progress, question_indices, sample, questions, prompt, suffixes, vision_flops)
