"""A small anchor-free head that finds actions in time, trained on frozen features of frames.

It is built like ActionFormer (Zhang et al. 2022): a pyramid over time, at each of its points a score for every class
and the distances to start and end, centre sampling, focal and DIoU losses, soft NMS. It has residual convolutions in
place of local attention, and a few layers only. Its mAP ranks encoders under one head; it is not comparable with
numbers of G-TAD or ActionFormer, and whoever prints it prints the head's name, the features and their step as well
(`Localizer.describe`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from whenwhere.errors import SettingError
from whenwhere.evaluate.prediction import Prediction
from whenwhere.models.heads.linear_probe import Floats, finite_rows
from whenwhere.models.heads.soft_nms import soft_nms

if TYPE_CHECKING:
    import torch

    from whenwhere.models.heads.pyramid import PyramidHead


@dataclass(frozen=True)
class LocalizerSettings:
    """How a localizer is built and trained.

    Attributes:
        width: Width of its layers.
        depth: Residual convolutions on each level of the pyramid.
        levels: Levels of the pyramid; each halves the rate of the one below.
        steps: Updates.
        batch: Videos in a batch.
        learning_rate: Largest learning rate of AdamW, reached after a tenth of the updates; then it falls to 0.
        weight_decay: Weight decay.
        sigma: Width of soft NMS.
        most: Most segments that are answered for a video.
        seed: Seed of weights and batches.
    """

    width: int = 64
    depth: int = 2
    levels: int = 3
    steps: int = 400
    batch: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    sigma: float = 0.5
    most: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "levels", "steps", "batch", "most"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} of a localizer is {getattr(self, name)} and must be at least 1")
        if not self.sigma > 0:
            raise SettingError(f"sigma of a localizer is {self.sigma:g} and must be above 0")


@dataclass(frozen=True)
class Segment:
    """A labelled stretch of time.

    Attributes:
        start: Start in seconds.
        end: End in seconds, after the start.
        label: Name of the class.
    """

    start: float
    end: float
    label: str


@dataclass(frozen=True, eq=False)
class FeatureTrack:
    """Features of one video at equal distances in time.

    Attributes:
        video: Name of the video.
        features: Features, shape (T, D); feature t belongs to the time (t + 0.5) * step.
        step: Seconds between two features.
        segments: What happens in the video; empty where it is not known.
    """

    video: str
    features: npt.NDArray[np.floating]
    step: float
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise SettingError(f"the features of {self.video} have a step of {self.step:g} s: it must be above 0")
        if bad := [s for s in self.segments if not s.start < s.end]:
            raise SettingError(
                f"{self.video} has a segment from {bad[0].start:g} to {bad[0].end:g} s: its end must come after its "
                "start"
            )


@dataclass(frozen=True, eq=False)
class Localizer:
    """A trained head.

    Attributes:
        classes: Names of the classes.
        settings: How it was built and trained.
        step: Seconds between two features that it was trained on.
        head: The network.
        mean: Mean of the training features, shape (D,).
        deviation: One standard deviation for all components.
        losses: Mean loss of the first and of the last tenth of the updates.
    """

    classes: tuple[str, ...]
    settings: LocalizerSettings
    step: float
    head: "PyramidHead" = field(repr=False)
    mean: Floats = field(repr=False)
    deviation: float
    losses: tuple[float, float]

    def describe(self, features: str) -> str:
        """The head and its features in words, to be printed beside an mAP.

        Args:
            features: What the features are, such as the encoder's name.
        """
        how = self.settings
        return (
            f"anchor-free head ({how.levels} levels of {how.depth} convolutions, width {how.width}, {how.steps} "
            f"updates) on frozen features of {features}, one every {self.step:g} s"
        )

    def locate(self, tracks: Sequence[FeatureTrack]) -> dict[str, Prediction]:
        """Scored segments of each video, as answers for `whenwhere.evaluate.detection`, by video.

        Args:
            tracks: Features of the videos, of the step that the head was trained on.

        Raises:
            SettingError: A track does not fit the head.
        """
        import torch

        found = {}
        for track in tracks:
            rows = _rows(track, self.step, len(self.mean))
            with torch.no_grad():
                points = self.head.points(*_padded([(rows - self.mean) / self.deviation], self.settings.levels))
            scores = points.scores[0].numpy().astype(float)
            spans = points.spans[0].numpy().astype(float) * self.step
            end = len(rows) * self.step
            spans = spans.clip(0, end)
            good = (spans[:, 1] > spans[:, 0]) & (points.times.numpy() < len(rows))
            ranked, labels = soft_nms(spans[good], scores[good], self.settings.sigma, self.settings.most)
            found[track.video] = Prediction(track.video, ranked=ranked, labels=[self.classes[k] for k in labels])
        return found


def fit_localizer(tracks: Sequence[FeatureTrack], settings: LocalizerSettings | None = None) -> Localizer:
    """Train a localizer on videos with known segments; the same tracks and settings give the same head.

    Args:
        tracks: Features and segments of the training videos, all of one step. Videos without segments teach what is
            not an action.
        settings: How it is built and trained.

    Raises:
        SettingError: There is no segment, a feature is not finite, or steps or sizes differ.
    """
    import torch

    from whenwhere.models.heads.pyramid import PyramidHead, localization_loss

    how = settings or LocalizerSettings()
    classes = tuple(sorted({segment.label for track in tracks for segment in track.segments}))
    if not classes:
        raise SettingError(f"{len(tracks)} training videos hold no segment: a localizer needs actions to learn from")
    number = {name: k for k, name in enumerate(classes)}
    step, size = tracks[0].step, tracks[0].features.shape[-1]
    rows = [_rows(track, step, size) for track in tracks]
    everything = np.concatenate(rows)
    mean = everything.mean(0)
    deviation = max(float(everything.std(0).mean()), 1e-8)
    rows = [(one - mean) / deviation for one in rows]
    truth = [
        torch.tensor([(s.start / step, s.end / step, number[s.label]) for s in track.segments]).reshape(-1, 3)
        for track in tracks
    ]
    history = []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(how.seed)
        head = PyramidHead(size, how.width, len(classes), how.levels, how.depth)
        optimiser = torch.optim.AdamW(head.parameters(), how.learning_rate, weight_decay=how.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.learning_rate, how.steps + 1, pct_start=0.1)
        for _ in range(how.steps):
            pick = torch.randperm(len(rows))[: how.batch].tolist()
            features, mask = _padded([rows[k] for k in pick], how.levels)
            loss = localization_loss(head.points(features, mask), [truth[k] for k in pick], mask.sum(1))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            history.append(loss.item())
    head.requires_grad_(False).eval()
    part = max(1, len(history) // 10)
    ends = float(np.mean(history[:part])), float(np.mean(history[-part:]))
    return Localizer(classes, how, step, head, mean, deviation, ends)


def _rows(track: FeatureTrack, step: float, size: int) -> Floats:
    rows = finite_rows(track.features, f"features of {track.video}")
    if abs(track.step - step) > 1e-6 * step or rows.shape[1] != size:
        raise SettingError(
            f"{track.video} has features of {rows.shape[1]} numbers every {track.step:g} s, and the others of {size} "
            f"every {step:g} s: sample all videos in the same way with one encoder"
        )
    return rows


def _padded(rows: Sequence[Floats], levels: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Features of several videos, shape (B, T, D), T divisible at every level, and which of them are real (B, T)."""
    import torch

    part = 2 ** (levels - 1)
    length = -(-max(len(one) for one in rows) // part) * part
    features = torch.zeros(len(rows), length, rows[0].shape[1])
    mask = torch.zeros(len(rows), length)
    for k, one in enumerate(rows):
        features[k, : len(one)] = torch.from_numpy(one)
        mask[k, : len(one)] = 1
    return features, mask
