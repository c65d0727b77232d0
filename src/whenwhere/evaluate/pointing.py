"""Pointing: whether the brightest cell of a heat map lies in the box of what was named, and how good a box it gives.

A heat map says for each cell of a grid over the frame how well it fits a noun: the cosine of the noun with the patch
of that cell, or the soft assignment of the cell to the group that fits the noun best. The baselines need no encoder:
the centre of the frame, a random cell, and the centre of the largest object. That of a random group needs the groups
and is computed where they are known (`models.encoders.evaluation.pointing`).

Boxes here are in 0-1 of the frame's width and height, because a heat map knows no pixels.
Source: the pointing game of Zhang et al. (2016), without its tolerance of 15 pixels.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.evaluate.ragged import Floats
from whenwhere.overlap import box_iou


def cell_centres(height: int, width: int) -> Floats:
    """Centre of each cell as x and y, in 0-1, shape (height, width, 2).

    Args:
        height: Number of rows of cells.
        width: Number of columns of cells.

    >>> cell_centres(1, 2).tolist()
    [[[0.25, 0.5], [0.75, 0.5]]]
    """
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    return np.stack([x, y], -1)


def _within(points: Floats, boxes: Floats) -> NDArray[np.bool_]:
    return np.asarray(((points >= boxes[..., :2]) & (points < boxes[..., 2:])).all(-1))


def pointed(heat: Floats, boxes: Floats) -> Floats:
    """Share of the brightest cells of each heat map whose centre lies in the box, shape (n,); 0 or 1 without ties.

    Args:
        heat: Finite heat maps, shape (n, height, width).
        boxes: Box of what was named, xyxy in 0-1, shape (n, 4). Boxes are half-open.

    Raises:
        SettingError: There are no maps, their number is not that of the boxes, or a value is not finite.

    >>> heat = np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    >>> pointed(heat, np.array([[0.5, 0.0, 1.0, 0.5]] * 2)).tolist()
    [1.0, 0.25]
    """
    heat = _checked(heat, boxes)
    inside = _within(cell_centres(*heat.shape[1:])[None], boxes[:, None, None])
    best = heat == heat.max((1, 2), keepdims=True)
    return np.asarray((best & inside).sum((1, 2)) / best.sum((1, 2)), np.float64)


def peak_box(heat: Floats, level: float = 0.5) -> Floats:
    """The box around the bright cells that are connected with the brightest one, xyxy in 0-1, shape (4,).

    Where several connected parts reach the highest value, the largest of them counts; a flat map gives the whole frame.

    Args:
        heat: A finite heat map, shape (height, width).
        level: How bright a cell must be, as a share of the way from the lowest to the highest value.

    >>> peak_box(np.array([[0.0, 0.9, 0.0, 0.8], [0.0, 1.0, 0.0, 0.0]])).tolist()
    [0.25, 0.0, 0.5, 1.0]
    """
    from scipy.ndimage import label

    low, high = heat.min(), heat.max()
    parts, _ = label(heat >= low + level * (high - low))
    sizes = np.bincount(parts.ravel())
    peaks = np.unique(parts[heat == high])
    y, x = np.nonzero(parts == peaks[sizes[peaks].argmax()])
    height, width = heat.shape
    return np.array([x.min() / width, y.min() / height, (x.max() + 1) / width, (y.max() + 1) / height])


def pointing_measures(heat: Floats, boxes: Floats, level: float = 0.5) -> dict[str, float]:
    """`pointing`, the mean of `pointed`, and `box-IoU`, the mean IoU of `peak_box` with the true box.

    Args:
        heat: Finite heat maps, shape (n, height, width).
        boxes: Box of what was named, xyxy in 0-1, shape (n, 4).
        level: See `peak_box`; above 0 and at most 1.

    Raises:
        SettingError: The level is not possible, or `pointed` refuses the maps.

    >>> pointing_measures(np.array([[[0.0, 1.0]]]), np.array([[0.5, 0.0, 1.0, 1.0]]))
    {'pointing': 1.0, 'box-IoU': 1.0}
    """
    if not 0 < level <= 1:
        raise SettingError(f"the level of a heat map's box is {level:g} and must be above 0 and at most 1")
    hit = pointed(heat, boxes)
    found = np.stack([peak_box(one, level) for one in heat])
    return {"pointing": float(hit.mean()), "box-IoU": float(box_iou(found, boxes).mean())}


def pointing_baselines(boxes: Floats, largest: Floats | None, grid: tuple[int, int]) -> dict[str, float]:
    """The pointing score of answers that need no encoder.

    Args:
        boxes: Box of what was named, xyxy in 0-1, shape (n, 4).
        largest: Box of the largest object in each frame, shape (n, 4). None leaves `pointing-largest` out.
        grid: Height and width of the heat maps in cells.

    Returns:
        `pointing-centre` (the centre of the frame), `pointing-random` (expected value of a random cell) and
        `pointing-largest` (the centre of the largest object).
    """
    inside = _within(cell_centres(*grid)[None], boxes[:, None, None])
    found = {
        "pointing-centre": float(_within(np.full((1, 2), 0.5), boxes).mean()),
        "pointing-random": float(inside.mean()),
    }
    if largest is not None:
        found["pointing-largest"] = float(_within((largest[:, :2] + largest[:, 2:]) / 2, boxes).mean())
    return found


def _checked(heat: Floats, boxes: Floats) -> Floats:
    if heat.ndim != 3 or not heat.size or boxes.shape != (len(heat), 4):
        raise SettingError(
            f"heat maps of shape {heat.shape} and boxes of shape {boxes.shape} do not fit: give (n, height, width) and "
            "(n, 4), n at least 1"
        )
    if not np.isfinite(heat).all():
        raise SettingError(
            "the heat maps hold values that are not finite: the encoder has diverged, so take an earlier one"
        )
    return heat
