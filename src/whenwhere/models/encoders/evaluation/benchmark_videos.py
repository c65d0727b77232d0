"""A benchmark's videos as an encoder sees them, and the ones that it could not see."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder, find_clip
from whenwhere.errors import MediaError, RecordError, SettingError
from whenwhere.evaluate.embeddings import Ensemble
from whenwhere.evaluate.ragged import Floats
from whenwhere.models.encoders.encoder import Encoder, usual_frames
from whenwhere.models.encoders.evaluation.features import frame_features
from whenwhere.models.encoders.evaluation.recognition import TEMPLATES
from whenwhere.models.heads.answer_head import AnswerHeadSettings
from whenwhere.models.heads.localizer import LocalizerSettings
from whenwhere.spans import Span
from whenwhere.video import VideoInfo, probe, read_frames


@dataclass(frozen=True)
class SamplingSettings:
    """How a benchmark's videos and classes are shown to an encoder, and how heads on its features learn.

    Attributes:
        frames: Frames of a clip: the middles of as many equal parts of the video. None takes as many as the encoder was
            made for, and `encoder.IMAGE_FRAMES` for encoders of single pictures.
        clips: Number of clips of each video. Their frames lie between each other's, and their embeddings are averaged.
        sample_fps: Frames per second that features along time are made of (detection).
        templates: Prompts for zero-shot recognition, with `{}` in the place of the class.
        ensemble: How the prompts of a class are combined.
        answer_head: How the head that answers questions is trained.
        localizer: How the head that finds actions is built and trained.

    Raises:
        SettingError: A number is below its least value.
    """

    frames: int | None = None
    clips: int = 1
    sample_fps: float = 2.0
    templates: tuple[str, ...] = TEMPLATES
    ensemble: Ensemble = "similarity"
    answer_head: AnswerHeadSettings = field(default_factory=AnswerHeadSettings)
    localizer: LocalizerSettings = field(default_factory=LocalizerSettings)

    def __post_init__(self) -> None:
        for name in ("frames", "clips"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise SettingError(f"{name} is {value} and must be at least 1, or there is nothing to see")
        if not self.sample_fps > 0:
            raise SettingError(f"sample_fps is {self.sample_fps:g} and must be above 0, or there is nothing to see")


class BenchmarkVideos:
    """Finds, reads and embeds videos; why one of them cannot be seen is kept in `faults`.

    Args:
        encoder: The encoder.
        folder: Folder of the videos.
        settings: How videos are shown.
        count: Number of videos that will be asked for.
        progress: Called with the share of the videos that were asked for so far, 0-1.

    Attributes:
        faults: One sentence for each video that could not be seen.
    """

    def __init__(
        self,
        encoder: Encoder,
        folder: VideoFolder,
        settings: SamplingSettings,
        count: int,
        progress: Callable[[float], None],
    ) -> None:
        self.encoder, self.folder, self.settings, self.faults = encoder, folder, settings, list[str]()
        self._count, self._progress, self._done = count, progress, 0

    def embedding(self, item: Item) -> Floats | None:
        """Embeddings of the clips of an item's video, shape (clips, D); None if it cannot be seen.

        Args:
            item: The item.
        """

        def clips(info: VideoInfo, part: Span | None) -> NDArray[np.uint8]:
            times = clip_times(*_stretch(info, part), clip_frames(self.encoder, self.settings), self.settings.clips)
            images = read_frames(info, times.ravel()).images
            return images.reshape(*times.shape, *images.shape[1:])

        found = self._seen(item, clips)
        return None if found is None else self.encoder.embed_clips(found).pooled.astype(float)

    def track(self, item: Item) -> tuple[Floats, float] | None:
        """Features of an item's whole video along time, shape (steps, D), and the seconds of a step; None if unseen.

        Args:
            item: The item.
        """
        fps = self.settings.sample_fps

        def frames(info: VideoInfo, part: Span | None) -> NDArray[np.uint8]:
            times = (np.arange(max(1, round(info.duration * fps))) + 0.5) / fps
            # the encoder makes its squares of them, and whole frames of long videos do not fit into memory
            shorter = max(self.encoder.image_size) / min(info.width, info.height)
            width = max(2, min(info.width, round(info.width * shorter)))
            return read_frames(info, times.clip(0, info.duration), width=width).images

        found = self._seen(item, frames)
        if found is None:
            return None
        rows, covers = frame_features(self.encoder, found)
        return rows.astype(float), covers / fps

    def _seen(
        self, item: Item, read: Callable[[VideoInfo, Span | None], NDArray[np.uint8]]
    ) -> NDArray[np.uint8] | None:
        self._done += 1
        self._progress(min(1.0, self._done / max(1, self._count)))
        try:
            where = find_clip(self.folder, item)
            if where is None:
                raise RecordError(f"{self.folder.folder} holds no video {item.video}: copy it there")
            return read(probe(where[0]), where[1])
        except (MediaError, RecordError) as error:
            self.faults.append(f"{item.video}: {error}" if item.video not in str(error) else str(error))
            return None

    def none_seen(self, what: str) -> RecordError:
        """The error for a set of videos of which none could be seen.

        Args:
            what: The set, in words.
        """
        return RecordError(f"none of the {what} can be read; the first: {self.faults[0]}")


def clip_frames(encoder: Encoder, settings: SamplingSettings) -> int:
    """Number of frames of a clip.

    Args:
        encoder: The encoder.
        settings: How videos are shown.
    """
    return settings.frames or usual_frames(encoder)


def clip_times(start: float, end: float, frames: int, clips: int = 1) -> NDArray[np.float64]:
    """Times of the frames of clips that cover a stretch of video, shape (clips, frames).

    Args:
        start: Start in seconds.
        end: End in seconds.
        frames: Frames of a clip.
        clips: Number of clips; each takes its frames from another place within the equal parts of the stretch.

    >>> clip_times(0.0, 8.0, 2).tolist(), clip_times(0.0, 8.0, 2, 2).tolist()
    ([[2.0, 6.0]], [[1.0, 5.0], [3.0, 7.0]])
    """
    place = (np.arange(clips)[:, None] + 0.5) / clips
    return np.asarray(start + (np.arange(frames) + place) * (end - start) / frames, np.float64)


def _stretch(info: VideoInfo, part: Span | None) -> tuple[float, float]:
    if part is None:
        return 0.0, info.duration
    if part.start >= info.duration:
        raise RecordError(f"the clip begins at {part.start:g} s, but {info.path} lasts {info.duration:.2f} s")
    return part.start, min(part.end, info.duration)
