"""RL with a verifier: samples completions, scores them, and makes the better ones more likely.

An update takes `prompts_per_step` questions, those about one clip together, and samples G completions of each from one
forward pass of the clip. The verifier gives each completion a reward, which becomes an advantage within its question's
group. The clipped loss is computed clip by clip, with the clip's prompt computed once for all its completions
(`prefix.shared_prefix`).

The samples and the seed alone decide what is sampled, so a run that was killed samples the same again. With
`num_iterations` > 1 the completions of an update are used that many times; they are then part of the state.

The reference of `beta` is the policy as it began: a frozen copy, or, under LoRA, the model with its matrices switched
off. Where another program samples (`rl.server`), the loss is corrected by truncated importance weights, and the run
ends where that program's log-probabilities are not the policy's.

Left out: a replay of old groups, an adaptive KL weight, and rewards that are themselves models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError, SettingError
from whenwhere.store import write_text
from whenwhere.training.data.mix import source_counts
from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Sample, SampleSource, question_count
from whenwhere.training.epochs import in_updates
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.flops import Flops, branch_lengths
from whenwhere.training.prefix.group import PrefixGroup, deduplicate, pack_by_length
from whenwhere.training.prefix.logprobs import EntropyMode, TokenScores
from whenwhere.training.prefix.objective import PolicyObjective
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.prefix.shared_prefix import score_branches
from whenwhere.training.prefix.vlm_parts import VLMParts
from whenwhere.training.processes import Processes
from whenwhere.training.rl.advantages import SAME, advantages, group_statistics, has_plateaued, zero_variance
from whenwhere.training.rl.clips import ClipReader
from whenwhere.training.rl.completions import CompletionGroup, PromptedClip, UpdateBatch, score_completions
from whenwhere.training.rl.losses import LOSSES, ClipConfig, LossNormalizer, importance_weights
from whenwhere.training.rl.metrics import (
    WeightedMeans,
    completion_record,
    rollout_metrics,
    spatial_iou,
    weighted_mean,
)
from whenwhere.training.rl.reward_context import reward_context, sample_shuffled
from whenwhere.training.rl.sampler import LocalSampler, Sampler
from whenwhere.training.rl.segments import check_segments, segment_totals
from whenwhere.training.rl.server import ServerSampler
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.run_folder import RunFolder
from whenwhere.verify import Verifier

if TYPE_CHECKING:
    from torch import Tensor


class RLObjective(PolicyObjective[RLSettings]):
    """Trains a policy to get more of a verifier's reward (`training.objective.Objective`).

    Args:
        policy: The policy to train.
        source: The samples.
        verifier: The reward.
        settings: The settings of the run.
        sampler: Object that samples completions. None means the settings' server if there is one, else the policy.

    Raises:
        SettingError: The source is empty.
    """

    def __init__(
        self,
        policy: Policy,
        source: SampleSource,
        verifier: Verifier,
        settings: RLSettings,
        sampler: Sampler | None = None,
    ) -> None:
        if settings.num_train_epochs is not None:
            # completions are used num_iterations times
            questions = question_count(source) * settings.num_iterations
            settings = in_updates(settings, questions, settings.prompts_per_step * Processes().count)
        super().__init__(policy, source, settings)
        self.verifier = verifier
        if settings.credit == "segment":
            check_segments(policy.form, verifier)
        if sampler is None and settings.vllm_server_base_url:
            sampler = ServerSampler(settings.vllm_server_base_url, settings.vllm_sync_folder or None)
        self._sampler: Sampler = sampler or LocalSampler(settings.pack_tokens)
        self._clips = ClipReader(
            policy, source, verifier, settings, self.unused, lambda: self.flop_counter, lambda: self._reader
        )
        self._reference: VLMParts | None = None
        # if only LoRA's matrices are trained, switching them off gives the starting policy, and no copy is needed
        if settings.beta and not (settings.lora_r and settings.freeze_vision_tower):
            if settings.sharding != "none":
                raise SettingError(
                    "beta needs a copy of the policy as it began, which is not sharded: set beta=0, or lora_r with "
                    "freeze_vision_tower, whose starting policy needs no copy"
                )
            # in fp32, as the policy's weights will be
            copy = deepcopy(policy.parts.model).eval().requires_grad_(False).float()
            self._reference = VLMParts(copy, policy.parts.rule)
        self._rewards: list[float] = []
        self._spreads: list[float] = []
        self._batches: list[UpdateBatch] = []
        self._sampled_metrics: WeightedMeans = {}
        self._next = 0

    @cached_property
    def _reader(self) -> SampleReader[Sample]:
        # after `prepare`, when the policy knows whether features are kept
        return self.reader(lambda sample: sample, lambda sample: sample.held_bytes)

    @cached_property
    def _scorer(self) -> GroupScorer:
        s = self.settings
        return GroupScorer(self.policy.model, s.backend, self.policy.parts.rule, s.temperature)

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Computes the gradients of one update.

        Args:
            number: Number of the update, from 0.
            run: The run, for skipping samples and writing completions.

        Raises:
            ModelError: A server's log-probabilities are not the policy's.
            SettingError: No sample of a whole epoch could be used, or `vllm_sync_folder` is one of the run's folders.
        """
        s, self._next = self.settings, number + 1
        self._check_sync_folder(run.folder)
        counts = {"clips": 0.0, "prompts": 0.0, "completions": 0.0, "skipped": 0.0, **source_counts(self.source, ())}
        flops, reused = Flops(), bool(number % s.num_iterations)
        if not reused:
            if run.processes.first or self.policy.sharded:
                self._sampler.prepare(self.policy)
            run.processes.wait()
            with self.policy.gathered():
                flops = flops + self._collect(number, run, counts)
            self.warn_of_caches(self._reader, run)
        found: WeightedMeans = dict(self._sampled_metrics)
        groups = [g for batch in self._batches for g in batch.groups]
        kept, tokens, sampled = run.processes.sum([
            sum(len(g.ids) for g in groups),
            sum(self._counted_tokens(g) for g in groups),
            0.0 if reused else counts["prompts"],
        ])  # fmt: skip
        if not reused:
            tried = 0 if sampled else run.processes.sum([counts["skipped"]])[0]
            self.unused.update(sampled, tried)
        if kept:
            flops = flops + self._learn(LossNormalizer(kept, tokens, s.max_completion_length), found, run)
        counts |= {"tokens": tokens / run.processes.count, "flops": flops.shared, "flops_repeat": flops.repeat}
        metrics = weighted_mean(run.processes.gather(found))
        if kept:
            self._check_server(metrics)
        stop = not reused and self._should_stop(metrics, run)
        return Outcome(metrics, counts, int(counts["clips"]), empty=not kept, stop=stop)

    def _check_sync_folder(self, run: Path) -> None:
        """Refuses to hand weights to a server in a folder that the run itself writes."""
        served = self.settings.vllm_sync_folder
        own = {(run / name).resolve() for name in ("", "best", "checkpoint", "checkpoints", "start", "state")}
        if served and Path(served).resolve() in own:
            raise SettingError(f"vllm_sync_folder is {served}, where the run keeps its own files: name another folder")

    # sampling

    def _collect(self, number: int, run: RunFolder, counts: dict[str, float]) -> Flops:
        """Samples completions until there are enough groups to learn from, and fills the batches with them."""
        s, progress = self.settings, number / self.settings.max_steps
        groups: list[CompletionGroup] = []
        kept: list[CompletionGroup] = []
        flops, resampled = Flops(), 0
        while True:
            clips, skipped = self._clips.read(s.prompts_per_step - len(kept), progress, run)
            counts["clips"] += len(clips)
            for name, count in source_counts(self.source, (clip.sample for clip in clips)).items():
                counts[name] += count
            counts["skipped"] += skipped
            if clips:
                new, cost = self._sample(clips, progress)
                groups += new
                flops = flops + cost
            kept = [g for g in groups if self._teaches(g)]
            if s.zero_variance != "resample" or len(kept) >= s.prompts_per_step or resampled >= s.resample_limit:
                break
            resampled += 1
        counts["prompts"] += len(groups)
        counts["completions"] += sum(len(g.ids) for g in groups)
        self._set_advantages(groups, run)
        self._sampled_metrics = self._summarise(groups, kept)
        self._write(groups, number, run)
        if s.loss_type == "rejection":
            kept = [g.chosen([int(np.argmax(g.totals))]) for g in kept]
        batches: dict[int, UpdateBatch] = {}
        for group in kept:
            batches.setdefault(group.clip.position, UpdateBatch(group.clip, [])).groups.append(group)
        self._batches = list(batches.values())
        return flops

    def _sample(self, clips: Sequence[PromptedClip], progress: float) -> tuple[list[CompletionGroup], Flops]:
        """Completions of all questions about some clips with their rewards, and what they cost."""
        s, policy, verifier = self.settings, self.policy, self.verifier
        params = SamplingParams(
            s.max_completion_length, s.temperature, s.top_k, s.top_p, tuple(policy.end_ids),
            int(np.random.SeedSequence([s.seed, clips[0].position]).generate_state(1)[0]),
        )  # fmt: skip
        groups = self._sampler.sample(policy, clips, s.num_generations, params)
        shuffled = sample_shuffled(policy, self._sampler, verifier, clips, params, [s.seed])
        for group in groups:
            score_completions(policy, group, verifier, reward_context(policy, verifier, group, progress, shuffled))
        flops = Flops()
        for clip in dict.fromkeys(g.clip for g in (*groups, *shuffled)):
            branches = [b for g in (*groups, *shuffled) if g.clip is clip for b in g.branches()]
            scored = sum(b.scored_count for b in branches)
            flops = flops + self.flop_counter.forward(clip.prompt, branch_lengths(branches), scored)
            flops = flops + Flops(clip.vision_flops, len(branches) * clip.vision_flops)
        return groups, flops

    def _teaches(self, group: CompletionGroup) -> bool:
        """Whether a group is learned from."""
        if self.settings.loss_type == "rejection":
            return max(reward.reward for reward in group.rewards) > SAME
        return self.settings.zero_variance == "keep" or not zero_variance([group.totals])[0]

    def _set_advantages(self, groups: list[CompletionGroup], run: RunFolder) -> None:
        if self.settings.credit == "answer":
            for group, row in zip(groups, self._advantages([g.totals for g in groups], run), strict=True):
                group.advantages = row
            return
        both = [np.array([segment_totals(self.verifier, r) for r in g.rewards]).T for g in groups]
        spans, boxes = (self._advantages([parts[k].tolist() for parts in both], run) for k in (0, 1))
        for group, of_spans, of_boxes in zip(groups, spans, boxes, strict=True):
            group.advantages, group.box_advantages = of_spans, of_boxes

    def _advantages(self, totals: list[list[float]], run: RunFolder) -> Sequence[NDArray[np.float64]]:
        """Advantages of completions by their rewards, both shape (groups, G)."""
        batch = None
        if self.settings.scale_rewards == "batch":
            batch = [value for part in run.processes.gather(totals) for group in part for value in group]
        return list(advantages(totals, self.settings.scale_rewards, batch)) if totals else []

    def _summarise(self, groups: list[CompletionGroup], kept: list[CompletionGroup]) -> WeightedMeans:
        """The metrics over all completions of an update."""
        metrics = rollout_metrics(groups)
        if groups:
            truths = [self.policy.truth(g.clip.sample, g.question) for g in groups]
            found = group_statistics(
                [g.totals for g in groups], [[r.reward for r in g.rewards] for g in groups],
                [[self.verifier.format_weight * r.format for r in g.rewards] for g in groups],
                [None if t.tube is None else [spatial_iou(p, t) for p in g.predictions]
                 for g, t in zip(groups, truths, strict=True)],
            )  # fmt: skip
            weight = float(len(groups))
            metrics |= {name: (value, weight) for name, value in found.items()}
            metrics["kept"] = (len(kept) / len(groups), weight)
        return metrics

    def _write(self, groups: list[CompletionGroup], number: int, run: RunFolder) -> None:
        """Writes the completions of an update into a file of their own."""
        part = f"-{run.processes.rank}" if run.processes.count > 1 else ""
        lines = [{"step": number + 1, **completion_record(g, k)} for g in groups for k in range(len(g.ids))]
        write_text(
            run.folder / "completions" / f"step-{number + 1:06d}{part}.jsonl",
            "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
        )

    # learning

    def _counted_tokens(self, group: CompletionGroup) -> int:
        """Number of tokens of a group that count in the loss."""
        masked = self.settings.mask_truncated_completions
        return sum(len(i) for i, ended in zip(group.ids, group.ended, strict=True) if ended or not masked)

    def _learn(self, normalizer: LossNormalizer, found: WeightedMeans, run: RunFolder) -> Flops:
        """Adds the gradients of all clips; metrics go into `found`."""
        flops, sums = Flops(), dict[str, float]()
        distinct = [deduplicate(batch.clip.prompt, batch.branches()) for batch in self._batches]
        work = list(zip(self._batches, distinct, strict=True))
        self.check_backend(self._scorer, [group for group, _ in distinct], run.processes)
        packs = list(pack_by_length(work, [group.token_count for group, _ in distinct], self.settings.pack_tokens))
        for pack in packs:
            self.policy.run(partial(self._pack_loss, pack, normalizer, sums)).backward()
            for batch, (group, _) in pack:
                flops = flops + self._training_flops(batch, group)
        self.make_idle_passes(self._scorer, len(packs), run.processes)
        weight = sums.pop("tokens", 0.0)
        # losses are divided by what all processes count, so they add up and have no weight
        found["loss"] = (sums.pop("loss", 0.0), 0.0)
        found |= {name: (value / max(weight, 1.0), weight) for name, value in sums.items()}
        return flops

    def _pack_loss(
        self,
        pack: Sequence[tuple[UpdateBatch, tuple[PrefixGroup, list[int]]]],
        normalizer: LossNormalizer,
        sums: dict[str, float],
    ) -> Tensor:
        """The loss of clips that are computed together; metrics are added to `sums`."""
        import torch

        entropies: EntropyMode = "trained" if self.settings.entropy_coef else True
        with self.policy.autocast():
            each = self._scorer.score_many([group for _, (group, _) in pack], entropies=entropies)
        losses = [
            self._loss(batch, group, rows, scores.select(rows), normalizer, sums)
            for (batch, (group, rows)), scores in zip(pack, each, strict=True)
        ]
        return torch.stack(losses).sum()

    def _loss(
        self,
        batch: UpdateBatch,
        group: PrefixGroup,
        rows: list[int],
        scores: TokenScores,
        normalizer: LossNormalizer,
        sums: dict[str, float],
    ) -> Tensor:
        """A clip's part of the loss; metrics are added to `sums`."""
        import torch

        s, mask = self.settings, scores.mask
        if s.mask_truncated_completions:
            ended = torch.tensor([e for g in batch.groups for e in g.ended], device=mask.device)
            mask = mask & ended[:, None]
        if batch.old_logps is None and (s.num_iterations > 1 or batch.groups[0].sampling_logps is not None):
            batch.old_logps = scores.logps.detach()
        old_logps = None if batch.old_logps is None else batch.old_logps.to(scores.logps.device)
        weights = None
        if old_logps is not None and batch.groups[0].sampling_logps is not None:
            weights = self._server_weights(batch, old_logps, scores.mask, mask, sums)
        loss = LOSSES[s.loss_type](
            scores.logps, old_logps, self._batch_advantages(batch, scores.mask), mask,
            ClipConfig(s.epsilon, s.epsilon_high, s.beta, s.entropy_coef), normalizer,
            ref_logps=self._reference_logps(group, rows), entropies=scores.entropies, weights=weights,
        )  # fmt: skip
        tokens = float(loss.tokens)
        for name, value in {"loss": loss.value.detach(), "tokens": 1.0, **loss.metrics}.items():
            sums[name] = sums.get(name, 0.0) + float(value) * (1.0 if name == "loss" else tokens)
        return loss.value

    def _batch_advantages(self, batch: UpdateBatch, present: Tensor) -> Tensor:
        """Advantages of a clip's completions, shape (branches,), or of their tokens, shape (branches, W).

        Args:
            batch: The clip's completions.
            present: Which tokens belong to completions, bool, shape (branches, W).
        """
        import torch

        if self.settings.credit == "answer":
            rows = np.concatenate([g.advantages for g in batch.groups if g.advantages is not None])
            return torch.tensor(rows, dtype=torch.float32, device=present.device)
        tokens = np.concatenate([row for g in batch.groups for row in g.token_advantages(self.policy)])
        found = torch.zeros(present.shape, dtype=torch.float32, device=present.device)
        return found.masked_scatter(present, torch.tensor(tokens, dtype=torch.float32, device=present.device))

    def _training_flops(self, batch: UpdateBatch, group: PrefixGroup) -> Flops:
        """The cost of a clip as it was computed, and with the prompt computed again for every completion."""
        flops, branches = Flops(), batch.branches()
        passes = [self.flop_counter.training, *([self.flop_counter.forward] if self.settings.beta else [])]
        for count in passes:
            distinct, every = (
                count(group.prompt, branch_lengths(rows), sum(b.scored_count for b in rows))
                for rows in (group.branches, branches)
            )
            flops = flops + Flops(distinct.shared, every.repeat + len(branches) * batch.clip.vision_flops)
        return flops

    def _reference_logps(self, group: PrefixGroup, rows: list[int]) -> Tensor | None:
        """Log-probabilities under the reference, shape (branches, W); None where beta is 0."""
        import torch

        s = self.settings
        if not s.beta:
            return None
        without_lora = nullcontext() if self._reference is not None else self.policy.model.disable_adapter()
        with torch.no_grad(), self.policy.autocast(), without_lora:
            parts = self._reference or self.policy.parts
            return score_branches(parts, group, self._scorer.backend, s.temperature).logps[rows]

    def _server_weights(
        self, batch: UpdateBatch, old_logps: Tensor, present: Tensor, mask: Tensor, sums: dict[str, float]
    ) -> Tensor:
        """Importance weights (branches, W) of completions that another program sampled; metrics are added to `sums`.

        Args:
            batch: The clip's completions.
            old_logps: Log-probabilities under the policy, shape (branches, W).
            present: Which tokens belong to completions, bool, shape (branches, W).
            mask: Which of them count in the loss, of the same shape.
            sums: Sums of metrics over tokens.
        """
        import torch

        reported = torch.cat([row for g in batch.groups for row in g.sampling_logps or ()]).to(old_logps)
        reported = torch.zeros_like(old_logps).masked_scatter(present, reported)
        cap = self.settings.vllm_importance_sampling_clip_max
        weights = importance_weights(old_logps, reported, mask, cap, "token")
        gap = ((old_logps - reported).abs() * mask).nan_to_num(nan=0.0).sum()
        sums["logp_gap"] = sums.get("logp_gap", 0.0) + float(gap)
        sums["weight"] = sums.get("weight", 0.0) + float((weights * mask).sum())
        return weights

    def _check_server(self, metrics: dict[str, float]) -> None:
        """Raises an error if a server's log-probabilities differ too much from the policy's."""
        gap = metrics.get("logp_gap", 0.0)
        if not gap <= self.settings.max_logp_gap:
            raise ModelError(
                f"the server's log-probabilities are off by {gap:.3g} on average, more than max_logp_gap = "
                f"{self.settings.max_logp_gap:g}: let it load the weights that are trained, with the same template, "
                "frames and temperature"
            )

    def _should_stop(self, metrics: dict[str, float], run: RunFolder) -> bool:
        """Whether the reward and its spread have stopped changing."""
        if not self.settings.stop_window or "reward" not in metrics:
            return False
        reward, spread = metrics["reward"], metrics["reward_std"]
        self._rewards.append(reward)
        self._spreads.append(spread)
        stop = has_plateaued(self._rewards, self._spreads, self.settings.stop_window)
        if stop and run.processes.first:
            run.write("events.jsonl", {"event": "stopped early", "reward": reward, "reward_std": spread})
        return stop

    def close(self) -> None:
        """Ends the threads and processes that read ahead."""
        if "_reader" in self.__dict__:
            self._reader.close()

    # resuming

    def state(self) -> dict[str, Any]:
        """The position among the samples, the rewards so far, and completions that will be used again."""
        reused = self._next % self.settings.num_iterations
        return super().state() | {
            "place": self._clips.position, "rewards": self._rewards, "spreads": self._spreads,
            "told": {name: list(value) for name, value in self._sampled_metrics.items()} if reused else {},
            "batch": [batch.state() for batch in (self._batches if reused else ())],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave.

        Args:
            state: As `state` gave it.
        """
        super().restore(state)
        self._clips.position = state["place"]
        self._rewards, self._spreads = state["rewards"], state["spreads"]
        self._sampled_metrics = {name: (value[0], value[1]) for name, value in state["told"].items()}
        self._batches = [
            UpdateBatch.restored(self._clips.read_again(b["place"], b["progress"], tuple(b["chosen"])), b)
            for b in state["batch"]
        ]
