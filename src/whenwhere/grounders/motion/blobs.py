"""From evidence to blobs: connected regions in one frame, with box, area and colours by height.

Two thresholds are used: a blob is a connected region of weak evidence that holds some strong evidence, so that the pale
sleeve of a red jacket belongs to it while faint noise alone makes no blob. Small blobs are kept (a far walker is a
dozen pixels): whether something is an actor is decided over time, by the tracks.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import background as bg
from whenwhere.grounders.motion import colours

#: Borders of the height zones of a blob: head, shoulders, trunk, hips, legs.
ZONES = np.array([0.0, 0.18, 0.36, 0.56, 0.76, 1.0])
#: Darker ground beside an object is its shadow if it is thinner than this share of its height.
THIN = 0.2
#: Fewest pixels of a blob (at the working width).
SMALLEST = 14
_OPEN = np.ones((3, 3), np.uint8)
_CLOSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))


@dataclass
class Blob:
    """One connected region in one frame.

    Attributes:
        box: (4,) xyxy in working pixels.
        area: Number of its pixels.
        strong: Share of its pixels with strong evidence.
        colour: (5, 13) soft shares by height zone and column of `colours.COLUMNS`.
        mask: Its pixels, from `corner` on.
        corner: (x, y) of the mask's first pixel.
    """

    box: NDArray[np.float64]
    area: float
    strong: float
    colour: NDArray[np.float32]
    mask: NDArray[np.bool_] = field(repr=False)
    corner: tuple[int, int] = (0, 0)

    @property
    def fill(self) -> float:
        """Share of the box that its pixels cover."""
        b = self.box
        return float(self.area / max(1.0, (b[2] - b[0]) * (b[3] - b[1])))


def foreground_masks(score: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(h, w) weak and strong foreground of one frame as uint8 0/1, without specks and small holes."""
    strong = cv2.morphologyEx((score > bg.HIGH).astype(np.uint8), cv2.MORPH_OPEN, _OPEN)
    near = cv2.dilate(strong, np.ones((15, 15), np.uint8))
    weak = cv2.bitwise_or(cv2.bitwise_and((score > bg.LOW).astype(np.uint8), near), strong)
    weak = cv2.bitwise_or(cv2.morphologyEx(weak, cv2.MORPH_OPEN, _OPEN), strong)
    return np.asarray(cv2.morphologyEx(weak, cv2.MORPH_CLOSE, _CLOSE), np.uint8), np.asarray(strong, np.uint8)


