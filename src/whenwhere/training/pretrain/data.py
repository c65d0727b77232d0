"""Captioned clips for video-language pre-training: what one is, and sources of them.

A source makes a clip from its number alone, so that a run can be resumed anywhere and each process can read its share.
`open_clips` builds the source that the table [data] of a recipe asks for.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.stage.shapes.captioned import CaptionedShapes, make_captioned
from whenwhere.stage.shapes.corpus import CORPORA, ShapesCorpus
from whenwhere.stage.shapes.words import CORPUS_WORDS
from whenwhere.training.tables import checked


@dataclass(frozen=True, eq=False)
class CaptionedClip:
    """A clip with a caption.

    Attributes:
        id: Name of the clip.
        video: Name of the video that the clip is cut from. Clips of one video are not negatives of each other.
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


@dataclass(frozen=True)
class PretrainDataSettings:
    """The table [data] of a recipe for pre-training: which captioned clips the encoders learn from.

    Attributes:
        kind: `shapes` (the procedural world).
        corpus: Name of a corpus of shapes (`whenwhere.stage.shapes.CORPORA`).
        world: Factors of that corpus that are changed, each a field of `ShapesCorpus`.
        first_seed: Seed of the first clip of `shapes`.
        count: Number of clips of `shapes`; for other data the largest number of clips, 0 for all.
        cache: Folder in which finished frames are kept, so that later epochs and runs do not make them again. Empty
            keeps none.
    """

    kind: str = "shapes"
    corpus: str = "pairs"
    world: dict[str, Any] = field(default_factory=dict)
    first_seed: int = 0
    count: int = 0
    cache: str = ""

    def __post_init__(self) -> None:
        kinds = ("shapes",)
        if self.kind not in kinds:
            raise SettingError(f"there is no data {self.kind!r}{did_you_mean(self.kind, kinds)}")
        if self.kind == "shapes":
            if not self.count:
                raise SettingError("kind = 'shapes' needs count, how many clips there are")
            self.shapes()

    def shapes(self) -> ShapesCorpus:
        """The corpus of shapes with its changed factors.

        Raises:
            SettingError: There is no such corpus or factor, or the factors contradict each other.
        """
        if self.corpus not in CORPORA:
            raise SettingError(f"there is no corpus {self.corpus!r}{did_you_mean(self.corpus, CORPORA)}")
        return checked(ShapesCorpus, asdict(CORPORA[self.corpus]) | self.world, "world")


class ShapesSource:
    """Clips of a corpus of shapes, one for each seed.

    Args:
        corpus: The corpus.
        first_seed: Seed of the first clip; the others follow seed by seed.
        count: Number of clips.
    """

    words = CORPUS_WORDS

    def __init__(self, corpus: ShapesCorpus, first_seed: int = 0, count: int = 1_000_000) -> None:
        self.corpus, self.first_seed, self.count = corpus, first_seed, count

    def __len__(self) -> int:
        """Number of clips."""
        return self.count

    def clip(self, index: int) -> CaptionedShapes:
        """A clip with its whole truth.

        Args:
            index: Index of the clip.
        """
        return make_captioned(self.corpus, self.first_seed + index)

    def __getitem__(self, number: int) -> CaptionedClip:
        """A clip with its caption.

        Args:
            number: Index of the clip, plus the number of clips for every epoch before this one.
        """
        clip = self.clip(number % self.count)
        return CaptionedClip(clip.id, clip.id, clip.images, clip.caption, clip.nouns)


def open_clips(
    settings: PretrainDataSettings, frames: int, side: int, training: bool = True,
    tell: Callable[[str], None] | None = None, folder: Path | None = None,
) -> ClipSource:  # fmt: skip
    """The source of clips that a recipe asks for.

    Args:
        settings: The table [data].
        frames: Number of frames of a clip.
        side: Width and height of a frame in pixels.
        training: Whether frames of real videos are drawn at random within their segments; otherwise the middle ones
            are taken.
        tell: Called with a sentence about what takes long or was left out.
        folder: Folder that relative paths in the table start from. None is the working folder.

    Raises:
        SettingError: The table asks for something that does not exist.
        RecordError: Annotations cannot be read.
    """
    corpus = replace(settings.shapes(), frames=frames, side=side)
    return ShapesSource(corpus, settings.first_seed, settings.count)
