"""RL with a verifier: draw completions, score them, and make the better ones likelier than the worse ones.

One update: `prompts_per_step` questions, those about one clip together; G completions of each from one forward pass of
the clip; the verifier's reward of each; advantages within each question's group; and the clipped loss, clip by clip,
with the clip's prompt computed once for all its completions (`prefix.shared_prefix`). The back end is compared with
repeating the prompt on the first group.

What is drawn follows from the seed and the sample's place in the run alone, so a run that was killed draws the same
again. With `num_iterations` > 1 the completions of an update are used so many times; they are part of the state then.

The reference of `beta` is the policy as it began: a frozen copy, or, under LoRA, the model with its matrices switched
off. Where another program draws (`rl.server`), the loss is corrected by truncated importance weights, and the run
stops where that program's log-probabilities are not the policy's.

Left out: a replay of old groups, an adaptive KL weight, and rewards that are themselves models.
"""

import json
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import ModelError, SettingError, WhenwhereError
from whenwhere.store import write_text
from whenwhere.training.data.prefetch import Prefetcher
from whenwhere.training.data.samples import Sample, SampleSource, sample_at
from whenwhere.training.objective import Outcome
from whenwhere.training.prefix.flops import FlopCounter, Flops, branch_lengths
from whenwhere.training.prefix.group import PrefixGroup, deduplicate, pack_in_order
from whenwhere.training.prefix.logprobs import EntropyMode, TokenScores
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.prefix.shared_prefix import score_branches
from whenwhere.training.prefix.vlm_parts import VLMParts
from whenwhere.training.rl.advantages import advantages, plateau, silent, statistics
from whenwhere.training.rl.completions import Attempt, Clip, Drawer, Means, Own, Work, joined, judge, line, place, signs
from whenwhere.training.rl.losses import LOSSES, Over, importance
from whenwhere.training.rl.losses import Clip as Clipping
from whenwhere.training.rl.reward_context import beside, shuffled
from whenwhere.training.rl.server import Server
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.run_folder import RunFolder
from whenwhere.verify import Verifier


