"""The background model, and how much a frame differs from it.

The background of a window of frames is estimated from *chunk medians* (one median per few seconds): whatever passes by
is already gone from them, so they show the scene's states, and there are few of them.

- `median`: the per-pixel median of the chunks. It is right wherever the empty scene is seen most of the time.
- `recurring`: per 8 x 8 block, the appearance that comes back in the most separate runs. People who stand in one place
  for most of a clip would become background under the median; the empty scene is what *recurs* between them. It
  replaces the median only in the blocks where the two contradict each other.

A frame is compared with the background after its light has been fitted: a global gain and offset by robust regression,
then a smooth local offset that is trusted only where the picture still looks like the background. The remaining
difference is weighed as evidence: lightness, chroma and gradients, in units of each pixel's own noise (leaves and water
are noisy). Where the texture is still that of the background at another lightness, it is shadow or light, not an
object.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

#: Pixels with evidence above `HIGH` are foreground; above `LOW` they belong to a foreground region that they touch.
HIGH = 16.0
LOW = 12.0
#: Share of foreground pixels above which a frame shows another scene (a light was switched, the camera was pushed).
FLOOD = 0.42
#: Widest soft shadow that is removed from an object, in working pixels.
PENUMBRA = 14
_BLOCK = 8
_SIGMA = 1.0

Lab = NDArray[np.uint8]


@dataclass
class Background:
    """The empty scene over one stretch of time.

    Attributes:
        lab: (h, w, 3) picture in OpenCV's 8-bit Lab scaling, lightly blurred.
        noise: (h, w) robust deviation of the lightness of empty pixels, at least 1.
        kind: How it was estimated: `median` or `recurring`.
    """

    lab: NDArray[np.float32]
    noise: NDArray[np.float32]
    kind: str = "median"


def to_lab(frames: NDArray[np.uint8]) -> Lab:
    """Convert (n, h, w, 3) frames from RGB to Lab, both uint8."""
    return np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2LAB) for f in frames])


def chunk_medians(lab: Lab, size: int, samples: int = 7) -> Lab:
    """(k, h, w, 3) one median per `size` frames, each of at most `samples` of them."""
    out = []
    for start in range(0, max(1, len(lab) - size // 2), size):
        part = lab[start : start + size]
        if len(part) > samples:
            part = part[np.linspace(0, len(part) - 1, samples).astype(int)]
        out.append(_median(part))
    return np.stack(out)


def _median(stack: Lab) -> Lab:
    """The per-pixel (upper) median of (n, h, w, 3) frames."""
    middle = len(stack) // 2
    median: Lab = np.partition(stack, middle, axis=0)[middle]
    return median


def _recurring(chunks: Lab, median: Lab) -> tuple[NDArray[np.float32], float]:
    """Per block, the appearance that recurs in most runs; and the share of blocks in which it is not the median."""
    k, h, w = chunks.shape[:3]
    hb, wb = h // _BLOCK, w // _BLOCK
    small = np.stack([cv2.resize(c, (wb * 2, hb * 2), interpolation=cv2.INTER_AREA) for c in chunks])
    # (blocks, k, 12): 2 x 2 cells of three channels describe a block
    cells = small.reshape(k, hb, 2, wb, 2, 3).transpose(1, 3, 0, 2, 4, 5).reshape(hb * wb, k, 12).astype(np.float32)
    # A change of light shifts the lightness of a whole chunk; what counts is how a block differs from the rest of its
    # chunk.
    cells[:, :, 0::3] -= np.median(cells[:, :, 0::3], axis=(0, 2), keepdims=True)
    norm = (cells**2).mean(2)
    distance = norm[:, :, None] + norm[:, None, :] - 2 * np.einsum("bik,bjk->bij", cells, cells) / cells.shape[2]
    typical = np.median(np.median(distance, 2), 1).clip(0, 16)
    same = distance < np.maximum(14.0, 2.5 * typical)[:, None, None]
    runs = same[:, :, 0].astype(int) + (same[:, :, 1:] & ~same[:, :, :-1]).sum(2)
    score = same.sum(2) * np.minimum(runs, 6) ** 0.75
    best = score.argmax(1)
    # The chunk nearest to the median in this block shows the median's own state.
    nearest = np.abs(cells - np.median(cells, 1, keepdims=True)).mean(2).argmin(1)
    rows = np.arange(len(best))
    differs = (distance[rows, best, nearest] > 60) & (score[rows, best] > 1.25 * score[rows, nearest])
    out = median.astype(np.float32)
    for block in np.flatnonzero(differs):
        y, x = block // wb * _BLOCK, block % wb * _BLOCK
        members = chunks[same[block, best[block]], y : y + _BLOCK, x : x + _BLOCK]
        out[y : y + _BLOCK, x : x + _BLOCK] = np.median(members, 0)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), _SIGMA), np.float32), float(differs.mean())


def estimate_background(lab: Lab, chunks: Lab, kind: str = "auto") -> Background:
    """The background of a stretch of frames.

    Args:
        lab: (n, h, w, 3) frames of the stretch, for the noise.
        chunks: (k, h, w, 3) chunk medians of the stretch.
        kind: `median`, `recurring`, or `auto`, which uses `recurring` if it contradicts the median on more than 1 % of
            the picture.
    """
    median = _median(chunks)
    plain = cv2.GaussianBlur(median, (0, 0), _SIGMA).astype(np.float32)
    chosen, used = plain, "median"
    if kind != "median" and len(chunks) >= 4:
        recurring, share = _recurring(chunks, median)
        if kind == "recurring" or share > 0.01:
            chosen, used = recurring, "recurring"
    background = Background(chosen, np.ones(chosen.shape[:2], np.float32), used)
    # Noise is measured by changes over half a second, not by the distance to the background: leaves are noise, a car
    # that parks for most of the time is not.
    first = np.unique(np.linspace(0, max(0, len(lab) - 4), 32).astype(int))
    later = np.minimum(first + 3, len(lab) - 1)
    change = lab[later, ..., 0].astype(np.int16) - lab[first, ..., 0]
    change = np.abs(change - np.median(change[:, ::4, ::4], axis=(1, 2), keepdims=True).astype(np.int16))
    noise = 1.05 * np.partition(change, len(change) // 2, axis=0)[len(change) // 2].astype(np.float32)
    background.noise = cv2.blur(noise, (5, 5)).clip(1.0, 9.0)
    return background


def _residual(lab: Lab, background: Background) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w, 3) frame minus background in the frame's light, and (h, w) the predicted lightness."""
    x = cv2.GaussianBlur(lab, (0, 0), _SIGMA).astype(np.float32)
    base = background.lab
    xs, bs = x[::4, ::4].reshape(-1, 3), base[::4, ::4].reshape(-1, 3)
    weight = np.ones(len(xs), np.float32)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        total = weight.sum() + 1e-6
        mx, mb = (weight * xs[:, 0]).sum() / total, (weight * bs[:, 0]).sum() / total
        variance = (weight * (bs[:, 0] - mb) ** 2).sum() / total
        covariance = (weight * (bs[:, 0] - mb) * (xs[:, 0] - mx)).sum() / total
        # A flat road says nothing about the gain: pull it towards 1.
        gain = float(np.clip((covariance + 30.0) / (variance + 30.0), 0.5, 1.6))
        offset = float(mx - gain * mb)
        r = xs[:, 0] - gain * bs[:, 0] - offset
        scale = 1.4826 * float(np.median(np.abs(r))) + 1.0
        weight = (1 / (1 + (r / (2 * scale)) ** 2) ** 2).astype(np.float32)
    predicted = gain * base[..., 0] + offset
    d = x - base
    d[..., 0] = x[..., 0] - predicted
    inlier = weight > 0.5
    if inlier.sum() > 50:
        d[..., 1:] -= np.median((xs - bs)[inlier, 1:], 0)
    local = _local_offset(d)
    d[..., 0] -= local
    return d, predicted + local


