"""The lines of text of a video, twice a second. All questions about writing are answered from them.

A frame is read only if it differs from the frame that was read last; otherwise it has the same lines. Boxes are kept in
displayed pixels, and each different text is kept once, so that the index of a long video of slides is small.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.models.ocr import SIDE, TextReader
from whenwhere.store import Cache
from whenwhere.video import VideoInfo, stream_frames

#: Version of the stored arrays; raise it if they or their meaning change.
VERSION = 1
#: Frames per second that are looked at.
FPS = 2.0
#: Frames are compared at this width, and are the same if no pixel of it differs by more than so many of 255 levels.
_WIDTH, _SAME = 160, 10


@dataclass
class WritingIndex:
    """The lines of text of the frames that were looked at.

    Attributes:
        times: (T,) times of the frames in seconds.
        frame: (n,) number of the frame of each line, not decreasing.
        boxes: (n, 4) boxes of the lines, xyxy in displayed pixels.
        scores: (n,) how surely each was read, from 0 to 1.
        text: (n,) number of the text of each line.
        texts: The different texts.
        step: Seconds between two frames.
        read: Number of frames that were read.
        warnings: Sentences about frames that could not be decoded.
    """

    times: NDArray[np.float64]
    frame: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    text: NDArray[np.int32]
    texts: tuple[str, ...]
    step: float
    read: int
    warnings: tuple[str, ...]

    def arrays(self) -> dict[str, NDArray]:
        """The index as arrays that can be stored."""
        return {
            "times": self.times, "frame": self.frame, "boxes": self.boxes, "scores": self.scores, "text": self.text,
            "texts": _packed(self.texts), "numbers": np.array([self.step, self.read]),
            "warnings": _packed(self.warnings),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, stored: dict[str, NDArray]) -> "WritingIndex":
        """The index that `arrays` was called on."""
        step, read = stored["numbers"].tolist()
        same = {name: stored[name] for name in ("times", "frame", "boxes", "scores", "text")}
        return cls(
            **same, texts=_split(stored["texts"]), step=step, read=int(read), warnings=_split(stored["warnings"])
        )


def index_key(cache: Cache, info: VideoInfo, fps: float = FPS) -> str:
    """The key under which the index of a video is kept in a cache."""
    return cache.key("writing", VERSION, info.content, fps, TextReader.fingerprint)


def build_writing_index(
    info: VideoInfo, reader: TextReader, fps: float = FPS, progress: Callable[[float], None] | None = None
) -> WritingIndex:
    """Read a whole video.

    Args:
        info: The probed video.
        reader: What reads a picture.
        fps: Frames per second that are looked at.
        progress: Called with the share of the video that is done, in 0-1, now and then.
    """
    warnings: list[str] = []
    times, frames, texts = list[float](), list[int](), list[int]()
    boxes, scores = list[NDArray](), list[NDArray]()
    numbers: dict[str, int] = {}
    width = max(1, min(info.width, round(SIDE * info.width / max(info.width, info.height))))
    last, lines, read = None, None, 0
    for t, picture in stream_frames(info, fps, width, warnings=warnings):
        small = _small(picture)
        if last is None or int(cv2.absdiff(small, last).max()) > _SAME:
            lines, last, read = reader.read(picture), small, read + 1
        assert lines is not None
        frames += [len(times)] * len(lines.texts)
        texts += [numbers.setdefault(" ".join(one.split()), len(numbers)) for one in lines.texts]
        boxes.append(lines.boxes * (info.width / picture.shape[1]))
        scores.append(lines.scores)
        times.append(t)
        if progress is not None:
            progress(min(1.0, t / info.duration))
    return WritingIndex(
        np.array(times, float), np.array(frames, np.int32),
        np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32),
        np.concatenate([np.zeros(0), *scores]).astype(np.float32), np.array(texts, np.int32), tuple(numbers),
        1 / min(fps, max(info.fps, 0.1)), read, tuple(warnings),
    )  # fmt: skip


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    width = min(_WIDTH, picture.shape[1])
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    resized = partial(cv2.resize, dsize=(width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)), np.uint8)


def _packed(texts: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(texts).encode(), np.uint8)


def _split(stored: NDArray[np.uint8]) -> tuple[str, ...]:
    text = stored.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
