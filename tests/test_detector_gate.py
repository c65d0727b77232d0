"""The motion gate: detections carried under a still camera, and the detector asked when something new moves."""

import numpy as np

from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.models.detectors.gate import REFRESH, MotionGate
from whenwhere.overlap import box_iou

FPS, SIDE = 4.0, 40


def scene(count: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A textured square walks through a still room, comes to rest, goes on and leaves; pictures and true boxes."""
    import cv2

    rng = np.random.default_rng(seed)
    room = cv2.resize(rng.integers(60, 120, (23, 40, 3), np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    thing = cv2.resize(rng.integers(0, 255, (10, 10, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    pictures, boxes = [], []
    for k in range(count):
        walked = min(max(k - 20, 0), 30) + max(k - 90, 0)
        x = -SIDE + 6 * walked
        picture = room.copy()
        left, right = max(x, 0), min(x + SIDE, 320)
        if right > left:
            picture[70 : 70 + SIDE, left:right] = thing[:, left - x : right - x]
        noise = rng.normal(0, 1.5, picture.shape)
        pictures.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
        boxes.append(np.array([[left, 70, right, 70 + SIDE]], float) if right - left > 4 else np.zeros((0, 4)))
    return pictures, boxes


def watch(pictures: list[np.ndarray], boxes: list[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """The boxes of a gate whose detector knows the truth, and the pictures for which it was asked."""
    gate, out, asked = MotionGate(), [], []
    for k, (picture, true) in enumerate(zip(pictures, boxes, strict=True)):
        found = gate.carry(k / FPS, picture)
        if found is None:
            found = ClassDetections(true, np.full(len(true), 0.9), np.ones((len(true), 1)))
            gate.tell(k / FPS, found)
            asked.append(k)
        out.append(found.boxes)
    return out, asked


def test_few_questions_find_as_much_as_many() -> None:
    pictures, boxes = scene(160)
    got, asked = watch(pictures, boxes)
    assert asked[0] == 0 and len(asked) * 5 <= len(pictures)
    fits = [float(box_iou(g[0], b[0])) if len(g) else 0.0 for g, b in zip(got, boxes, strict=True) if len(b)]
    assert len(fits) > 90 and np.mean(np.array(fits) >= 0.5) > 0.95 and np.mean(fits) > 0.85


def test_nothing_is_carried_for_longer_than_the_refresh() -> None:
    pictures, _ = scene(1)
    _, asked = watch(pictures * 100, [np.zeros((0, 4))] * 100)
    assert asked == list(range(0, 100, int(REFRESH * FPS)))


def test_a_camera_that_moves_is_asked_every_time() -> None:
    pictures, _ = scene(1)
    moved = [np.roll(pictures[0], 9 * k, axis=1) for k in range(12)]
    _, asked = watch(moved, [np.zeros((0, 4))] * 12)
    assert asked == list(range(12))


def test_what_vanishes_is_not_carried_on():
    pictures, _ = scene(1)
    with_box = pictures[0].copy()
    with_box[60:90, 100:140] = (40, 200, 50)
    there = np.array([[100.0, 60, 140, 90]])
    _, asked = watch([with_box] * 3 + [pictures[0]] * 3, [there] * 3 + [np.zeros((0, 4))] * 3)
    assert asked == [0, 3]
