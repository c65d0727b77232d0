"""What a captioned clip is, and what a source of them does.

A source makes a clip from its number alone, so that a run can be resumed anywhere and each process can read its share.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CaptionedClip:
    """A clip with a caption.

    Attributes:
        id: Name of the clip.
        video: Name of the video that the clip is cut from. With `same_video_negatives = false`, clips of one video are
            not negatives of each other.
        frames: RGB frames, shape (T, S, S, 3), uint8.
        caption: One sentence about the clip.
        nouns: Noun phrases of the caption without articles, in its order; empty where they are not known.
    """

    id: str
    video: str
    frames: NDArray[np.uint8]
    caption: str
    nouns: tuple[str, ...] = ()


class ClipSource(Protocol):
    """Makes captioned clips from their numbers.

    Attributes:
        words: Every word that a caption can contain, for the tokenizer of a text encoder that starts untrained; empty
            where the words are not a closed list.
    """

    words: tuple[str, ...]

    def __len__(self) -> int:
        """Number of clips."""

    def __getitem__(self, number: int) -> CaptionedClip:
        """Makes a clip.

        Args:
            number: Index of the clip, plus the number of clips for every epoch before this one. What is drawn at
                random (frames within their segments, one of several captions) is drawn anew in each epoch.
        """