def _local_offset(d: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) smooth correction of lightness, from cells most of which still look like the background."""
    h, w = d.shape[:2]
    rows, columns = min(h, max(2, h // 30)), min(w, max(3, w // 30))
    ys, xs = np.linspace(0, h, rows + 1).astype(int), np.linspace(0, w, columns + 1).astype(int)
    size_y, size_x = int(np.diff(ys).min()), int(np.diff(xs).min())
    # Equal cells (the few leftover rows do not matter) as one array: (rows, columns, pixels, 3).
    part = np.stack([d[y : y + size_y : 3] for y in ys[:-1]])
    part = np.stack([part[:, :, x : x + size_x : 3] for x in xs[:-1]], 1).reshape(rows, columns, -1, 3)
    light = np.median(part[..., 0], 2)
    spread = np.median(np.abs(part[..., 0] - light[..., None]), 2)
    chroma = np.median(np.abs(part[..., 1:]).sum(3), 2)
    # An object that fills a cell changes its texture or colour; light changes neither.
    trusted = (chroma < 3.0) & (spread < 4.0) & (np.abs(light) < 14)
    if trusted.mean() < 0.25:
        return np.zeros((h, w), np.float32)
    value = np.where(trusted, light, 0).astype(np.float32)
    weight = cv2.GaussianBlur(trusted.astype(np.float32), (3, 3), 0.8)
    value = cv2.GaussianBlur(value, (3, 3), 0.8) / np.maximum(weight, 0.15)
    smooth: NDArray[np.float32] = cv2.resize(value, (w, h), interpolation=cv2.INTER_LINEAR)
    return smooth


def foreground_evidence(lab: Lab, background: Background) -> NDArray[np.float32]:
    """(h, w) how strongly each pixel of a frame differs from the empty scene; compare with `HIGH` and `LOW`."""
    return foreground_and_shadow(lab, background)[0]


def foreground_and_shadow(lab: Lab, background: Background) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`foreground_evidence`, and (h, w) where less light alone would explain it: hard shadow, or a dark object."""
    d, predicted = _residual(lab, background)
    lightness = predicted + d[..., 0]
    ratio = (lightness + 1) / (predicted + 1)
    # Less light also means less chroma: the floor in a shadow is compared with a paler floor.
    paler = (np.clip(ratio, 0.4, 1.2) - 1)[..., None] * (background.lab[..., 1:] - 128)
    chroma = np.minimum(
        cv2.magnitude(d[..., 1], d[..., 2]), cv2.magnitude(d[..., 1] - paler[..., 0], d[..., 2] - paler[..., 1])
    )
    vivid = cv2.magnitude(background.lab[..., 1] - 128, background.lab[..., 2] - 128)
    dl = np.abs(d[..., 0])
    gx = cv2.Sobel(d[..., 0], cv2.CV_32F, 1, 0, scale=0.25)
    gy = cv2.Sobel(d[..., 0], cv2.CV_32F, 0, 1, scale=0.25)
    edges = cv2.magnitude(gx, gy)
    calm = np.maximum(1.0, background.noise / 2.0)
    score = 0.6 * dl / calm + 1.6 * chroma / np.sqrt(calm)
    # Edges strengthen a difference but must not widen it.
    score += np.minimum(0.5 * np.maximum(edges - 1.5, 0) / calm, score)
    # Shadow or light has the same chroma and the texture of the background at another lightness.
    lit = (ratio > 0.5) & (ratio < 1.5) & (chroma < 5 + 0.1 * vivid)
    texture = cv2.blur(edges, (3, 3)) < 2.2 + 0.06 * dl
    shade = lit & texture & ((ratio < 0.97) | (_likeness(lightness, predicted) > 0.75))
    score[shade] *= 0.35
    shadow = (ratio > 0.25) & (ratio < 0.93) & (chroma < 5 + 0.1 * vivid)
    return _without_penumbra(score, ratio, chroma), shadow


