"""What is learned from: a clip's frames and the questions about it, and sources of such samples.

A sample keeps all sentences of one video together, because they share its prompt (`prefix.shared_prefix`). A source
is finite and read by number, so that a run can be resumed at any sample; a sample that cannot be read raises, and the
loop skips it, counts it and names it.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import WhenwhereError
from whenwhere.verify import Truth


class SampleError(WhenwhereError):
    """A sample cannot be had.

    Args:
        sample: its name.
        reason: a sentence.
    """

    kind = "sample"

    def __init__(self, sample: str, reason: str) -> None:
        super().__init__(reason)
        self.sample = sample


@dataclass(frozen=True, eq=False)
class Question:
    """One sentence about a clip.

    Attributes:
        id: unique in its source; what difficulties and completions are kept by.
        text: the sentence.
        truth: its answer, with duration and size of the displayed frame.
        kind: of sentence, where the source has kinds.
    """

    id: str
    text: str
    truth: Truth
    kind: str | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip as the policy sees it.

    Attributes:
        id: name of the clip or path of the video.
        images: (n, h, w, 3) uint8 RGB frames, upright.
        times: (n,) seconds, when each frame is shown.
        questions: at least one.
    """

    id: str
    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    questions: tuple[Question, ...]


class Source(Protocol):
    """Samples by number."""

    def __len__(self) -> int:
        """How many there are in an epoch."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """One sample.

        Raises:
            WhenwhereError: this one cannot be had (an unreadable video, a wrong truth).
        """
        ...


@runtime_checkable
class Course(Source, Protocol):
    """A source with an order of its own: a curriculum."""

    def at(self, place: int, progress: float) -> Sample:
        """The sample that stands at a place of a run.

        Args:
            place: from 0; grows by one for every sample of the run.
            progress: share of the updates that are done, 0-1.

        Raises:
            WhenwhereError: this one cannot be had.
        """
        ...