class RL:
    """The stage of RL (`training.objective.Objective`).

    Args:
        policy: that learns.
        source: of samples.
        verifier: the reward.
        settings: of the run.
        drawer: of completions; None = the policy itself, or the server of the settings.

    Raises:
        SettingError: settings that make no sense together.
    """

    def __init__(
        self,
        policy: Policy,
        source: SampleSource,
        verifier: Verifier,
        settings: RLSettings,
        drawer: Drawer | None = None,
    ) -> None:
        if not len(source):
            raise SettingError("there is nothing to learn from: the source is empty")
        if settings.num_generations < 2 or settings.prompts_per_step < 1 or settings.num_iterations < 1:
            raise SettingError("RL needs num_generations ≥ 2, prompts_per_step ≥ 1 and num_iterations ≥ 1")
        if not settings.temperature > 0:
            raise SettingError("RL draws its completions: temperature must be above 0")
        self.policy, self.source, self.verifier, self.settings = policy, source, verifier, settings
        if drawer is None and settings.vllm_server_base_url:
            drawer = Server(settings.vllm_server_base_url, settings.vllm_sync_folder or None)
        self._drawer: Drawer = drawer or Own(settings.pack_tokens)
        self._reference: VLMParts | None = None
        if settings.beta and not (settings.lora_r and settings.freeze_vision_tower):
            # (LoRA switched off is the start again, if nothing but LoRA is trained)
            # in fp32, as the policy's weights will be
            copy = deepcopy(policy.parts.model).eval().requires_grad_(False).float()
            self._reference = VLMParts(copy, policy.parts.rule)
        self._ahead: Prefetcher | None = None
        self._scorer: GroupScorer | None = None
        self._counter: FlopCounter | None = None
        self._place = self._wasted = self._usual = 0
        self._last = "on another process"
        self._rewards: list[float] = []
        self._spreads: list[float] = []
        self._batch: list[Work] = []
        self._told: Means = {}
        self._next = 0

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
        s, self._next = self.settings, number + 1
        if self._scorer is None:
            self._scorer = GroupScorer(self.policy.model, s.backend, self.policy.parts.rule, s.temperature)
            self._apart(run.folder)
        counts = {"clips": 0.0, "prompts": 0.0, "completions": 0.0, "skipped": 0.0}
        flops, again = Flops(), number % s.num_iterations
        if not again:
            flops = flops + self._collect(number, run, counts)
        found: Means = dict(self._told)
        kept, tokens, drawn_now = run.processes.sum([
            sum(len(a.ids) for w in self._batch for a in w.attempts),
            sum(self._counted(a) for w in self._batch for a in w.attempts),
            0.0 if again else counts["prompts"],
        ])  # fmt: skip
        if not again:
            self._watch(drawn_now, counts, run)
        if kept:
            flops = flops + self._learn(Over(kept, tokens, s.max_completion_length), found)
        counts |= {"tokens": tokens / run.processes.count, "flops": flops.shared, "flops_repeat": flops.repeat}
        metrics = joined(run.processes.gather(found))
        if kept:
            self._compare(metrics)
        return Outcome(
            metrics, counts, int(counts["clips"]), empty=not kept, stop=not again and self._still(metrics, run)
        )

    def _apart(self, folder: Path) -> None:
        """Refuses to hand weights to a server where the run keeps its own."""
        served = self.settings.vllm_sync_folder
        own = {(folder / name).resolve() for name in ("", "checkpoint", "start", "state")}
        if served and Path(served).resolve() in own:
            raise SettingError(
                f"vllm_sync_folder is a folder in which the run keeps its own, {served}: name another one"
            )

    def _counts(self) -> FlopCounter:
        """What counts FLOPs: made once it is settled what is trained."""
        if self._counter is None:
            self._counter = FlopCounter(self.policy.parts)
        return self._counter

    # drawing

    def _collect(self, number: int, run: RunFolder, counts: dict[str, float]) -> Flops:
        """Draws completions until there are enough groups to learn from; fills the batch."""
        s = self.settings
        progress = number / s.max_steps
        attempts: list[Attempt] = []
        kept: list[Attempt] = []
        flops, extra = Flops(), 0
        if run.processes.first:
            self._drawer.ready(self.policy)
        run.processes.wait()
        while True:
            clips = self._clips(s.prompts_per_step - len(kept), progress, run, counts)
            if clips:
                sampling = SamplingParams(
                    s.max_completion_length, s.temperature, s.top_k, s.top_p, tuple(self.policy.end_ids),
                    int(np.random.SeedSequence([s.seed, clips[0].place]).generate_state(1)[0]),
                )  # fmt: skip
                made = self._drawer.draw(self.policy, clips, s.num_generations, sampling)
                others = shuffled(self.policy, self._drawer, self.verifier, clips, sampling, [s.seed])
                for attempt in made:
                    judge(self.policy, attempt, self.verifier,
                          beside(self.policy, self.verifier, attempt, progress, others))  # fmt: skip
                    counts["completions"] += len(attempt.ids)
                attempts += made
                for clip in dict.fromkeys(a.clip for a in (*made, *others)):
                    branches = [b for a in (*made, *others) if a.clip is clip for b in a.branches()]
                    scored = sum(b.scored_count for b in branches)
                    flops = flops + self._counts().forward(clip.prompt, branch_lengths(branches), scored)
                    flops = flops + Flops(clip.vision, len(branches) * clip.vision)
            kept = [a for a in attempts if s.zero_variance == "keep" or not silent([a.totals])[0]]
            if s.zero_variance != "resample" or len(kept) >= s.prompts_per_step or extra >= s.resample_limit:
                break
            extra += 1
        counts["prompts"] += len(attempts)
        self._weigh(attempts, run)
        self._tell(attempts, kept, number, run)
        works: dict[int, Work] = {}
        for attempt in kept:
            works.setdefault(attempt.clip.place, Work(attempt.clip, [])).attempts.append(attempt)
        self._batch = list(works.values())
        return flops

    def _clips(self, wanted: int, progress: float, run: RunFolder, counts: dict[str, float]) -> list[Clip]:
        """Clips with as many questions together as are wanted; fewer where samples cannot be used."""
        found: list[Clip] = []
        if self._ahead is None:
            self._ahead = Prefetcher(self.source, self.settings.seed, run.processes.count)
        for _ in range(wanted):
            lacking = wanted - sum(len(c.questions) for c in found)
            if not lacking:
                break
            at = self._place * run.processes.count + run.processes.rank
            self._place += 1
            name = f"sample {at}"
            try:
                sample = self._ahead.get(at, progress, self._usual)
                name = sample.id
                several = self._answerable(sample, run)
                if len(several) > lacking:
                    several = np.random.default_rng([self.settings.seed, at]).permutation(several)[:lacking]
                found.append(self._clip(at, progress, sample, tuple(sorted(several.tolist()))))
                counts["clips"] += 1
            except WhenwhereError as e:
                counts["skipped"] += 1
                run.skip(name, e)
                self._last = f"{name} ({e})"
        self._usual = len(found) * self.settings.dataloader_prefetch
        return found

    def _answerable(self, sample: Sample, run: RunFolder) -> Any:
        """Places of the questions that the reward applies to; the others are skipped and named."""
        able = []
        for k, question in enumerate(sample.questions):
            truth = self.policy.truth(sample, question)
            if any(term.fits(truth) for term in self.verifier.terms):
                able.append(k)
            else:
                run.skip(f"question {question.id}", "no term of the reward applies to it")
        if not able:
            raise SettingError("no term of the reward applies to any of its questions")
        return np.array(able)

    def _clip(self, at: int, progress: float, sample: Sample, chosen: tuple[int, ...]) -> Clip:
        """A sample with some of its questions, as tokens.

        Raises:
            WhenwhereError: it cannot be used.
        """
        questions = tuple(sample.questions[k] for k in chosen)
        prompt, rests = self.policy.prompts(sample, questions)
        longest = len(prompt.ids) + max(map(len, rests))
        if longest > self.settings.max_prompt_length:
            raise SettingError(
                f"its prompt has {longest} tokens, more than max_prompt_length = {self.settings.max_prompt_length}"
            )
        vision = 0.0
        if self.settings.freeze_vision_tower:
            vision = self._counts().vision(prompt)
            with self.policy.autocast():
                prompt = self.policy.parts.with_features(prompt)
        return Clip(at, progress, chosen, sample, questions, prompt, rests, vision)

    def _watch(self, drawn_now: float, counts: dict[str, float], run: RunFolder) -> None:
        """Ends a run whose samples can none of them be used."""
        self._wasted = 0 if drawn_now else self._wasted + int(run.processes.sum([counts["skipped"]])[0])
        if self._wasted >= len(self.source):
            raise SettingError(
                f"none of the last {self._wasted} samples could be used: see skipped.jsonl; the last was {self._last}"
            )

    def _weigh(self, attempts: list[Attempt], run: RunFolder) -> None:
        """Gives all completions their advantages."""
        rewards = [a.totals for a in attempts]
        every = None
        if self.settings.scale_rewards == "batch":
            every = [value for part in run.processes.gather(rewards) for group in part for value in group]
        if attempts:
            for attempt, good in zip(attempts, advantages(rewards, self.settings.scale_rewards, every), strict=True):
                attempt.advantages = good

    def _tell(self, attempts: list[Attempt], kept: list[Attempt], number: int, run: RunFolder) -> None:
        """Writes the completions down, and keeps what they have in common for the metrics."""
        self._told = signs(attempts)
        if attempts:
            truths = [self.policy.truth(a.clip.sample, a.question) for a in attempts]
            found = statistics(
                [a.totals for a in attempts], [[r.reward for r in a.rewards] for a in attempts],
                [[self.verifier.format_weight * r.format for r in a.rewards] for a in attempts],
                [None if t.tube is None else [place(c, t) for c in a.claims]
                 for a, t in zip(attempts, truths, strict=True)],
            )  # fmt: skip
            self._told |= {name: (value, float(len(attempts))) for name, value in found.items()}
            self._told["kept"] = (len(kept) / len(attempts), float(len(attempts)))
        part = f"-{run.processes.rank}" if run.processes.count > 1 else ""
        lines = [{"step": number + 1, **line(a, k)} for a in attempts for k in range(len(a.ids))]
        write_text(
            run.folder / "completions" / f"step-{number + 1:06d}{part}.jsonl",
            "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in lines),
        )

    # learning

    def _counted(self, attempt: Attempt) -> int:
        """Tokens of an attempt that count."""
        masked = self.settings.mask_truncated_completions
        return sum(len(i) for i, e in zip(attempt.ids, attempt.ended, strict=True) if e or not masked)

    def _learn(self, over: Over, found: Means) -> Flops:
        """Adds the gradients of all clips; what there is to see goes into `found`."""
        import torch

        assert self._scorer is not None
        s, flops = self.settings, Flops()
        sums: dict[str, float] = {}
        entropies: EntropyMode = "trained" if s.entropy_coef else True
        groups = [deduplicate(w.clip.prompt, [b for a in w.attempts for b in a.branches()]) for w in self._batch]
        lengths = [len(group.prompt.ids) + sum(branch_lengths(group.branches)) for group, _ in groups]
        for pack in pack_in_order(list(zip(self._batch, groups, strict=True)), lengths, s.pack_tokens):
            with self.policy.autocast():
                each = self._scorer.score_many([group for _, (group, _) in pack], entropies=entropies)
            losses = []
            for (work, (group, places)), now in zip(pack, each, strict=True):
                losses.append(self._loss(work, group, places, now.select(places), over, sums))
                flops = flops + self._cost(work, group)
            torch.stack(losses).sum().backward()
        weight = sums.pop("tokens", 0.0)
        # losses are divided by what all processes count, so they add up
        found["loss"] = (sums.pop("loss", 0.0), 0.0)
        found |= {name: (value / max(weight, 1.0), weight) for name, value in sums.items()}
        return flops

    def _loss(
        self, work: Work, group: PrefixGroup, places: Any, now: TokenScores, over: Over, sums: dict[str, float]
    ) -> Any:
        """A clip's part of the loss; what there is to see is added to `sums`."""
        import torch

        s, mask = self.settings, now.mask
        if s.mask_truncated_completions:
            ended = torch.tensor([e for a in work.attempts for e in a.ended], device=mask.device)
            mask = mask & ended[:, None]
        if work.old is None and (s.num_iterations > 1 or work.attempts[0].sampling_logps is not None):
            work.old = now.logps.detach()
        old = None if work.old is None else work.old.to(now.logps.device)
        good = torch.tensor(
            np.concatenate([a.advantages for a in work.attempts]), dtype=torch.float32, device=mask.device
        )
        clip = Clipping(s.epsilon, s.epsilon_high, s.beta, s.entropy_coef)
        made = LOSSES[s.loss_type](
            now.logps, old, good, mask, clip, over, ref_logps=self._referred(group, places), entropies=now.entropies,
            weights=self._corrected(work, old, now.mask, mask, sums),
        )  # fmt: skip
        tokens = float(made.tokens)
        for name, value in {"loss": made.value.detach(), "tokens": 1.0, **made.metrics}.items():
            sums[name] = sums.get(name, 0.0) + float(value) * (1.0 if name == "loss" else tokens)
        return made.value

    def _cost(self, work: Work, group: PrefixGroup) -> Flops:
        """What a clip cost: as it was computed, and with every completion and its prompt anew."""
        found, branches = Flops(), [b for a in work.attempts for b in a.branches()]
        for count in (self._counts().training, *([self._counts().forward] if self.settings.beta else [])):
            one, every = (
                count(group.prompt, branch_lengths(rows), sum(b.scored_count for b in rows))
                for rows in (group.branches, branches)
            )
            found = found + Flops(one.shared, every.repeat + len(branches) * work.clip.vision)
        return found

    def _referred(self, group: PrefixGroup, places: Any) -> Any:
        """Log-probabilities by the reference; None where there is none."""
        import torch

        s = self.settings
        if not s.beta:
            return None
        assert self._scorer is not None
        bare = nullcontext() if self._reference is not None else self.policy.model.disable_adapter()
        with torch.no_grad(), self.policy.autocast(), bare:
            parts = self._reference or self.policy.parts
            return score_branches(parts, group, self._scorer.backend, s.temperature).logps[places]

    def _corrected(self, work: Work, old: Any, placed: Any, mask: Any, sums: dict[str, float]) -> Any:
        """Importance weights where another program drew the completions; None where it was the policy."""
        import torch

        if work.attempts[0].sampling_logps is None:
            return None
        s = self.settings
        theirs = torch.cat([row for a in work.attempts for row in a.sampling_logps or ()]).to(old)
        theirs = torch.zeros_like(old).masked_scatter(placed, theirs)
        weights = importance(old, theirs, mask, s.vllm_importance_sampling_clip_max, "token")
        gap = ((old - theirs).abs() * mask).nan_to_num(nan=0.0).sum()
        sums["logp_gap"] = sums.get("logp_gap", 0.0) + float(gap)
        sums["weight"] = sums.get("weight", 0.0) + float((weights * mask).sum())
        return weights

    def _compare(self, metrics: dict[str, float]) -> None:
        """Refuses completions whose log-probabilities are not the policy's."""
        gap = metrics.get("logp_gap", 0.0)
        if not gap <= self.settings.max_logp_gap:
            raise ModelError(
                f"the server's log-probabilities are off by {gap:.3g} on average, more than max_logp_gap = "
                f"{self.settings.max_logp_gap:g}: let it load the weights that are trained, with the same template, "
                "frames and temperature"
            )

    def _still(self, metrics: dict[str, float], run: RunFolder) -> bool:
        """Whether reward and spread stand still."""
        if not self.settings.stop_window or "reward" not in metrics:
            return False
        self._rewards.append(metrics["reward"])
        self._spreads.append(metrics["reward_std"])
        stop = plateau(self._rewards, self._spreads, self.settings.stop_window)
        if stop and run.processes.first:
            run.write("events.jsonl", {"event": "stopped early", "reward": metrics["reward"],
                                       "reward_std": metrics["reward_std"]})  # fmt: skip
        return stop

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the policy as a checkpoint that `from_pretrained` reads."""
        self.policy.save(folder, about)

    def close(self) -> None:
        """Ends what is read ahead."""
        if self._ahead is not None:
            self._ahead.close()

    # resuming

    def state(self) -> dict[str, Any]:
        """Where the run stands among the samples, what it watches, and completions that are used again."""
        again = self._next % self.settings.num_iterations
        return {
            "place": self._place, "wasted": self._wasted, "rewards": self._rewards, "spreads": self._spreads,
            "told": {name: list(value) for name, value in self._told.items()} if again else {},
            "batch": [w.kept() for w in (self._batch if again else ())],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Takes it back."""
        self._place, self._wasted = state["place"], state["wasted"]
        self._rewards, self._spreads = state["rewards"], state["spreads"]
        self._told = {name: (value[0], value[1]) for name, value in state["told"].items()}
        self._batch = []
        for kept in state["batch"]:
            sample = sample_at(self.source, kept["place"], kept["progress"], self.settings.seed)
            clip = self._clip(kept["place"], kept["progress"], sample, tuple(kept["chosen"]))
            self._batch.append(Work.again(clip, kept))