def _without_penumbra(
    score: NDArray[np.float32], ratio: NDArray[np.float32], chroma: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The evidence without soft shadows: darker ground that is reached from outside without crossing an edge."""
    steep = cv2.magnitude(
        cv2.Sobel(ratio, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(ratio, cv2.CV_32F, 0, 1, scale=0.125)
    )
    outside = score < LOW
    # A shadow's border is a ramp, an object's border a step: slopes are compared with the depth reached there.
    depth = cv2.dilate(np.clip(1 - ratio, 0, 1), np.ones((3, 3), np.uint8))
    step = cv2.dilate((steep > 0.01 + 0.12 * depth).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    soft = ~step & (ratio < 0.97) & (ratio > 0.15) & (chroma < 5) & ~outside
    if not soft.any():
        return score
    passable = cv2.morphologyEx((soft | outside).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    reached: cv2.typing.MatLike = outside.astype(np.uint8)
    for _ in range(PENUMBRA):
        reached = cv2.bitwise_and(cv2.dilate(reached, np.ones((3, 3), np.uint8)), passable)
    score[(reached > 0) & soft] = 0
    return score


def _likeness(x: NDArray[np.float32], y: NDArray[np.float32], size: int = 9) -> NDArray[np.float32]:
    """(h, w) correlation of two pictures in a sliding window, 0 where both are flat."""
    k = (size, size)
    mx, my = cv2.blur(x, k), cv2.blur(y, k)
    vx = cv2.blur(x * x, k) - mx * mx
    vy = cv2.blur(y * y, k) - my * my
    cov = cv2.blur(x * y, k) - mx * my
    likeness: NDArray[np.float32] = cov / np.sqrt(np.maximum(vx, 4) * np.maximum(vy, 4))
    return likeness


def scene_segments(chunks: Lab, background: Background) -> list[tuple[int, int]]:
    """Runs of chunks that show one scene, divided where a flood (a light switched, the camera pushed) lasts.

    Returns:
        (first, end) pairs of chunk indices that cover all chunks; a single pair if nothing floods.
    """
    flooded = np.array([float((foreground_evidence(c, background) > HIGH).mean()) > FLOOD * 0.8 for c in chunks])
    edges = [0, *(np.flatnonzero(flooded[1:] != flooded[:-1]) + 1).tolist(), len(chunks)]
    runs = [(a, b) for a, b in itertools.pairwise(edges)]
    merged: list[tuple[int, int]] = []
    for a, b in runs:
        # A single odd chunk is an actor that fills the picture, not another scene.
        if merged and (b - a < 2 or merged[-1][1] - merged[-1][0] < 2):
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    return merged
