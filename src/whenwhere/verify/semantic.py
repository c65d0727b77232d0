"""The semantic term: does the answered region look like the sentence, to a frozen encoder?

Frames inside the answered spans, cropped to the answered boxes, are compared with the sentence (similarity a). That
must beat the frames outside the spans (b), where boxes were answered also the same frames with the box painted over
(c), and the same crops against a sentence that is not meant (d):

    min(1, max(0, (a − max(b, c, d)) / margin))

An answer that covers the whole video leaves nothing to compare with and gets 0. So does an answer that says "it is not
there": the temporal terms judge absence.

You supply the encoder as a callable: pictures and sentences in, similarities out. It must not be the encoder that
judges the result; names are compared, and the same one is refused. Like every learned score it can be fooled, so the
term is gameable and never stands alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.answers.answer import Size
from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.verify.prediction import ParsedPrediction

ImageArray = NDArray[np.uint8]


class ImageTextSimilarity(Protocol):
    """A frozen image-text encoder as a function that compares pictures with sentences."""

    @property
    def name(self) -> str:
        """Name of the encoder, compared with the judge's name."""
        ...

    def __call__(self, pictures: Sequence[ImageArray], sentences: Sequence[str]) -> ArrayLike:
        """Similarities, shape (n, m), of n pictures (h, w, 3; sizes may differ) with m sentences."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VideoView:
    """What the encoder may look at for one question.

    Attributes:
        look: Function from times, shape (n,), in seconds to the pictures shown then, shape (n, h, w, 3), at any scale.
        duration: Duration of the video in seconds.
        size: Width and height of the displayed frame, in whose pixels the boxes are.
        query: The sentence.
        swapped: Another sentence, ideally about the same video.
    """

    look: Callable[[NDArray[np.float64]], ImageArray]
    duration: float
    size: Size
    query: str
    swapped: str

    @classmethod
    def open(cls, path: str, query: str, swapped: str, width: int = 224) -> "VideoView":
        """A view of a video file, whose frames are read at `width` pixels.

        Raises:
            MediaError: The video cannot be read.
        """
        from whenwhere.video import probe, read_frames

        info = probe(path)
        size = (float(info.width), float(info.height))
        return cls(lambda times: read_frames(info, times, width=width).images, info.duration, size, query, swapped)


@dataclass(frozen=True, slots=True, eq=False)
class Semantic:
    """An encoder used as a reward.

    Attributes:
        encoder: The callable.
        judge: Name of the encoder that will judge the result. It must be a different one.
        margin: Difference of similarities that is worth 1; about .1 for CLIP's cosines.
        frames: Number of frames looked at inside the spans, and as many outside.

    Raises:
        SettingError: The encoder is the judge, or the margin is not positive.
    """

    encoder: ImageTextSimilarity
    judge: str
    margin: float = 0.1
    frames: int = 4

    def __post_init__(self) -> None:
        if _plain(self.encoder.name) == _plain(self.judge):
            raise SettingError(
                f"the encoder {self.encoder.name!r} also judges the result: a policy must not be trained on its judge; "
                "give the reward a different encoder"
            )
        if not self.margin > 0:
            raise SettingError(f"the margin of the semantic reward must be positive, not {self.margin:g}")

    def score(self, prediction: ParsedPrediction, view: VideoView) -> float:
        """The reward in 0-1. It is 0 where there is nothing to compare, or where a similarity is not finite."""
        if not prediction.spans or prediction.tube is None:
            return 0.0
        within = prediction.spans.clip(view.duration)
        without = complement(within, view.duration)
        if not within or not without:
            return 0.0
        times = midpoints(within, self.frames)
        inside = view.look(times)
        scale = np.array([inside.shape[2] / view.size[0], inside.shape[1] / view.size[1]] * 2)
        boxes = prediction.tube.boxes_at(times) * scale
        shown, hidden = [], []
        for picture, box in zip(inside, boxes, strict=True):
            cut = _window(box, picture)
            shown.append(picture if cut is None else picture[cut])
            if cut is not None:
                covered = picture.copy()
                covered[cut] = picture.reshape(-1, 3).mean(0)
                hidden.append(covered)
        outside = list(view.look(midpoints(without, self.frames)))
        found = np.asarray(self.encoder([*shown, *outside, *hidden], [view.query, view.swapped]), float)
        n, m = len(shown), len(shown) + len(outside)
        rivals = [found[n:m, 0].mean(), found[:n, 1].mean(), *([found[m:, 0].mean()] if hidden else [])]
        gain = (found[:n, 0].mean() - max(rivals)) / self.margin
        return float(np.clip(gain, 0, 1)) if np.isfinite(found).all() else 0.0


def complement(spans: SpanSet, duration: float) -> SpanSet:
    """The time of the video outside the spans.

    >>> complement(SpanSet([(2, 3)]), 10)
    SpanSet([0, 2), [3, 10))
    """
    edges = [0.0, *(t for s in spans for t in (s.start, s.end)), duration]
    return SpanSet((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


def midpoints(spans: SpanSet, n: int) -> NDArray[np.float64]:
    """Midpoints of n equal parts of the set's total time, in seconds.

    >>> midpoints(SpanSet([(0, 2), (8, 10)]), 4).tolist()
    [0.5, 1.5, 8.5, 9.5]
    """
    lengths = spans.ends - spans.starts
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    at = (np.arange(n) + 0.5) / n * before[-1]
    i = np.searchsorted(before, at, side="right") - 1
    return np.asarray(spans.starts[i] + at - before[i])


def _window(box: NDArray[np.float64], picture: ImageArray) -> tuple[slice, slice] | None:
    """Rows and columns of a box, at least one pixel; None without a box or for a box outside the picture."""
    if not np.isfinite(box).all():
        return None
    h, w = picture.shape[:2]
    x1, y1 = (max(0, int(np.floor(v))) for v in box[:2])
    x2, y2 = min(w, int(np.ceil(box[2]))), min(h, int(np.ceil(box[3])))
    return (slice(y1, y2), slice(x1, x2)) if x1 < x2 and y1 < y2 else None


def _plain(name: str) -> str:
    """A model's name without owner, revision and case: `OpenAI/CLIP-ViT-B-32@main` becomes `clip-vit-b-32`."""
    return name.strip().rstrip("/").rsplit("/", 1)[-1].split("@")[0].casefold()
