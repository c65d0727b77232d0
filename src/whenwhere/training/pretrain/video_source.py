"""Captioned clips of real videos: the same number of frames of each, one from every part of equal length.

In training the frame of a part is drawn at random, anew in each epoch; otherwise it is the one in its middle. Frames
that are kept on disk come from three fixed places of each part, among which training draws, so that a video is decoded
once. A frame is resized to the encoder's square without cutting anything off, as ViCLIP does in evaluation. A video
with fewer frames than are asked for shows some of them several times.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder, find_clip
from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.spans import Span
from whenwhere.training.pretrain.clips import CaptionedClip
from whenwhere.training.run_folder import SampleError
from whenwhere.video.frame_cache import FrameCache

#: Places in each part of a clip, as shares of the part, whose frames are kept on disk; the second is its middle.
_PLACES = (1 / 6, 1 / 2, 5 / 6)
#: Names that a message lists.
_LISTED = 3


class VideoClipSource:
    """Clips of real videos with their captions.

    Args:
        items: Items with a caption in `query`. A clip is the item's window; else its first span; else the whole video.
        videos: Folder of the videos.
        frames: Number of frames of a clip.
        side: Width and height of a frame in pixels.
        training: Whether frames are drawn at random within their parts.
        cache: Videos and their frames on disk. None keeps nothing.
        nouns: Noun phrases of captions; a caption that is not there has none.
        tell: Called with a sentence about what was left out.

    Attributes:
        words: Empty: captions have any words.
        missing: Names of the videos that are not in the folder.

    Raises:
        SettingError: No item has a caption and a video that is there.
    """

    words: tuple[str, ...] = ()

    def __init__(
        self,
        items: Iterable[Item],
        videos: VideoFolder,
        frames: int,
        side: int,
        training: bool = True,
        cache: FrameCache | None = None,
        nouns: Mapping[str, tuple[str, ...]] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.frames, self.side, self.training, self.nouns = frames, side, training, nouns or {}
        self.cache = cache or FrameCache()
        self._clips: list[tuple[Item, Path, Span | None]] = []
        missing: dict[str, int] = {}
        faulty = 0
        for item in items:
            if item.status != "valid" or not item.query.strip():
                faulty += 1
            elif (found := find_clip(videos, item)) is None:
                missing[item.video] = missing.get(item.video, 0) + 1
            else:
                self._clips.append((item, *found))
        self.missing = tuple(missing)
        said = []
        if faulty:
            said.append(f"{faulty} clips are left out, because their annotation is faulty or has no caption")
        if missing:
            names = ", ".join(self.missing[:_LISTED])
            more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
            said.append(
                f"{sum(missing.values())} of {sum(missing.values()) + len(self._clips)} clips are left out, because "
                f"their videos are not in {videos.folder}: {names}{more}"
            )
        if not self._clips:
            raise SettingError(f"there is nothing to learn from: {'; '.join(said) or 'no item was given'}")
        if tell is not None:
            for sentence in said:
                tell(sentence)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def __getitem__(self, number: int) -> CaptionedClip:
        """A clip with its caption.

        Args:
            number: Index of the clip, plus the number of clips for every epoch before this one.

        Raises:
            SampleError: The video cannot be read, or the clip lies outside it.
        """
        item, path, window = self._clips[number % len(self._clips)]
        try:
            images = self._read(path, window, number)
        except WhenwhereError as e:
            raise SampleError(item.id, str(e)) from e
        caption = item.query.strip()
        return CaptionedClip(item.id, item.video, images, caption, self.nouns.get(caption, ()))

    def _read(self, path: Path, window: Span | None, number: int) -> NDArray[np.uint8]:
        import cv2

        video = self.cache.video(path)
        start, end = (0.0, video.duration) if window is None else (window.start, min(window.end, video.duration))
        if not start < end:
            raise RecordError(f"the clip begins at {start:g} s, but {path.name} lasts {video.duration:.2f} s")
        part = np.arange(self.frames)
        rng = np.random.default_rng([number, self.frames])
        kept = self.cache.keeps_frames
        if kept:
            chosen = rng.integers(len(_PLACES), size=self.frames) if self.training else np.ones(self.frames, int)
            shares = part[:, None] + np.array(_PLACES)
        else:
            chosen = np.zeros(self.frames, int)
            shares = part[:, None] + (rng.random((self.frames, 1)) if self.training else 0.5)
        times = start + (end - start) / self.frames * shares
        # the shorter side of what is kept is the encoder's
        width = max(round(self.side * max(1.0, video.width / max(video.height, 1))), 2)
        width = min(width, max(video.width, 2))
        found = video.frames(times.reshape(-1), width).images
        picked = found.reshape(self.frames, -1, *found.shape[1:])[part, chosen]
        out = np.empty((self.frames, self.side, self.side, 3), np.uint8)
        for k, image in enumerate(picked):
            shrinks = min(image.shape[:2]) >= self.side
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            out[k] = cv2.resize(np.ascontiguousarray(image), (self.side, self.side), interpolation=method)
        return out