def zone_colours(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(5, 13) soft colour shares of the masked pixels by height zone; an empty zone takes those of its neighbour."""
    h = len(mask)
    ys, xs = np.nonzero(mask)
    if len(ys) > 700:
        pick = np.linspace(0, len(ys) - 1, 700).astype(int)
        ys, xs = ys[pick], xs[pick]
    zone = np.searchsorted(ZONES, (ys + 0.5) / h, side="right") - 1
    shares = colours.colour_table()[colours.colour_cells(rgb[ys, xs])]
    one_hot = (zone[:, None] == np.arange(5)).astype(np.float32)
    count = one_hot.sum(0)
    out = one_hot.T @ shares / np.maximum(count, 1)[:, None]
    if (count == 0).any() and count.any():
        full = np.flatnonzero(count)
        out = out[full[np.abs(np.arange(5)[:, None] - full).argmin(1)]]
    return out.astype(np.float32)


def find_blobs(
    score: NDArray[np.float32], rgb: NDArray[np.uint8], shadow: NDArray[np.bool_] | None = None
) -> list[Blob]:
    """The blobs of one frame, largest first.

    Args:
        score: (h, w) evidence.
        rgb: (h, w, 3) the frame, for the colours.
        shadow: (h, w) where less light alone would explain the difference (`background.foreground_and_shadow`); with
            it, cast shadows are removed.
    """
    weak, strong = foreground_masks(score)
    if shadow is not None:
        weak = without_shadows(weak, shadow)
        strong = strong & weak
    n, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    if n <= 1:
        return []
    strong_count = np.bincount(labels[strong > 0], minlength=n)
    out = []
    for k in np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:60] + 1:
        x, y, w, h, area = (int(v) for v in stats[k])
        if area < SMALLEST or strong_count[k] < max(6, 0.06 * area) or w < 3 or h < 3:
            continue
        mask = labels[y : y + h, x : x + w] == k
        colour = zone_colours(rgb[y : y + h, x : x + w], mask)
        out.append(Blob(_tight(x, y, w, h, score.shape), float(area), strong_count[k] / area, colour, mask, (x, y)))
    return out


def without_shadows(weak: NDArray[np.uint8], shadow: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The mask without the flat shadows that hard light casts on the ground beside an object.

    A cast shadow is darker ground of unchanged tint, thin compared with the height of the object, and wider than tall.

    Args:
        weak: (h, w) weak foreground, 0 or 1.
        shadow: (h, w) where less light alone would explain the difference.
    """
    n, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    out = weak.copy()
    for k in range(1, n):
        x, y, w, h, _ = (int(v) for v in stats[k])
        if h < 12:
            continue
        part = (labels[y : y + h, x : x + w] == k).astype(np.uint8)
        # A pixel is thin if a vertical bar of this length does not fit there.
        bar = np.ones((max(4, round(THIN * min(h, 1.6 * w))), 1), np.uint8)
        thin = part & (
            1 - cv2.morphologyEx(cv2.copyMakeBorder(part, 1, 1, 0, 0, cv2.BORDER_CONSTANT), cv2.MORPH_OPEN, bar)[1:-1]
        )
        tail = cv2.morphologyEx(thin & shadow[y : y + h, x : x + w].astype(np.uint8), cv2.MORPH_CLOSE, _OPEN) & part
        m, pieces, sizes, _ = cv2.connectedComponentsWithStats(tail, connectivity=8)
        gone = [
            j for j in range(1, m)
            if sizes[j, cv2.CC_STAT_WIDTH] > max(4, 0.1 * h)
            and sizes[j, cv2.CC_STAT_WIDTH] > 1.2 * sizes[j, cv2.CC_STAT_HEIGHT]
        ]  # fmt: skip
        if gone:
            kept = cv2.morphologyEx(part & ~np.isin(pieces, gone).astype(np.uint8) & 1, cv2.MORPH_OPEN, _OPEN)
            out[y : y + h, x : x + w][part > 0] = kept[part > 0]
    return np.asarray(out, np.uint8)


def _tight(x: int, y: int, w: int, h: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The box of a component without the pixel by which the blur widens it, except at the frame's border."""
    inset = 1.0 if min(w, h) > 8 else 0.5
    return np.array(
        [
            x + inset * (x > 0),
            y + inset * (y > 0),
            x + w - inset * (x + w < shape[1]),
            y + h - inset * (y + h < shape[0]),
        ]
    )


def blob_part(blob: Blob, rgb: NDArray[np.uint8], keep: NDArray[np.bool_]) -> Blob | None:
    """The part of a blob whose pixels are in `keep` (same shape as its mask); None if it is too small for a blob."""
    mask = blob.mask & keep
    if mask.sum() < SMALLEST:
        return None
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    # A few stray pixels must not decide where a part ends.
    columns, rows = mask.sum(0), mask.sum(1)
    xs = np.flatnonzero(columns >= max(1, 0.04 * columns.max()))
    ys = np.flatnonzero(rows >= max(1, 0.04 * rows.max()))
    y1, y2, x1, x2 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    cut = mask[y1:y2, x1:x2]
    ox, oy = blob.corner
    colour = zone_colours(rgb[oy + y1 : oy + y2, ox + x1 : ox + x2], cut)
    return Blob(np.array([ox + x1, oy + y1, ox + x2, oy + y2], float), float(cut.sum()), blob.strong, colour, cut)
