"""Drawing boxes and labels on images, for overlays.

Lines are slices of the array, in one colour per tube; the text of a label is drawn once with Pillow and pasted.
Lines lie inside the box's edge, so that a box that fills the frame can be seen.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Colours that stay distinct under most forms of colour blindness (after Okabe and Ito), brightest first.
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 200, 130), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))


def draw_box(image: NDArray[np.uint8], box: ArrayLike, colour: tuple[int, int, int], label: str | None = None) -> None:
    """Draw a box onto an image, in place.

    Args:
        image: (h, w, 3) uint8 image that is changed.
        box: xyxy pixels; the part outside the image is cut off.
        colour: RGB values, 0-255.
        label: A word written above the box, or inside it if there is no room above.

    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> draw_box(image, (10, 10, 30, 30), (255, 0, 0))
    >>> image[10, 20].tolist(), image[20, 20].tolist(), image[9, 20].tolist()
    ([255, 0, 0], [0, 0, 0], [0, 0, 0])
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(float(v)) for v in np.asarray(box, float))
    x1, x2 = max(x1, 0), min(x2, width)
    y1, y2 = max(y1, 0), min(y2, height)
    if x1 >= x2 or y1 >= y2:
        return
    thick = max(2, min(width, height) // 200)
    image[y1 : min(y1 + thick, y2), x1:x2] = colour
    image[max(y2 - thick, y1) : y2, x1:x2] = colour
    image[y1:y2, x1 : min(x1 + thick, x2)] = colour
    image[y1:y2, max(x2 - thick, x1) : x2] = colour
    if label:
        patch = _label(label, max(12, min(width, height) // 28), colour)
        h, w = min(patch.shape[0], height), min(patch.shape[1], width)
        top = y1 - h if y1 >= h else min(y1, height - h)
        left = min(x1, width - w)
        image[top : top + h, left : left + w] = patch[:h, :w]


@lru_cache(maxsize=64)
def _label(text: str, size: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The text, at most 60 characters, in black on a coloured ground; (h, w, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    try:
        # This font is installed nearly everywhere and covers far more scripts than Pillow's own.
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        font = ImageFont.load_default(size)
    text = text if len(text) <= 60 else text[:57] + "..."
    left, top, right, bottom = font.getbbox(text)
    pad = max(2, size // 5)
    patch = Image.new("RGB", (int(right - left) + 2 * pad, int(bottom - top) + 2 * pad), colour)
    ImageDraw.Draw(patch).text((pad - left, pad - top), text, fill=(0, 0, 0), font=font)
    return np.asarray(patch)
