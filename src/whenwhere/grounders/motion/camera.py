"""Camera motion: whether the camera moves, and how, by registration of sampled frames.

Corners are followed from frame to frame and a similarity is fitted to them with RANSAC. Corners alone are misled by an
actor with more of them than a plain background (a car on asphalt), so the picture votes: a motion counts only if it
explains more of the picture's blocks than no motion does. A camera that moves a little (hand-held, slow zoom) is
compensated by warping every frame onto the middle one; one that pans away is beyond a background model, and the caller
is told so.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Shift in pixels (at the working width) between neighbouring samples above which the camera moves.
STILL = 0.6
#: The same over long gaps: a mast that sways by a few pixels does not count as a moving camera.
SLOW = 5.0
#: Largest drift, as a share of the frame's width, up to which frames are warped onto one.
REACH = 0.28


@dataclass
class CameraMotion:
    """How the camera moved over a window of frames.

    Attributes:
        moving: Whether it moves by more than codec noise.
        steady: Whether the frames can be warped onto one reference frame.
        to_reference: (n, 2, 3) similarity from each frame to the reference frame; identity if the camera is still.
    """

    moving: bool
    steady: bool
    to_reference: NDArray[np.float64]


def camera_step(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.float64] | None, float, float]:
    """The similarity from grey frame a to b, the share of corners that follow it, and its shift of the picture."""
    corners = cv2.goodFeaturesToTrack(a, 160, 0.01, 7)
    if corners is None or len(corners) < 12:
        return None, 0.0, 0.0
    moved, ok, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, corners.copy(), winSize=(15, 15), maxLevel=3)
    keep = ok.ravel() == 1
    p, q = corners[keep].reshape(-1, 2), moved[keep].reshape(-1, 2)
    if len(p) < 12:
        return None, 0.0, 0.0
    fit, inlier = cv2.estimateAffinePartial2D(p, q, method=cv2.RANSAC, ransacReprojThreshold=1.5, maxIters=300)
    if fit is None:
        return None, 0.0, 0.0
    mask = inlier.ravel() == 1
    h, w = a.shape
    # The shift is that of the whole picture, not of the inliers, which may all sit in one corner.
    grid = np.array([[0.2 * w, 0.2 * h], [0.8 * w, 0.2 * h], [0.2 * w, 0.8 * h], [0.8 * w, 0.8 * h]])
    shift = float(np.linalg.norm(grid @ fit[:, :2].T + fit[:, 2] - grid, axis=1).mean())
    still = float((np.linalg.norm(q - p, axis=1) < STILL).mean())
    # If most corners or most of the picture have not moved, the camera was still, whatever RANSAC found.
    if still > 0.5 or (shift > STILL and not _explains(fit, a, b)):
        return np.eye(2, 3), still, 0.0
    return fit, float(mask.mean()), shift


def _explains(fit: NDArray[np.float64], a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether far more blocks of the picture follow the motion than stand still; undecided blocks do not vote."""
    h, w = a.shape
    # Only detail is compared: automatic exposure changes the brightness of everything at once.
    x, y = (cv2.GaussianBlur(g, (0, 0), 1.0).astype(np.float32) - cv2.blur(g, (15, 15)) for g in (a, b))
    standing = np.abs(x - y)
    following = np.abs(cv2.warpAffine(x, fit, (w, h), borderMode=cv2.BORDER_REPLICATE) - y)
    still, follow = (cv2.resize(d, (16, 9), interpolation=cv2.INTER_AREA) for d in (standing, following))
    return int((follow < 0.75 * still - 0.3).sum()) > 2 * int((still < 0.75 * follow - 0.3).sum())


def _chain(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity that applies `a` first, then `b`."""
    return np.vstack([b, [0, 0, 1]])[:2] @ np.vstack([a, [0, 0, 1]])


def moved_box(box: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (4,) xyxy box around a box that a (2, 3) similarity has moved."""
    corners = box.reshape(2, 2) @ m[:, :2].T + m[:, 2]
    return np.concatenate([corners.min(0), corners.max(0)])


def inverse(m: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse similarity, (2, 3)."""
    return np.linalg.inv(np.vstack([m, [0, 0, 1]]))[:2]


def estimate_camera(frames: NDArray[np.uint8]) -> CameraMotion:
    """The camera motion over (n, h, w, 3) RGB frames."""
    n, h, w = frames.shape[:3]
    identity = np.repeat(np.eye(2, 3)[None], n, 0)
    if n < 3:
        return CameraMotion(False, True, identity)
    probe = np.unique(np.linspace(0, n - 2, min(24, n - 1)).astype(int))
    grey = {}

    def g(i: int) -> NDArray[np.uint8]:
        if i not in grey:
            grey[i] = cv2.cvtColor(frames[i], cv2.COLOR_RGB2GRAY)
        return grey[i]

    shifts = [s for fit, share, s in (camera_step(g(i), g(i + 1)) for i in probe) if fit is not None and share > 0.3]
    # Slow drift does not show between neighbours, so long gaps are compared too.
    far = [s for fit, share, s in (camera_step(g(i), g(j)) for i, j in zip(probe[:-1:3], probe[3::3], strict=False))
           if fit is not None and share > 0.4]  # fmt: skip
    moving = bool(len(shifts) >= 3 and np.mean(np.array(shifts) > STILL) > 0.3) or bool(
        len(far) >= 2 and np.median(far) > SLOW
    )
    if not moving:
        return CameraMotion(False, True, identity)
    reference = n // 2
    to_reference = identity.copy()
    grey.clear()
    for order in (range(reference + 1, n), range(reference - 1, -1, -1)):
        previous = reference
        for i in order:
            fit, share, _ = camera_step(g(i), g(previous))
            if fit is None or share < 0.2:
                fit = np.eye(2, 3)
            to_reference[i] = _chain(fit, to_reference[previous])
            grey.pop(previous, None)
            previous = i
        grey.clear()
    centre = np.array([w / 2, h / 2])
    drift = np.linalg.norm(to_reference[:, :, :2] @ centre + to_reference[:, :, 2] - centre, axis=1)
    scale = np.sqrt(np.abs(np.linalg.det(to_reference[:, :, :2])))
    steady = bool(drift.max() < REACH * w and scale.max() < 1.35 and scale.min() > 0.74)
    return CameraMotion(True, steady, to_reference)
