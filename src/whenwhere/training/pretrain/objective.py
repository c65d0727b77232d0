"""The objective of pre-training: the three terms of its loss, computed from the batches of all processes together.

An update embeds its clips (blended by cut-and-paste, masked as the phase says), their captions and the nouns in them,
in chunks if the recipe says so (`gradient_cache`). The contrastive loss and the grounding of nouns compare every clip
with every caption of all processes, so every process computes them whole from what it gathers and divides them by the
number of processes, because the loop adds gradients up. The temporal loss looks at each clip alone.

A term whose weight is 0 is not computed. A term that is not applicable in an update (fewer than two captions have
nouns; no mask has an edge) is left out and counted, with a warning the first time; it is never reported as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.encoders.config import Masking
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.flops import kept_tokens
from whenwhere.models.runs import RESULT
from whenwhere.models.trained import Trained
from whenwhere.store import atomic_folder
from whenwhere.training.data.unused import UnusedSamples
from whenwhere.training.epochs import in_updates
from whenwhere.training.objective import Outcome
from whenwhere.training.pretrain.batches import Batches, PreparedBatch
from whenwhere.training.pretrain.contrast import clamp_temperature, contrastive_loss
from whenwhere.training.pretrain.cost import TextPass, clip_flops, text_pass_flops
from whenwhere.training.pretrain.data import ClipSource
from whenwhere.training.pretrain.gradient_cache import GradientCache
from whenwhere.training.pretrain.meters import Meters
from whenwhere.training.pretrain.noun_grounding import noun_grounding_loss
from whenwhere.training.pretrain.settings import PretrainObjectiveSettings, PretrainSettings
from whenwhere.training.pretrain.temporal_grouping import temporal_grouping_loss
from whenwhere.training.pretrain.wise_ft import averaged
from whenwhere.training.processes import Processes
from whenwhere.training.run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.training.pretrain.start import StartModel

#: Folder beside the result that holds its average with the model that training began with.
MERGED = "merged"


class PretrainObjective:
    """Trains a video and a text encoder (`training.objective.Objective`).

    Args:
        start: The model to train, on its device.
        source: The clips.
        objective: The table [objective].
        settings: The settings of the run.
        checkpoint: Name of the checkpoint that training begins with, for the metadata of the result.

    Attributes:
        model: The model.
        settings: The settings; `max_steps` is computed where they give epochs.
        terms: The table [objective].
        unused: Which clips could not be used.

    Raises:
        SettingError: The source has fewer clips than an update.
    """

    def __init__(
        self,
        start: StartModel,
        source: ClipSource,
        objective: PretrainObjectiveSettings,
        settings: PretrainSettings,
        checkpoint: str,
    ) -> None:
        processes = Processes()
        self.settings = in_updates(settings, len(source), settings.mean_batch * processes.count)
        self.model, self.terms, self._checkpoint, self._new = start.model, objective, checkpoint, start.new
        self.unused = UnusedSamples(len(source))
        self._batches = Batches(
            source, start.model.config.video, objective, self.settings, processes.rank, processes.count
        )
        self._meters = Meters(self.device)
        self._initial: dict[str, Tensor] = {}
        self._told: set[str] = set()

    @property
    def module(self) -> torch.nn.Module:
        """The model that is trained."""
        return self.model

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.model.device

    def prepare(self) -> None:
        """Makes the model ready for training, and keeps a copy of its weights if they are to be averaged at the end."""
        self.model.checkpoint_blocks(self.settings.gradient_checkpointing)
        if self.settings.wise_ft is not None:
            weights = self.model.state_dict()
            self._initial = {name: weights[name].cpu().clone() for name in weights.keys() - self._new}

    def step(self, number: int, run: RunFolder) -> Outcome:
        """Computes the gradients of one update.

        Args:
            number: Number of the update, from 0.
            run: The run, which is told of skipped clips.

        Raises:
            SettingError: No clip of a whole epoch could be used.
        """
        phase = self.settings.phase_at(number)
        self._meters.begin(phase.number)
        batch = self._batches.at(number)
        for name, error in batch.skipped:
            run.skip(name, error)
            self.unused.note(name, error)
        used, short = run.processes.sum([len(batch.clips), len(batch.clips) < 2])
        self.unused.update(used, phase.batch * run.processes.count)
        # a process with fewer than two clips has nothing to compare or blend, so all processes leave the update out
        if short:
            return Outcome({}, dict.fromkeys(self._counted, 0.0) | {"skipped": len(batch.skipped)}, empty=True)
        update = _Update(self, batch, phase.mask, run)
        metrics, empty = update.run()
        counts = update.counts | {"clips": len(batch.clips), "skipped": len(batch.skipped)}
        (tokens,) = run.processes.sum([counts["tokens"]])
        metrics |= self._meters.measured(tokens) | {"temperature": float((-self.model.logit_scale.detach()).exp())}
        return Outcome(metrics, counts, len(batch.clips), empty=empty)

    @property
    def _counted(self) -> list[str]:
        """Names of the counts, which are the same in every update and process."""
        nouns = ["captions_without_nouns", "updates_without_nouns"] if self.terms.nouns else []
        time = ["clips_without_edge", "updates_without_edge"] if self.terms.time else []
        return ["clips", "skipped", "tokens", "flops", *nouns, *time]

    def encoder(self) -> Encoder:
        """The model as it is now, for evaluators; it is in evaluation mode until the next update."""
        from whenwhere.models.encoders.trained import TrainedEncoder

        return TrainedEncoder("the model in training", self.model, str(self.device))

    def state(self) -> dict[str, Any]:
        """What later updates depend on besides the weights: the count of unused clips."""
        return {"wasted": self.unused.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned.

        Args:
            state: What it returned.
        """
        self.unused.count = state["wasted"]

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the model, and beside the result, if `wise_ft` is set, its average with the weights it began with.

        Args:
            folder: Folder that is replaced when everything is written.
            about: Metadata of the result: recipe, its hash, number of updates.
        """
        clamp_temperature(self.model.logit_scale, self.terms.least_temperature)
        about = about | {"start": self._checkpoint}
        _write(self.model, folder, about)
        if self.settings.wise_ft is not None and folder.name == RESULT:
            trained = {name: weight.detach().cpu().clone() for name, weight in self.model.state_dict().items()}
            self.model.load_state_dict(averaged(self._initial, trained, self.settings.wise_ft))
            try:
                _write(self.model, folder.with_name(MERGED), about | {"wise_ft": self.settings.wise_ft})
            finally:
                self.model.load_state_dict(trained)

    def close(self) -> None:
        """Ends the thread that prepares clips, and the processes that read them."""
        self._batches.close()


class _Update:
    """One update: embeddings, terms and gradients.

    Args:
        objective: The objective.
        batch: The clips of this process.
        mask: Which video tokens are dropped.
        run: The run.
    """

    def __init__(self, objective: PretrainObjective, batch: PreparedBatch, mask: Masking, run: RunFolder) -> None:
        self.model, self.terms, self.settings = objective.model, objective.terms, objective.settings
        self.batch, self.mask, self.run_folder, self.device = batch, mask, run, objective.device
        self.processes, self.told = run.processes, objective._told
        self.counts = dict.fromkeys(objective._counted, 0.0)
        self.cache = GradientCache(self.device)
        self.size = self.settings.chunk or len(batch.clips)

    def run(self) -> tuple[dict[str, float], bool]:
        """Leaves the gradients in the weights; returns the metrics, and whether the update has no gradients."""
        model, terms = self.model, self.terms
        clamp_temperature(model.logit_scale, terms.least_temperature)
        model.train()
        frames = self.batch.frames() if self.batch.blended is None else self.batch.blended.frames
        clips = self.cache.embed([partial(self._clips, part) for part in self._parts(frames)])
        self._count_clips(len(frames))
        parts = []
        metrics: dict[str, float] = {}
        weights = {name: weight for name in TERMS if (weight := getattr(terms, name))}
        for name, weight in weights.items():
            if (found := TERMS[name](self, clips)) is not None:
                loss, more = found
                parts.append(weight * loss)
                metrics |= more
        if not parts:
            return {}, True
        total = sum(parts[1:], start=parts[0])
        total.backward()
        self.cache.backward()
        loss = sum(weight * metrics[name] for name, weight in weights.items() if name in metrics)
        return {"loss": loss, **metrics, **self._empty_groups(clips)}, False

    def _contrast(self, clips: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        own = self.batch.clips
        texts = self._texts([clip.caption for clip in own])
        pooled, captions = self.processes.all_gather(clips["pooled"]), self.processes.all_gather(texts)
        samples = self._ids([clip.id for clip in own])
        videos = None if self.terms.same_video_negatives else self._ids([clip.video for clip in own])
        found = contrastive_loss(pooled, captions, self.model.logit_scale.exp(), samples, videos)
        metrics = {"contrast": found.loss.item(), "contrast_accuracy": found.accuracy}
        if videos is not None:
            metrics["pairs_left_out"] = float(found.left_out)
        return found.loss / self.processes.count, metrics

    def _nouns(self, clips: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]] | None:
        import torch

        terms, own = self.terms, self.batch.nouns
        most, known = terms.nouns_per_caption, list(dict.fromkeys(noun for nouns in own for noun in nouns))
        places = torch.zeros(len(own), most, dtype=torch.long)
        valid = torch.zeros(len(own), most, dtype=torch.bool)
        for k, nouns in enumerate(own):
            places[k, : len(nouns)] = torch.tensor([known.index(noun) for noun in nouns], dtype=torch.long)
            valid[k, : len(nouns)] = True
        if known:
            embedded = self._texts([terms.noun_prompt.replace("{noun}", noun) for noun in known])[places]
        else:
            # it needs a gradient where those of other processes do, which would wait forever in the backward pass else
            trained = any(weight.requires_grad for weight in self.model.text.parameters())
            embedded = torch.zeros(len(own), most, self.model.config.video.output, device=self.device)
            embedded.requires_grad_(trained)
        names = self._ids([nouns[k] if k < len(nouns) else "" for nouns in own for k in range(most)]).view(-1, most)
        everywhere = torch.tensor([row for rows in self.processes.gather(valid.tolist()) for row in rows])
        found = noun_grounding_loss(
            self.processes.all_gather(clips["groups"]),
            self.processes.all_gather(embedded),
            everywhere.to(self.device),
            aggregation=terms.aggregation,
            tau_a=terms.group_temperature,
            tau=terms.noun_temperature,
            names=names if terms.mask_shared_nouns else None,
        )
        self.counts["captions_without_nouns"] = float((~valid.any(1)).sum())
        if found.loss is None:
            self._not_applicable("updates_without_nouns", "the loss of nouns", "fewer than two captions have nouns")
            return None
        metrics = {"nouns": found.loss.item(), "nouns_accuracy": found.accuracy}
        if terms.mask_shared_nouns:
            metrics["noun_pairs_left_out"] = float(found.left_out)
        return found.loss / self.processes.count, metrics

    def _time(self, clips: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]] | None:
        import torch

        blended, terms = self.batch.blended, self.terms
        assert blended is not None  # the settings demand cut-and-paste, and there are at least two clips
        clean = self._clean() if terms.needs_clean_clips else None
        found = temporal_grouping_loss(
            clips["frames"],
            torch.as_tensor(blended.masks, device=self.device),
            clean,
            torch.as_tensor(blended.backgrounds, device=self.device),
            centres=terms.centres,
            kind=terms.time_loss,
            tau=terms.time_temperature,
        )
        own = 0.0 if found.total is None else found.total.item()
        total, steps, right = self.processes.sum([own, found.steps, found.right])
        self.counts["clips_without_edge"] = float(found.skipped)
        if not steps:
            self._not_applicable("updates_without_edge", "the temporal loss", "no mask has an edge")
            return None
        # a process without such time steps contributes zeros to the gradients of this term
        mine = clips["frames"].sum() * 0 if found.total is None else found.total / steps
        return mine, {"time": total / steps, "time_accuracy": right / steps}

    def _not_applicable(self, count: str, what: str, why: str) -> None:
        """Counts an update in which a term is not applicable, and warns the first time.

        Args:
            count: Name of the count.
            what: The term, in words.
            why: Why it is not applicable, as a clause.
        """
        if self.processes.first:
            self.counts[count] = 1.0
        if count not in self.told:
            self.told.add(count)
            self.run_folder.warn(
                f"{what} is not applicable in an update, because {why} there: the metric {count} counts such updates"
            )

    def _parts(self, frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return [frames[k : k + self.size] for k in range(0, len(frames), self.size)]

    def _clips(self, frames: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Embeddings of a chunk of clips, in fp32, and the share of groups that each leaves empty."""
        import torch

        with self._autocast():
            out = self.model.video(self.model.pixels(frames), self.mask)
        found = {"pooled": out.pooled.float(), "frames": out.frames.float()}
        if out.groups is not None:
            found["groups"] = out.groups.float()
            with torch.no_grad():
                found["empty"] = torch.stack([_empty_share(shares) for shares in out.assignments], 1)
        return found

    def _clean(self) -> Tensor:
        """Embeddings of the time steps of the clips before blending, unmasked and without noise or gradient.

        Returns:
            Shape (N, T', D), in fp32, not normalised.
        """
        import torch

        video = self.model.video
        video.eval()
        try:
            with torch.no_grad(), self._autocast():
                parts = [video(self.model.pixels(part)).frames.float() for part in self._parts(self.batch.frames())]
        finally:
            video.train()
        return torch.cat(parts)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, shape (n, D), in fp32, with gradient unless the text encoder is frozen."""
        import torch

        text = self.model.text
        trained = any(weight.requires_grad for weight in text.parameters())
        tokens = text.tokenize(texts)
        size = self.size if self.settings.chunk else len(texts)
        parts = [{key: rows[k : k + size] for key, rows in tokens.items()} for k in range(0, len(texts), size)]
        cost = TextPass(len(texts), tokens["input_ids"].shape[1], trained, len(parts) > 1 and trained)
        self.counts["flops"] += text_pass_flops(self.model, cost)

        def embed(part: dict[str, Tensor]) -> dict[str, Tensor]:
            with self._autocast():
                return {"pooled": text(**part).float()}

        if trained:
            return self.cache.embed([partial(embed, part) for part in parts])["pooled"]
        with torch.no_grad():
            return torch.cat([embed(part)["pooled"] for part in parts])

    def _count_clips(self, clips: int) -> None:
        config = self.model.config.video
        tokens = kept_tokens(self.mask, config.steps, config.grid**2, even=config.attention == "frame")
        self.counts["tokens"] = float(clips * tokens)
        self.counts["flops"] += clips * clip_flops(
            config, self.mask, twice=clips > self.size, clean=self.terms.needs_clean_clips
        )

    def _empty_groups(self, clips: dict[str, Tensor]) -> dict[str, float]:
        """The share of group tokens without any video token, by the layer of the grouping block, over all processes."""
        if "empty" not in clips:
            return {}
        shares = clips["empty"].detach()
        *sums, count = self.processes.sum([*shares.sum(0).tolist(), len(shares)])
        layers = sorted(self.model.config.video.group_layers)
        return {f"empty_groups_{layer}": total / count for layer, total in zip(layers, sums, strict=True)}

    def _ids(self, names: list[str]) -> Tensor:
        """Numbers for the names of all processes, shape (sum of n,); equal names have equal numbers."""
        import torch

        known: dict[str, int] = {}
        every = [name for own in self.processes.gather(names) for name in own]
        return torch.tensor([known.setdefault(name, len(known)) for name in every], device=self.device)

    @property
    def _autocast(self) -> Callable[[], torch.autocast]:
        import torch

        return partial(torch.autocast, self.device.type, dtype=torch.bfloat16, enabled=self.settings.bf16)


#: The terms of the loss by the name of their weight. Each is given the embeddings of the clips. It returns the part of
#: the loss whose gradients the processes add up, and metrics that are the same on all processes, with the term's own
#: value under its name. None means that the term is not applicable.
TERMS: dict[str, Callable[[_Update, dict[str, Tensor]], tuple[Tensor, dict[str, float]] | None]] = {
    "contrast": _Update._contrast,
    "nouns": _Update._nouns,
    "time": _Update._time,
}


def _empty_share(shares: Tensor) -> Tensor:
    """The share of groups to which no video token of a clip belongs, 0-1, shape (B,).

    Args:
        shares: Assignments of a grouping block, shape (B, M, L').
    """
    import torch

    groups = shares.shape[1]
    best = torch.nn.functional.one_hot(shares.argmax(1), groups)
    return 1 - (best.sum(1) > 0).float().mean(1)


def _write(model: VideoTextModel, folder: Path, about: dict[str, Any]) -> None:
    """Writes a model with its metadata, whole or not at all."""
    with atomic_folder(folder) as temporary:
        model.save(temporary, about)
        Trained().write(temporary, about)
