"""The batches of a run: which clips an update sees, read in the background and blended.

Which clips they are follows from the update's number and the seed alone, so that a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.models.encoders.config import VideoConfig
from whenwhere.training.data.prefetch import Prefetcher
from whenwhere.training.data.samples import order
from whenwhere.training.pretrain.cut_and_paste import BlendedClips, cut_and_paste
from whenwhere.training.pretrain.data import CaptionedClip, ClipSource
from whenwhere.training.pretrain.noun_grounding import shuffled_nouns
from whenwhere.training.pretrain.readers import ReaderProcesses
from whenwhere.training.pretrain.settings import PretrainObjectiveSettings, PretrainSettings
from whenwhere.training.run_folder import SampleError


@dataclass(frozen=True, eq=False)
class PreparedBatch:
    """The clips of one update and process.

    Attributes:
        clips: The clips.
        skipped: Clips that cannot be used, each with its name and the reason.
        nouns: The nouns of each clip's caption that are grounded.
        blended: The clips after cut-and-paste. None if clips are not blended, or there are fewer than two.
    """

    clips: list[CaptionedClip]
    skipped: list[tuple[str, WhenwhereError]]
    nouns: list[tuple[str, ...]]
    blended: BlendedClips | None

    def frames(self) -> NDArray[np.uint8]:
        """The frames of the clips before blending, uint8, shape (N, T, H, W, 3)."""
        return np.stack([clip.frames for clip in self.clips])


class Batches:
    """Prepares the batches of a run.

    Args:
        source: The clips.
        video: The video encoder, whose clips must have its number of frames.
        objective: The table [objective].
        settings: The settings of the run.
        rank: Number of this process.
        processes: Number of processes.

    Raises:
        SettingError: The source has fewer clips than an update needs, which would then hold a clip twice.
    """

    def __init__(
        self,
        source: ClipSource,
        video: VideoConfig,
        objective: PretrainObjectiveSettings,
        settings: PretrainSettings,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        most = max(phase.batch for phase in settings.planned()) * processes
        if len(source) < most:
            raise SettingError(
                f"too few clips in the data, {len(source)}, for an update of {most}: lower batch, or raise count "
                "in [data]"
            )
        self.source, self.video, self.objective, self.settings = source, video, objective, settings
        self.rank, self.processes = rank, processes
        self._prefetcher: Prefetcher[PreparedBatch] = Prefetcher()
        self._readers = ReaderProcesses(source, settings.dataloader_num_workers)

    def at(self, number: int) -> PreparedBatch:
        """The batch of an update; those of the next updates are prepared in the background.

        Args:
            number: Number of the update, from 0.
        """
        last = min(number + self.settings.dataloader_prefetch + 1, self.settings.max_steps)
        return self._prefetcher.get(number, self.prepare, range(number + 1, last))

    def numbers(self, number: int) -> list[int]:
        """Numbers of the clips of an update, as the source takes them: the index plus the length for each epoch before.

        Args:
            number: Number of the update, from 0.
        """
        phase = self.settings.phase_at(number)
        batch, size = phase.batch, len(self.source)
        first = (phase.drawn + (number - phase.first) * batch) * self.processes + self.rank * batch
        return [
            position // size * size + order(position, size, self.settings.seed)
            for position in range(first, first + batch)
        ]

    def prepare(self, number: int) -> PreparedBatch:
        """Reads and blends the clips of an update.

        Args:
            number: Number of the update, from 0.
        """
        clips: list[CaptionedClip] = []
        skipped: list[tuple[str, WhenwhereError]] = []
        numbers = self.numbers(number)
        for k, found in zip(numbers, self._readers.read(numbers), strict=True):
            if isinstance(found, WhenwhereError):
                skipped.append((f"clip {k}", found))
                continue
            try:
                clips.append(self._checked(found))
            except SampleError as e:
                skipped.append((found.id, e))
        random = np.random.default_rng([self.settings.seed, number, self.rank])
        blended = None
        if self.objective.cut_and_paste and len(clips) > 1:
            frames = np.stack([clip.frames for clip in clips])
            blended = cut_and_paste(frames, self.video.tubelet, random, self.objective.crossfade)
        return PreparedBatch(clips, skipped, self._nouns(clips, random), blended)

    def _nouns(self, clips: Sequence[CaptionedClip], random: np.random.Generator) -> list[tuple[str, ...]]:
        most = self.objective.nouns_per_caption
        nouns = [tuple(dict.fromkeys(clip.nouns))[:most] for clip in clips]
        return shuffled_nouns(nouns, random) if self.objective.shuffle_nouns and len(clips) > 1 else nouns

    def _checked(self, clip: CaptionedClip) -> CaptionedClip:
        """The clip, if it can be used.

        Raises:
            SampleError: It does not have the encoder's number of frames, or its caption is empty.
        """
        if len(clip.frames) != self.video.frames:
            what = "shorter" if len(clip.frames) < self.video.frames else "longer"
            raise SampleError(
                clip.id, f"it has {len(clip.frames)} frames, {what} than the {self.video.frames} of the encoder's clips"
            )
        if not clip.caption.strip():
            raise SampleError(clip.id, "its caption is empty")
        return clip

    def close(self) -> None:
        """Ends the thread that prepares batches, and the processes that read clips."""
        self._prefetcher.close()
        self._readers.close()
