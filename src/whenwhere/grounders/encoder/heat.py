"""Where a picture shows what a text says: heat maps over patches or groups, and boxes around their peaks."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.evaluate.pointing import peak_box
from whenwhere.models.encoders.encoder import ClipEmbeddings


def heat_maps(
    found: ClipEmbeddings, text: NDArray[np.float32], generic: NDArray[np.float32], groups: bool = False
) -> NDArray[np.float64] | None:
    """How much each patch looks like a text.

    The heat of a patch is its cosine with the text, minus its largest cosine with a text that says nothing. By groups
    it is its share in the group that is most like the text, among the groups that hold any patch of the clip: only an
    encoder whose groups were trained to fit nouns has such groups.

    Args:
        found: Embeddings of B clips of T' time steps.
        text: Embedding of the text, shape (D,).
        generic: Embeddings of texts that say nothing, shape (K, D).
        groups: Whether to go by groups. An encoder that embeds no patches goes by its groups all the same.

    Returns:
        Heat, shape (B, T', h, w); None if the encoder embeds neither groups nor patches.
    """
    if (groups or found.patches is None) and found.groups is not None and found.assignments is not None:
        like = found.groups @ text - (found.groups @ generic.T).max(-1)
        like[found.assignments.sum((2, 3, 4)) <= 0] = -np.inf
        return found.assignments[np.arange(len(like)), like.argmax(1)].astype(float)
    if found.patches is None:
        return None
    return (found.patches @ text - (found.patches @ generic.T).max(-1)).astype(float)


def heat_box(heat: NDArray[np.float64], width: float, height: float) -> tuple[float, float, float, float] | None:
    """The box around the warmest part of a heat map: the cells around the peak that are at least half as warm.

    Args:
        heat: Heat of a picture's cells, shape (h, w).
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.

    Returns:
        The box in xyxy pixels; None if all cells are equally warm.

    >>> heat_box(np.array([[0.0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]]), 40, 30)
    (10.0, 0.0, 30.0, 20.0)
    """
    if not heat.max() > heat.min():
        return None
    x1, y1, x2, y2 = (peak_box(heat) * (width, height, width, height)).tolist()
    return x1, y1, x2, y2
