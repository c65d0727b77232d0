"""Supervised fine-tuning: the right answers to all questions about a clip, from one pass over the clip.

The loss of an update is the weighted mean over the answer tokens of all clips and processes: tokens of spans have the
weight `span_weight`, others 1. Tokens that have an order (times, coordinates) may have soft targets, so that a token
next to the right one costs less than one far away, which speeds up learning.

Clips are prepared ahead of the run, in its order (`data.reader`). Those of an update are packed by their length into as
few rows as hold them (`pack_tokens`), because a small model would be slow on single ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.training.data.mix import source_counts
from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Question, Sample, SampleSource
from whenwhere.training.epochs import in_updates
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.flops import branch_lengths
from whenwhere.training.prefix.group import PrefixGroup, pack_by_length, question_group
from whenwhere.training.prefix.logprobs import SoftTargets, gaussian_targets
from whenwhere.training.prefix.objective import PolicyObjective
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.processes import Processes
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.sft.settings import SFTSettings

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class _Skipped:
    """A sample or question that cannot be used, and why."""

    sample: str
    error: WhenwhereError


@dataclass(frozen=True, eq=False)
class _PreparedClip:
    """A clip as tokens.

    Attributes:
        sample: The clip.
        group: The clip and its questions with their answers.
        scored: Number of answer tokens.
        weights: Weight of each token in the loss, float32, shape (G, W).
        total_weight: Sum of the weights.
        left_out: Questions whose answer the form cannot hold.
    """

    sample: Sample
    group: PrefixGroup
    scored: int
    weights: Tensor
    total_weight: float
    left_out: list[_Skipped]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory, nearly all of them for pictures."""
        return self.group.prompt.nbytes + self.sample.held_bytes


