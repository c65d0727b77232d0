"""The network of the localizer: a pyramid over time with class scores and distances at every point, and its loss."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Start and end of an action must lie within this many points of its level's rate (the last level takes all longer).
REACH = 4.0
#: Points whose distance from the middle of an action is at most this many points of their level belong to it.
RADIUS = 1.5


class LevelPoints(NamedTuple):
    """Answers at all P points of all levels. Times count in features of the lowest level, from the track's start.

    Attributes:
        logits: Class logits, shape (B, P, classes).
        spans: Start and end, shape (B, P, 2).
        times: Time of each point, shape (P,).
        strides: Distance between the points of its level, shape (P,).
    """

    logits: Tensor
    spans: Tensor
    times: Tensor
    strides: Tensor

    @property
    def scores(self) -> Tensor:
        """Probabilities of the classes, shape (B, P, classes)."""
        return self.logits.sigmoid()


class Residual(nn.Module):
    """A residual convolution over time.

    Args:
        width: Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Adds to the input what the convolution makes of it.

        Args:
            x: Shape (B, T, width).
            real: 1 where x is no padding, shape (B, T, 1). Padding is seen as zeros, like what is beyond the ends.
        """
        return x + nn.functional.gelu(self.conv((self.norm(x) * real).transpose(1, 2)).transpose(1, 2))


class PyramidHead(nn.Module):
    """Scores classes and measures distances at each point of a pyramid over time.

    Args:
        size: Size D of a feature.
        width: Width of the layers.
        classes: Number of classes.
        levels: Levels of the pyramid.
        depth: Residual convolutions on each level.
    """

    def __init__(self, size: int, width: int, classes: int, levels: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(size, width)
        self.stages = nn.ModuleList(nn.ModuleList(Residual(width) for _ in range(depth)) for _ in range(levels))
        self.shrink = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(levels - 1))
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, classes))
        self.measure = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        # nearly all points are background: begin with probabilities of 0.01, as RetinaNet does
        nn.init.constant_(self.classify[-1].bias, -math.log(99))

    def points(self, features: Tensor, mask: Tensor) -> LevelPoints:
        """Answers at all points.

        Args:
            features: Features, shape (B, T, D); T is divisible by the stride of the highest level.
            mask: 1 where a feature is no padding, shape (B, T).
        """
        real = mask[..., None]
        x = self.enter(features)
        logits, spans, times, strides = [], [], [], []
        for level, stage in enumerate(self.stages):
            if level:
                x = self.shrink[level - 1]((x * real).unflatten(1, (-1, 2)).flatten(2))
                real = real.unflatten(1, (-1, 2)).amax(2)
            for layer in stage:
                x = layer(x, real)
            top = self.norm(x)
            stride = float(2**level)
            at = (torch.arange(x.shape[1]) + 0.5) * stride
            reach = nn.functional.softplus(self.measure(top)) * stride
            logits.append(self.classify(top))
            spans.append(torch.stack([at - reach[..., 0], at + reach[..., 1]], -1))
            times.append(at)
            strides.append(torch.full_like(at, stride))
        return LevelPoints(torch.cat(logits, 1), torch.cat(spans, 1), torch.cat(times), torch.cat(strides))


def targets(points: LevelPoints, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the points of one video should answer.

    A point belongs to an action if it lies in it, near its middle, and its level's reach covers the larger of its
    distances to start and end; of several actions it takes the shortest.

    Args:
        points: The points.
        truth: Start, end and class of each action, shape (n, 3).

    Returns:
        Class of each point, -1 for background, shape (P,); start and end, shape (P, 2); and the mask of the points
        that belong to an action.
    """
    times, strides = points.times[:, None], points.strides[:, None]
    label = torch.full_like(points.times, -1).long()
    if not len(truth):
        return label, points.times.new_zeros(len(label), 2), label >= 0
    start, end = truth[None, :, 0], truth[None, :, 1]
    far = torch.maximum(times - start, end - times)
    low = torch.where(strides > strides.min(), REACH * strides / 2, -1.0)
    high = torch.where(strides < strides.max(), REACH * strides, math.inf)
    # of an action shorter than the distance of points, the nearest point still counts
    near = (times - (start + end) / 2).abs() <= torch.minimum(RADIUS * strides, ((end - start) / 2).clamp(min=0.5))
    fits = near & (far > low) & (far <= high)
    length = torch.where(fits, end - start, math.inf)
    best = length.argmin(1)
    positive = fits.any(1)
    label[positive] = truth[best[positive], 2].long()
    return label, truth[best, :2], positive


def distance_iou(found: Tensor, true: Tensor) -> Tensor:
    """DIoU of segments row by row: IoU less the squared distance of the middles over the squared hull, shape (n,).

    Args:
        found: Start and end, shape (n, 2).
        true: Start and end, shape (n, 2).
    """
    common = (torch.minimum(found[:, 1], true[:, 1]) - torch.maximum(found[:, 0], true[:, 0])).clamp(min=0)
    union = (found[:, 1] - found[:, 0]) + (true[:, 1] - true[:, 0]) - common
    hull = torch.maximum(found[:, 1], true[:, 1]) - torch.minimum(found[:, 0], true[:, 0])
    apart = (found.sum(1) - true.sum(1)) / 2
    return common / union.clamp(min=1e-6) - apart**2 / hull.clamp(min=1e-6) ** 2


def focal_loss(logits: Tensor, goal: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Sigmoid focal loss of every logit (Lin et al. 2017).

    Args:
        logits: Logits, any shape.
        goal: 0 or 1, the same shape.
        gamma: Exponent that takes weight from easy examples.
        alpha: Weight of positives; negatives have 1 - alpha.
    """
    plain = nn.functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    share = logits.sigmoid()
    wrong = goal * (1 - share) + (1 - goal) * share
    return (alpha * goal + (1 - alpha) * (1 - goal)) * wrong**gamma * plain


def localization_loss(points: LevelPoints, truth: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Focal loss of the classes plus DIoU loss of the segments, both divided by the number of points with an action.

    Args:
        points: Answers for a batch of videos.
        truth: Start, end and class of each action, shape (n, 3), for each video.
        lengths: Number of features of each video, shape (B,); points beyond it are padding and have no loss.
    """
    classes = points.logits.shape[2]
    goals, masks, spans = [], [], []
    for own in truth:
        label, span, positive = targets(points, own)
        goals.append(nn.functional.one_hot(label + 1, classes + 1)[:, 1:].float())
        masks.append(positive)
        spans.append(span)
    real = points.times[None] < lengths[:, None]
    positive = torch.stack(masks) & real
    count = positive.sum().clamp(min=1)
    classified = (focal_loss(points.logits, torch.stack(goals)).sum(2) * real).sum() / count
    if not positive.any():
        return classified
    placed = (1 - distance_iou(points.spans[positive], torch.stack(spans)[positive])).sum() / count
    return classified + placed
