"""Where a picture shows what a text says: heat maps over patches or groups, and boxes around their peaks."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.encoders.encoder import ClipEmbeddings


def heat_maps(
    found: ClipEmbeddings, text: NDArray[np.float32], generic: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """How much each patch looks like a text.

    With group tokens, the group that is most like the text says it: the heat of a patch is its share in that group.
    Without, it is the patch's own cosine, less the largest cosine with a text that says nothing.

    Args:
        found: Embeddings of B clips of T' time steps.
        text: Embedding of the text, shape (D,).
        generic: Embeddings of texts that say nothing, shape (K, D).

    Returns:
        Heat, shape (B, T', h, w); None if the encoder embeds neither groups nor patches.
    """
    if found.groups is not None and found.assignments is not None:
        like = found.groups @ text - (found.groups @ generic.T).max(-1)
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
    from scipy.ndimage import label

    low, high = float(heat.min()), float(heat.max())
    if not high > low:
        return None
    parts, count = label(heat >= (low + high) / 2)
    # of several parts that reach the peak, the largest
    sizes = [(parts == k).sum() * bool((heat[parts == k] == high).any()) for k in range(1, count + 1)]
    rows, columns = np.nonzero(parts == 1 + int(np.argmax(sizes)))
    x, y = width / heat.shape[1], height / heat.shape[0]
    return float(columns.min() * x), float(rows.min() * y), float((columns.max() + 1) * x), float((rows.max() + 1) * y)