class SFTObjective(PolicyObjective[SFTSettings]):
    """Trains a policy to write right answers (`training.objective.Objective`).

    Args:
        policy: The policy to train.
        source: The samples.
        settings: The settings of the run.

    Raises:
        SettingError: The source is empty.
    """

    def __init__(self, policy: Policy, source: SampleSource, settings: SFTSettings) -> None:
        per_update = settings.samples_per_step * Processes().count
        super().__init__(policy, source, in_updates(settings, len(source), per_update))

    @cached_property
    def _reader(self) -> SampleReader[_PreparedClip | _Skipped]:
        # after `prepare`, when the policy knows whether features are kept
        return self.reader(self._finish, lambda clip: clip.nbytes if isinstance(clip, _PreparedClip) else 0)

    @cached_property
    def _scorer(self) -> GroupScorer:
        return GroupScorer(self.policy.model, self.settings.backend, self.policy.parts.rule)

    @cached_property
    def _soft_targets(self) -> list[SoftTargets]:
        widths = {"coordinates": self.settings.soft_targets, "times": self.settings.soft_times}
        ordinal, device = self.policy.ordinal_tokens, self.policy.parts.device
        return [gaussian_targets(ids, widths[name], device) for name, ids in ordinal.items() if widths[name]]

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Computes the gradients of one update.

        Args:
            number: Number of the update, from 0.
            run: The run, for skipping samples.

        Raises:
            SettingError: No sample of a whole epoch could be used.
        """
        found = self._samples(number, run)
        clips = [r for r in found if isinstance(r, _PreparedClip)]
        skipped = [r for r in found if isinstance(r, _Skipped)]
        left_out = [s for clip in clips for s in clip.left_out]
        for one in skipped + left_out:
            run.skip(one.sample, one.error)
        for one in skipped:
            self.unused.note(one.sample, one.error)
        total, scored, usable = run.processes.sum(
            [sum(c.total_weight for c in clips), sum(c.scored for c in clips), len(clips)]
        )
        self.unused.update(usable, len(found) * run.processes.count)
        loss_sum, nll_sum, flops = 0.0, 0.0, 0.0
        self.check_backend(self._scorer, [c.group for c in clips], run.processes)
        packs = list(pack_by_length(clips, [c.group.token_count for c in clips], self.settings.pack_tokens))
        for pack in packs:
            groups = [self._with_frozen_features(c) for c in pack]
            loss, logps = self.policy.run(partial(self._loss, pack, groups))
            (loss / total).backward()
            loss_sum += float(loss.detach())
            nll_sum -= sum(map(float, logps))
            for clip, group in zip(pack, groups, strict=True):
                flops += self.flop_counter.training(group.prompt, branch_lengths(group.branches), clip.scored).shared
        self.make_idle_passes(self._scorer, len(packs), run.processes)
        loss_sum, nll_sum = run.processes.sum([loss_sum, nll_sum])
        counts = {
            "clips": len(clips), "sentences": sum(len(c.group.branches) for c in clips),
            "tokens": sum(c.scored for c in clips), "flops": flops, "skipped": len(skipped), "left_out": len(left_out),
        } | source_counts(self.source, (c.sample for c in clips))  # fmt: skip
        if not total:
            return Outcome({}, counts, len(clips), empty=True)
        metrics = {"loss": loss_sum / total}
        if self._soft_targets or self.settings.span_weight != 1:
            metrics["nll"] = nll_sum / scored
        return Outcome(metrics, counts, len(clips))

    def _loss(self, clips: Sequence[_PreparedClip], groups: Sequence[PrefixGroup]) -> tuple[Tensor, list[Tensor]]:
        """The weighted sum of the losses of clips' answer tokens, and each clip's sum of log-probabilities."""
        with self.policy.autocast():
            scores = self._scorer.score_many(groups, self._soft_targets)
        losses = [-s.logps if s.losses is None else s.losses for s in scores]
        first, *more = [(part * c.weights.to(part)).sum() for part, c in zip(losses, clips, strict=True)]
        return sum(more, start=first), [s.logps.detach().sum() for s in scores]

    def close(self) -> None:
        """Ends the threads and processes that prepare samples."""
        if "_reader" in self.__dict__:
            self._reader.close()

    def _with_frozen_features(self, clip: _PreparedClip) -> PrefixGroup:
        """A clip's group with features in place of patches if the vision tower is frozen."""
        if not self.settings.freeze_vision_tower:
            return clip.group
        prompt = self.policy.frozen_features(clip.sample, clip.group.prompt)
        return PrefixGroup(prompt, clip.group.branches)

    def _samples(self, number: int, run: RunFolder) -> list[_PreparedClip | _Skipped]:
        """The samples of an update; those of the next updates are prepared in the background."""
        s, count, rank = self.settings, run.processes.count, run.processes.rank

        def positions(update: int) -> range:
            first = (update * count + rank) * s.samples_per_step
            return range(first, first + s.samples_per_step)

        ahead = [
            k for n in range(number + 1, min(number + s.dataloader_prefetch + 1, s.max_steps)) for k in positions(n)
        ]
        found: list[_PreparedClip | _Skipped] = []
        own = positions(number)
        for position in own:
            # workers read the samples of one update side by side, too
            rest = range(position + 1, own.stop) if ahead or s.dataloader_num_workers else ()
            try:
                found.append(self._reader.get(position, number / s.max_steps, [*rest, *ahead]))
            except WhenwhereError as e:
                found.append(_Skipped(f"sample {position}", e))
        self.warn_of_caches(self._reader, run)
        return found

    def _finish(self, sample: Sample) -> _PreparedClip | _Skipped:
        """A sample as tokens, or why it cannot be used."""
        try:
            return self._tokenise(sample)
        except WhenwhereError as e:
            return _Skipped(sample.id, e)

    def _tokenise(self, sample: Sample) -> _PreparedClip:
        """A sample as tokens.

        Raises:
            WhenwhereError: It cannot be used.
        """
        from torch.nn.utils.rnn import pad_sequence

        prompt, suffixes = self.policy.prompts(sample, sample.questions, self.settings.max_prompt_length)
        pairs: list[tuple[Tensor, Tensor]] = []
        weights, left_out = [], []
        for question, suffix in zip(sample.questions, suffixes, strict=True):
            try:
                answer = self.policy.target(sample, question)
                weights.append(self._token_weights(sample, question, len(suffix), len(answer)))
                pairs.append((suffix, answer))
            except RecordError as e:
                left_out.append(_Skipped(f"question {question.id}", e))
        if not pairs:
            raise left_out[-1].error
        rows = pad_sequence(weights, batch_first=True)
        scored = sum(len(answer) for _, answer in pairs)
        # the pixels are in the prompt now
        sample = sample.without_frames()
        return _PreparedClip(sample, question_group(prompt, pairs), scored, rows, float(rows.sum()), left_out)

    def _token_weights(self, sample: Sample, question: Question, suffix: int, answer: int) -> Tensor:
        """Weight of each token of a branch, float32, shape (suffix + answer,): 0 in the question, more in spans."""
        import torch

        weights = torch.cat([torch.zeros(suffix), torch.ones(answer)])
        if self.settings.span_weight != 1:
            weights[suffix : suffix + self.policy.span_token_count(sample, question)] = self.settings.span_weight
        return weights
