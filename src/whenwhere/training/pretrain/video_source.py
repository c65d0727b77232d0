"""Captioned clips of real videos: every clip is divided into equal parts, and one frame is taken from each.

In training the frame of a part is drawn at random, anew in each epoch; otherwise it is the one in its middle. Frames
that are kept on disk come from three fixed places of each part, among which training draws, so that a video is decoded
only once. A frame is resized to the encoder's square without cutting anything off, as ViCLIP does in evaluation;
training may cut out a part and mirror it. If a video has fewer frames than are asked for, some are shown several times.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
#: Words of a caption that would be wrong in a mirrored clip.
_SIDES = re.compile(r"\b(left|right|leftwards?|rightwards?|(counter-?|anti-?)?clockwise)\b", re.IGNORECASE)
#: Largest number of names that a message lists.
_LISTED = 3
#: Frames per second that hardly any video exceeds.
_FASTEST = 60.0


@dataclass(frozen=True)
class Augmentation:
    """What training draws anew in each epoch besides the times of frames.

    Attributes:
        crop: Smallest share of a frame's area that is cut out, 0-1, with an aspect ratio of 3:4 to 4:3 of the frame's.
            1 keeps the whole frame.
        flip: Whether half of the clips, drawn at random, are mirrored, except those whose caption says left or right.
    """

    crop: float = 1.0
    flip: bool = False


class VideoClipSource:
    """Clips of real videos with their captions.

    Args:
        items: Items with a caption in `query`. A clip is the item's window; else its first span; else the whole video.
        videos: Folder of the videos.
        frames: Number of frames of a clip.
        side: Width and height of a frame in pixels.
        augmentation: What is drawn at random in training. None takes the middle frame of each part, whole.
        cache: Cache of videos and their frames on disk. None keeps nothing.
        nouns: Noun phrases by caption; a caption that is missing has none.
        tell: Called with a sentence about what was left out, and about clips that are too short for so many frames.
        most: Largest number of clips, counting only those whose videos are in the folder. 0 takes all.

    Attributes:
        words: Empty, because captions may have any words.
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
        augmentation: Augmentation | None = None,
        cache: FrameCache | None = None,
        nouns: Mapping[str, tuple[str, ...]] | None = None,
        tell: Callable[[str], None] | None = None,
        most: int = 0,
    ) -> None:
        self.frames, self.side, self.augmentation, self.nouns = frames, side, augmentation, nouns or {}
        self.cache = cache or FrameCache()
        self._clips: list[tuple[Item, Path, Span | None]] = []
        missing: dict[str, int] = {}
        faulty = 0
        for item in items:
            if most and len(self._clips) == most:
                break
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
        short = [item.id for item, _, window in self._clips if window and window.duration * _FASTEST < frames]
        if short:
            names = ", ".join(short[:_LISTED]) + (f" and {len(short) - _LISTED} more" if len(short) > _LISTED else "")
            said.append(
                f"{len(short)} of {len(self._clips)} clips are too short for {frames} different frames, so that some "
                f"are shown several times: {names}"
            )
        if not self._clips:
            raise SettingError(
                f"there is nothing to learn from: {'; '.join(said) or 'the annotations hold no item'}; check "
                "annotations and videos in [data]"
            )
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
            mirrored = self._flips(item.query, number)
            images = self._read(path, window, number, mirrored)
        except WhenwhereError as e:
            raise SampleError(item.id, str(e)) from e
        caption = item.query.strip()
        return CaptionedClip(item.id, item.video, images, caption, self.nouns.get(caption, ()))

    def _flips(self, caption: str, number: int) -> bool:
        """Whether a clip is mirrored."""
        if self.augmentation is None or not self.augmentation.flip or _SIDES.search(caption):
            return False
        return bool(np.random.default_rng([number, 1]).random() < 0.5)

    def _read(self, path: Path, window: Span | None, number: int, mirrored: bool) -> NDArray[np.uint8]:
        """Frames of a clip, shape (T, side, side, 3)."""
        import cv2

        video = self.cache.video(path)
        start, end = (0.0, video.duration) if window is None else (window.start, min(window.end, video.duration))
        if not start < end:
            raise RecordError(f"the clip begins at {start:g} s, but {path.name} lasts {video.duration:.2f} s")
        part = np.arange(self.frames)
        rng, drawn = np.random.default_rng([number, 0]), self.augmentation is not None
        if self.cache.keeps_frames:
            chosen = rng.integers(len(_PLACES), size=self.frames) if drawn else np.ones(self.frames, int)
            shares = part[:, None] + np.array(_PLACES)
        else:
            chosen = np.zeros(self.frames, int)
            shares = part[:, None] + (rng.random((self.frames, 1)) if drawn else 0.5)
        times = start + (end - start) / self.frames * shares
        found = video.frames(times.reshape(-1), self._width(video.width, video.height)).images
        picked = found.reshape(self.frames, -1, *found.shape[1:])[part, chosen]
        rows, columns = self._cut(rng, *picked.shape[1:3])
        out = np.empty((self.frames, self.side, self.side, 3), np.uint8)
        for k, image in enumerate(picked[:, rows, columns]):
            method = cv2.INTER_AREA if min(image.shape[:2]) >= self.side else cv2.INTER_CUBIC
            out[k] = cv2.resize(np.ascontiguousarray(image), (self.side, self.side), interpolation=method)
        return out[:, :, ::-1].copy() if mirrored else out

    def _width(self, width: int, height: int) -> int:
        """Width at which frames are decoded, so that the smallest part that may be cut out still has enough pixels."""
        side = self.side / (self.augmentation.crop**0.5 if self.augmentation else 1.0)
        return min(max(round(side * max(1.0, width / max(height, 1))), 2), max(width, 2))

    def _cut(self, rng: np.random.Generator, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the part of a frame that is shown."""
        if self.augmentation is None or self.augmentation.crop == 1:
            return slice(height), slice(width)
        u = rng.random(4)
        area = self.augmentation.crop + (1 - self.augmentation.crop) * float(u[0])
        ratio = (3 / 4) ** (1 - 2 * float(u[1]))
        down = max(1, round(height * min(1.0, (area * ratio) ** 0.5)))
        across = max(1, round(width * min(1.0, (area / ratio) ** 0.5)))
        top, left = round((height - down) * float(u[2])), round((width - across) * float(u[3]))
        return slice(top, top + down), slice(left, left + across)
