"""Camera motion is estimated from the whole picture, not from the actor with the most corners."""

import cv2
import numpy as np
import pytest

from whenwhere.grounders.motion import camera

H, W, N = 180, 320, 24


def texture(height: int, width: int, contrast: float, seed: int) -> np.ndarray:
    rough = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(rough, (0, 0), 1.5)
    return 120 + contrast * soft / soft.std()


def clip(frames: list[np.ndarray], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed)
    grey = [np.clip(f + noise.normal(0, 1.5, f.shape), 0, 255).astype(np.uint8) for f in frames]
    return np.stack([cv2.merge([g, g, g]) for g in grey])


@pytest.mark.parametrize("exposure", [0.0, 12.0])
def test_a_big_car_on_plain_asphalt_is_not_a_moving_camera(exposure):
    road, car = texture(H, W, 4, 1), texture(120, 110, 45, 2)
    frames = []
    for i in range(N):
        f = road - exposure * min(i, N - i) / N
        y = round(-60 + 7 * i)
        top, bottom = max(0, y), min(H, y + 120)
        if bottom > top:
            f[top:bottom, 100:210] = car[top - y : bottom - y]
        frames.append(f)
    assert not camera.estimate_camera(clip(frames)).moving


def test_a_pan_is_a_moving_camera_also_with_an_actor_in_it():
    world, car = texture(H, W + 90, 12, 3), texture(70, 60, 45, 4)
    frames = []
    for i in range(N):
        f = world[:, 3 * i : 3 * i + W].copy()
        f[60:130, 8 * i + 20 : 8 * i + 80] = car
        frames.append(f)
    seen = camera.estimate_camera(clip(frames))
    assert seen.moving and seen.steady
    drift = seen.to_reference[:, 0, 2]
    assert drift[-1] - drift[0] == pytest.approx(3 * (N - 1), abs=4)
