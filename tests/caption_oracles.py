"""Captioners that know the clips of shapes they are shown, for tests: functions that `module:function` names."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.models.captioners import ClipFrames
from whenwhere.models.encoders.encoder import ClipEmbeddings
from whenwhere.spans import SpanSet
from whenwhere.stage.shapes.captioned import CaptionedShapes, make_captioned, phrase
from whenwhere.stage.shapes.corpus import CORPORA
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter

FPS = 4
CORPUS = replace(CORPORA["pairs"], side=64, frames=12, objects=(3, 4))


@lru_cache(maxsize=64)
def clip_of(stem: str) -> CaptionedShapes:
    """The clip of a file, by the seed in its name."""
    return make_captioned(CORPUS, int(stem.split("-")[-1]))


def name_of(clip: CaptionedShapes, k: int) -> str:
    return phrase(clip.plan.things[k]).removeprefix("the ")


def write_clips(folder: Path, count: int) -> None:
    """Clips with their complete tracks beside them."""
    items = []
    for seed in range(count):
        clip = clip_of(f"shapes-{seed}")
        path = folder / f"shapes-{seed}.mp4"
        with FrameWriter(path, 64, 64, FPS, crf=12) as video:
            for image in clip.images:
                video.write(image)
        times = np.arange(len(clip.images)) / FPS
        tubes = []
        for k in range(len(clip.boxes)):
            good = np.isfinite(clip.boxes[k]).all(axis=1)
            if good.any():
                whole = SpanSet([(0.0, len(times) / FPS)])
                tubes.append(Tube(whole, times[good], clip.boxes[k][good], rate=FPS, label=name_of(clip, k)))
        items.append(Item(path.stem, path.name, spans=span_array([(0.0, len(times) / FPS)]), tubes=tubes, width=64,
                          height=64))  # fmt: skip
    manifest.write(items, folder / "tracks.jsonl")


def seen(frames: ClipFrames) -> list[list[str]]:
    """Names of the shapes in each frame."""
    clip = clip_of(Path(frames.video).stem)
    rows = np.clip(np.round(frames.times * FPS).astype(int), 0, len(clip.images) - 1)
    return [[name_of(clip, k) for k in range(len(clip.boxes)) if clip.seen[k, row] >= 0.5] for row in rows]


def coarse_text(stem: str) -> str:
    return f"the picture of {stem} shows {name_of(clip_of(stem), 0)}"


def coarse(frames: ClipFrames) -> list[str]:
    assert len(frames.images) == 1 and frames.images.shape[3] == 3
    return [coarse_text(Path(frames.video).stem)]


def tags(frames: ClipFrames) -> list[list[str]]:
    if os.environ.get("CAPTION_KILL") == Path(frames.video).stem:
        os.kill(os.getpid(), signal.SIGKILL)
    return seen(frames)


#: Functions that are being called.
busy: set[str] = set()


def _alone(name: str) -> None:
    """Takes a moment, in which nobody else may come."""
    assert name not in busy, f"{name} is called from two threads"
    busy.add(name)
    time.sleep(0.01)
    busy.discard(name)


def slow_tags(frames: ClipFrames) -> list[list[str]]:
    _alone("tags")
    return seen(frames)


def alone(images: NDArray[np.uint8]) -> float:
    _alone("aesthetics")
    return 1.0


def join(coarse: str, frames: list[tuple[float, str]]) -> str:
    _alone("join")
    return " ".join([coarse, *(text for _, text in frames)])


def crash(frames: ClipFrames) -> list[str]:
    raise ZeroDivisionError("division by zero")


def too_few(frames: ClipFrames) -> list[str]:
    return ["one"]


def no_list(frames: ClipFrames) -> str:
    return "text"


def numbers(frames: ClipFrames) -> list[int]:
    return [1] * len(frames.times)


def silent(frames: ClipFrames) -> list[str]:
    return [""] * len(frames.times)


def brightness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.mean(axis=(1, 2, 3)) / 255.0


class Brightness:
    """An encoder of two dimensions: how bright a clip is, and how long a text."""

    name, frames, image_size, dimension, scale = "brightness", 1, (8, 8), 2, 1.0

    def embed_frames(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._unit(images.mean(axis=(1, 2, 3)) / 255)

    def embed_clips(self, clips: NDArray[np.uint8]) -> ClipEmbeddings:
        pooled = self._unit(clips.mean(axis=(1, 2, 3, 4)) / 255)
        return ClipEmbeddings(pooled, pooled[:, None])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._unit(np.array([min(len(text) / 100, 1.0) for text in texts]))

    def unknown_words(self, text: str) -> list[str]:
        return []

    def _unit(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.stack([values, np.sqrt(1 - values**2)], axis=1).astype(np.float32)


class Said:
    """A summariser that says what a function says."""

    concurrency = 1

    def __init__(self, say: Callable[[], str]) -> None:
        self.say = say

    def fuse(self, coarse: str, frames: Sequence[tuple[float, str]], seconds: float, words: int) -> tuple[str, str]:
        return self.say(), ""


if __name__ == "__main__":  # the command, in a process that can be killed
    sys.path.insert(0, str(Path(__file__).parent))
    from whenwhere.cli import main

    main()
