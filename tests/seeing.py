"""A detector, a tracker and a chooser that compute their answers from a staged clip's truth.

Trained weights cannot be had in tests, and random ones see nothing. These three know the clip: which frame a picture is
is found by its pixels, what is to be seen in it is the stage's truth. Everything between them is the real code.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from world_server import WorldBackend

from whenwhere.models.backends.base import ModelCall, ModelReply
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.overlap import box_iou
from whenwhere.stage import Scene
from whenwhere.video import VideoInfo, stream_frames
from whenwhere.video.draw import COLOURS


class Seeing:
    """What is in a picture of a clip."""

    def __init__(self, info: VideoInfo, scene: Scene) -> None:
        frames = [(t, _small(image)) for t, image in stream_frames(info)]
        self.times = np.array([t for t, _ in frames])
        self._frames = np.stack([image for _, image in frames])
        self.scene = scene

    def frame(self, image: np.ndarray) -> int:
        """Which frame it is."""
        return int(np.abs(self._frames - _small(image)).mean((1, 2, 3)).argmin())

    def boxes(self, image: np.ndarray) -> dict[int, np.ndarray]:
        """Actor → box in pixels of the picture."""
        here = self.scene.boxes[:, self.frame(image)] * (image.shape[1] / self.scene.width)
        return {k: box for k, box in enumerate(here) if not np.isnan(box[0])}


def _small(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(image, (80, 45), interpolation=cv2.INTER_AREA).astype(np.int16)


class SeeingDetector:
    """Finds every actor, however it is asked; now and then one is overlooked, and each box is a little off."""

    name = "seeing"

    def __init__(self, seeing: Seeing, missed: float = 0.0, off: float = 0.0) -> None:
        self.seeing, self.missed, self.off = seeing, missed, off
        self.asked: list[tuple[str, int]] = []
        self._rng = np.random.default_rng(0)

    def for_labels(self, labels: list[str]) -> "SeeingDetector":
        self.labels = labels
        return self

    def detect(self, images: np.ndarray, threshold: float) -> list[ClassDetections]:
        self.asked.append((self.labels[0], len(images)))
        out = []
        for image in images:
            boxes = [b for b in self.seeing.boxes(image).values() if self._rng.random() >= self.missed]
            got = np.array(boxes).reshape(-1, 4)
            size = np.tile(got[:, 2:] - got[:, :2], 2)
            order = self._rng.permutation(len(got))  # a detector's boxes come in no order that means anything
            got = got + self.off * size * self._rng.standard_normal(got.shape)
            out.append(ClassDetections(got[order], np.full(len(got), 0.9), np.ones((len(got), 1))))
        return out


class SeeingFollower:
    """Follows the actor that a box lies on, with the same interface as `BoxFollowing`."""

    name = "follower"

    def __init__(self, seeing: Seeing) -> None:
        self.seeing = seeing
        self.actors: dict[int, int] = {}
        self.steps = 0

    def follow(self) -> "SeeingFollower":
        return SeeingFollower(self.seeing)

    def step(self, image: np.ndarray) -> dict[int, np.ndarray]:
        self.steps += 1
        self._here = self.seeing.boxes(image)
        return {n: self._here[actor] for n, actor in self.actors.items() if actor in self._here}

    def show(self, boxes: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        for n, box in boxes.items():
            self.actors[n] = max(self._here, key=lambda actor: float(box_iou(self._here[actor], box)))
        return {n: self._here[actor] for n, actor in self.actors.items() if actor in self._here}


class ChoosingBackend(WorldBackend):  # type: ignore[misc, valid-type]
    """Also says which of the numbered boxes is the sentence's thing: it reads the drawn pixels, nothing else."""

    said: str | None = None

    def _one(self, call: ModelCall) -> ModelReply:
        if call.step != "choose":
            return super()._one(call)  # type: ignore[no-any-return]
        self.calls += 1
        if self.watch is not None:
            self.watch(call)
        truth = next(t for text, t in self.world.truths.items() if text in call.prompt)
        count = len(call.schema["enum"]) - 1 if call.schema else 0
        scores = [0.6] + [self._fit(call, truth, n) for n in range(1, count + 1)]
        text = self.said or f'"Target ID: {int(np.argmax(scores))}"'
        return ModelReply(text, 100, 6, shown=(call.images.shape[2], call.images.shape[1]))

    def _fit(self, call: ModelCall, truth: Any, number: int) -> float:
        import cv2

        fits = []
        for t, image in zip(call.times, call.images, strict=True):
            wanted = truth.seen.boxes_at([t])[0]
            drawn = (image == COLOURS[(number - 1) % len(COLOURS)]).all(-1)
            if np.isnan(wanted[0]):
                continue
            # how much of the true box's edge has this number's colour, give or take three pixels
            near = cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            x1, y1, x2, y2 = wanted * (image.shape[1] / truth.size[0])
            along = np.linspace(0, 1, 25)
            x = np.concatenate([x1 + along * (x2 - x1)] * 2 + [np.full(25, x1), np.full(25, x2)])
            y = np.concatenate([np.full(25, y1), np.full(25, y2)] + [y1 + along * (y2 - y1)] * 2)
            height, width = drawn.shape
            fits.append(float(near[y.astype(int).clip(0, height - 1), x.astype(int).clip(0, width - 1)].mean()))
        return float(np.mean(fits)) if fits else 0.0
