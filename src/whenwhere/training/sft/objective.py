"""Supervised fine-tuning: the right answers to all sentences of a clip, from one pass over the clip.

The loss is the mean, weighted by `span_weight`, over all answer tokens of an update, whatever clip or process they
stand in. Tokens on a line (times, coordinates) may have soft targets: a neighbour of the right one is nearly right, and
the policy learns sooner that it is.

Clips are prepared one update ahead in a thread, in the order of the run; clips that are short are computed side by side
(`pack_tokens`), which a small model needs to be fast.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.training.data.samples import OrderedSource, Question, Sample, SampleSource, sample_at
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.flops import FlopCounter, branch_lengths
from whenwhere.training.prefix.group import PrefixGroup, question_group
from whenwhere.training.prefix.logprobs import SoftTargets, gaussian_targets
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.sft.settings import SFTSettings


@dataclass(frozen=True, eq=False)
class _Ready:
    """A clip as it is computed; questions whose answer the form cannot hold are left out."""

    group: PrefixGroup
    scored: int
    weights: Any
    total: float
    left_out: list["_Skipped"]


@dataclass(frozen=True, eq=False)
class _Skipped:
    """A sample that cannot be used, and why."""

    sample: str
    error: WhenwhereError


class SFT:
    """The stage of supervised fine-tuning (`training.objective.Objective`).

    Args:
        policy: that learns.
        source: of samples.
        settings: of the run.
    """

    def __init__(self, policy: Policy, source: SampleSource, settings: SFTSettings) -> None:
        if not len(source):
            raise SettingError("there is nothing to learn from: the source is empty")
        self.policy, self.source, self.settings = policy, source, settings
        self._scorer: GroupScorer | None = None
        self._counter: FlopCounter | None = None
        self._scales: list[SoftTargets] = []
        self._wasted = 0
        self._pool = ThreadPoolExecutor(1, "samples")
        self._ahead: dict[int, Future[list[_Ready | _Skipped]]] = {}

    @property
    def module(self) -> Any:
        """The model, wrapped where LoRA wraps it."""
        return self.policy.model

    @property
    def device(self) -> Any:
        """The device that the model is on."""
        return self.policy.parts.device

    def prepare(self) -> None:
        """Makes the policy ready to be trained."""
        self.policy.prepare(self.settings)

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Gradients of one update."""
        if self._scorer is None or self._counter is None:
            self._scorer = GroupScorer(self.policy.model, self.settings.backend, self.policy.parts.rule)
            self._counter = FlopCounter(self.policy.parts)
            if self.settings.soft_targets or self.settings.soft_times:
                device = self.policy.parts.device
                widths = {"coordinates": self.settings.soft_targets, "times": self.settings.soft_times}
                self._scales = [
                    gaussian_targets(ids, widths[name], device)
                    for name, ids in self.policy.ordinal_tokens.items()
                    if widths[name]
                ]
        found = self._samples(number, run)
        ready = [r for r in found if isinstance(r, _Ready)]
        skipped = [r for r in found if isinstance(r, _Skipped)]
        left_out = [s for r in ready for s in r.left_out]
        for one in skipped + left_out:
            run.skip(one.sample, one.error)
        total, scored, usable = run.processes.sum(
            [sum(r.total for r in ready), sum(r.scored for r in ready), len(ready)]
        )
        self._wasted = 0 if usable else self._wasted + len(found) * run.processes.count
        if self._wasted >= len(self.source):
            raise SettingError(
                f"none of the last {self._wasted} samples could be used, the last one for this reason: "
                f"{skipped[-1].error if skipped else 'see skipped.jsonl'}"
            )
        sums = [0.0, 0.0]
        flops = 0.0
        for pack in self._packs(ready):
            groups = [self._seen(r.group) for r in pack]
            with self.policy.autocast():
                scores = self._scorer.score_many(groups, soft_targets=self._scales)
            losses = [-s.logps if s.losses is None else s.losses for s in scores]
            loss = sum((part * r.weights.to(part)).sum() for part, r in zip(losses, pack, strict=True))
            (loss / total).backward()
            sums[0] += float(loss.detach())
            sums[1] -= sum(float(s.logps.detach().sum()) for s in scores)
            for r, group in zip(pack, groups, strict=True):
                flops += self._counter.training(group.prompt, branch_lengths(group.branches), r.scored).shared
        loss_sum, plain_sum = run.processes.sum(sums)
        counts = {
            "clips": len(ready), "sentences": sum(len(r.group.branches) for r in ready),
            "tokens": sum(r.scored for r in ready), "flops": flops, "skipped": len(skipped),
            "left_out": len(left_out),
        }  # fmt: skip
        if not total:
            return Outcome({}, counts, len(ready), empty=True)
        metrics = {"loss": loss_sum / total}
        if self._scales or self.settings.span_weight != 1:
            metrics["nll"] = plain_sum / scored
        return Outcome(metrics, counts, len(ready))

    def state(self) -> dict[str, Any]:
        """Samples in a row that could not be used."""
        return {"wasted": self._wasted}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self._wasted = state["wasted"]

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the policy as a checkpoint that `from_pretrained` reads."""
        self.policy.save(folder, about)

    def close(self) -> None:
        """Ends what is read ahead."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _seen(self, group: PrefixGroup) -> PrefixGroup:
        """The group with features in place of patches where the vision tower is frozen."""
        if not self.settings.freeze_vision_tower:
            return group
        with self.policy.autocast():
            return PrefixGroup(self.policy.parts.with_features(group.prompt), group.branches)

    def _packs(self, ready: list[_Ready]) -> Iterator[list[_Ready]]:
        """Clips that are computed side by side."""
        pack: list[_Ready] = []
        size = 0
        for one in ready:
            length = len(one.group.prompt.ids) + sum(branch_lengths(one.group.branches))
            if pack and size + length > self.settings.pack_tokens:
                yield pack
                pack, size = [], 0
            pack.append(one)
            size += length
        if pack:
            yield pack

    def _samples(self, number: int, run: RunFolder) -> list[_Ready | _Skipped]:
        """The samples of an update, prepared ahead; the next ones are set going."""
        # a curriculum may change its mind in between
        ahead = 0 if isinstance(self.source, OrderedSource) else self.settings.dataloader_prefetch
        if not ahead:
            return self._gathered(number, run)
        for k in range(number, min(number + ahead + 1, self.settings.max_steps)):
            if k not in self._ahead:
                self._ahead[k] = self._pool.submit(self._gathered, k, run)
        return self._ahead.pop(number).result()

    def _gathered(self, number: int, run: RunFolder) -> list[_Ready | _Skipped]:
        each, every = self.settings.samples_per_step, self.settings.samples_per_step * run.processes.count
        first = number * every + run.processes.rank * each
        return [self._one(place, number / self.settings.max_steps) for place in range(first, first + each)]

    def _one(self, place: int, progress: float) -> _Ready | _Skipped:
        name = f"sample {place}"
        try:
            sample = sample_at(self.source, place, progress, self.settings.seed)
            name = sample.id
            return self._laid_out(sample)
        except WhenwhereError as e:
            return _Skipped(name, e)

    def _laid_out(self, sample: Sample) -> _Ready:
        from torch.nn.utils.rnn import pad_sequence

        prompt, rests = self.policy.prompts(sample, sample.questions)
        longest = len(prompt.ids) + max(map(len, rests))
        if longest > self.settings.max_prompt_length:
            raise SettingError(
                f"its prompt has {longest} tokens, more than max_prompt_length = {self.settings.max_prompt_length}"
            )
        pairs: list[tuple[Any, Any]] = []
        weights, left_out = [], []
        for question, rest in zip(sample.questions, rests, strict=True):
            try:
                answer = self.policy.target(sample, question)
                weights.append(self._weights(sample, question, len(rest), len(answer)))
                pairs.append((rest, answer))
            except RecordError as e:
                left_out.append(_Skipped(f"question {question.id}", e))
        if not pairs:
            raise left_out[-1].error
        rows = pad_sequence(weights, batch_first=True)
        scored = sum(len(answer) for _, answer in pairs)
        return _Ready(question_group(prompt, pairs), scored, rows, float(rows.sum()), left_out)

    def _weights(self, sample: Sample, question: Question, ahead: int, length: int) -> Any:
        """What each token of a branch counts: nothing of the question, more of the spans than of the boxes."""
        import torch

        row = torch.cat([torch.zeros(ahead), torch.ones(length)])
        if self.settings.span_weight != 1:
            row[ahead : ahead + self.policy.span_token_count(sample, question)] = self.settings.span_weight
        return row
