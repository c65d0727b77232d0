"""Examples by which encoders are judged: frames with what is true of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.heads.localizer import Segment

Frames = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class CaptionedFrames:
    """A clip and a sentence that is true of it.

    Attributes:
        frames: RGB frames, shape (T, H, W, 3).
        caption: The sentence.
        clip: Name of the clip, where several sentences of a pool describe it. None for a clip with a single sentence.
    """

    frames: Frames
    caption: str
    clip: str | None = None


@dataclass(frozen=True, eq=False)
class FramesPair:
    """Two clips that differ in one thing, each with its sentence.

    Attributes:
        first: One clip.
        second: The other.
        kind: What they differ in.
    """

    first: CaptionedFrames
    second: CaptionedFrames
    kind: str


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """A clip, or several clips of one video, and its class.

    Attributes:
        frames: RGB frames, shape (T, H, W, 3), or (clips, T, H, W, 3).
        label: Name of the class.
    """

    frames: Frames
    label: str


@dataclass(frozen=True)
class ClipQuestion:
    """A question about a clip.

    Attributes:
        clip: Index of the clip in the set.
        text: The question.
        answer: The right answer.
        kind: Kind of question, for accuracies by kind.
    """

    clip: int
    text: str
    answer: str
    kind: str = ""


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """Clips and questions about them.

    Attributes:
        clips: RGB frames of each clip, shape (T, H, W, 3).
        questions: The questions.
    """

    clips: list[Frames]
    questions: list[ClipQuestion]


@dataclass(frozen=True, eq=False)
class SegmentedFrames:
    """A video and when what happens in it.

    Attributes:
        id: Name of the video.
        frames: RGB frames at equal distances in time, shape (n, H, W, 3).
        fps: Frames per second.
        segments: What happens.
        boundaries: Times in seconds at which something begins or ends.
    """

    id: str
    frames: Frames
    fps: float
    segments: tuple[Segment, ...] = ()
    boundaries: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class NamedBoxes:
    """A clip, a noun phrase, and the box of what it names in each frame.

    Attributes:
        frames: RGB frames, shape (T, H, W, 3).
        noun: The noun phrase without an article.
        boxes: Its box in each frame, xyxy in 0-1 of width and height, shape (T, 4); NaN where it is hidden.
        largest: Box of the largest object of each frame, shape (T, 4); NaN where nothing is seen.
    """

    frames: Frames
    noun: str
    boxes: NDArray[np.float64]
    largest: NDArray[np.float64]
