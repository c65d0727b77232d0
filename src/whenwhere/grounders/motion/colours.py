"""Names of colours for camera pixels.

A table over 32 x 32 x 32 RGB cells gives each cell soft shares of the eleven basic colour words (the ones that people
agree on), so that a silver-blue door counts partly as grey and partly as blue. The borders are in hue, saturation and
value, with smooth edges; they were set from general knowledge of how cameras render the named colours, not fitted. Skin
and blonde hair are further columns that overlap the others: they are evidence for heads and hands, not colour names.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

#: The eleven basic colour words, which are the first columns of the table; then the extra columns.
COLOURS = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
EXTRA = ("skin", "blonde")
COLUMNS = COLOURS + EXTRA

_CELLS = 32


def _smooth(x: NDArray[np.float64], at: float, width: float) -> NDArray[np.float64]:
    """A step from 0 below `at` to 1 above it, with a soft edge of about `width`."""
    return 1 / (1 + np.exp(-np.clip((x - at) / (width / 4), -40, 40)))


def _band(h: NDArray[np.float64], low: float, high: float, width: float = 10) -> NDArray[np.float64]:
    """Membership in 0-1 of hues (degrees) in [low, high] on the circle, with soft edges."""
    centre, half = (low + high) / 2, (high - low) / 2
    distance = np.abs((h - centre + 180) % 360 - 180)
    return 1 - _smooth(distance, half, width)


@cache
def colour_table() -> NDArray[np.float32]:
    """(32768, 13) soft shares per RGB cell; the first eleven columns sum to 1.

    >>> t = colour_table()
    >>> def name(r, g, b): return COLOURS[int(t[(r >> 3) << 10 | (g >> 3) << 5 | b >> 3][:11].argmax())]
    >>> [name(*c) for c in [(200, 30, 40), (240, 240, 240), (20, 20, 25), (40, 90, 180), (110, 110, 112)]]
    ['red', 'white', 'black', 'blue', 'grey']
    """
    axis = (np.arange(_CELLS) + 0.5) / _CELLS
    r, g, b = (c.reshape(-1) for c in np.meshgrid(axis, axis, axis, indexing="ij"))
    high, low = np.maximum(np.maximum(r, g), b), np.minimum(np.minimum(r, g), b)
    chroma = high - low
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(high == r, (g - b) / safe % 6, np.where(high == g, (b - r) / safe + 2, (r - g) / safe + 4)) * 60
    value = high
    saturation = chroma / np.maximum(high, 1e-6)
    # Chroma counts, not saturation alone, because dark pixels have noisy saturation. Daylight shadows are often bluish,
    # so blue needs a little more chroma than red to count as a colour.
    bluish = _band(hue, 180, 260, 30)
    coloured = _smooth(chroma, 0.13, 0.08) * _smooth(saturation, 0.22, 0.12)
    coloured = coloured * (1 - bluish) + bluish * _smooth(chroma, 0.12, 0.08) * _smooth(saturation, 0.25, 0.12)
    light = 0.299 * r + 0.587 * g + 0.114 * b
    white = _smooth(light, 0.70, 0.16)
    black = 1 - _smooth(light, 0.26, 0.14)
    neutral = 1 - coloured
    out = np.zeros((_CELLS**3, len(COLUMNS)))
    out[:, 0] = neutral * black
    out[:, 1] = neutral * white * (1 - black)
    out[:, 2] = neutral * (1 - white) * (1 - black)
    reds = _band(hue, 340, 372)
    oranges = _band(hue, 13, 42)
    dark = 1 - _smooth(value, 0.58, 0.14)
    dull = 1 - _smooth(saturation, 0.62, 0.2)
    brown = np.clip(oranges * np.maximum(dark, dull * 0.8) + reds * dark * dull * 0.8, 0, 1)
    pale_red = _smooth(value, 0.72, 0.12) * (1 - _smooth(saturation, 0.52, 0.16))
    raw = np.stack(
        [
            reds * (1 - pale_red) * (1 - 0.8 * dark * dull),
            oranges * (1 - np.maximum(dark, dull * 0.8)),
            _band(hue, 43, 68),
            _band(hue, 69, 168),
            _band(hue, 169, 256),
            _band(hue, 257, 300),
            _band(hue, 301, 339) + reds * pale_red,
            brown,
        ],
        1,
    )
    raw /= raw.sum(1, keepdims=True)
    out[:, 3:11] = raw * coloured[:, None]
    out[:, :11] /= out[:, :11].sum(1, keepdims=True)
    cb = 0.5 - 0.168736 * r - 0.331264 * g + 0.5 * b
    cr = 0.5 + 0.5 * r - 0.418688 * g - 0.081312 * b
    out[:, 11] = (cr > 0.54) & (cr < 0.70) & (cb > 0.31) & (cb < 0.49) & (light > 0.22)
    out[:, 12] = (hue > 22) & (hue < 55) & (saturation > 0.18) & (saturation < 0.7) & (value > 0.38)
    return out.astype(np.float32)


def colour_cells(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The row of `colour_table` of every pixel; (..., 3) uint8 to (...) uint16."""
    q = (rgb >> 3).astype(np.uint16)
    rows: NDArray[np.uint16] = ((q[..., 0] << 10) | (q[..., 1] << 5) | q[..., 2]).astype(np.uint16)
    return rows
