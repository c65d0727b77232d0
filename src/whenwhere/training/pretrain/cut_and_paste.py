"""Cut-and-paste (S-ViLM, arXiv 2303.16341, section 3.3): a stretch of each clip is pasted into another of the batch.

The blended clip keeps the caption of the clip that was pasted, its foreground, which takes up half of the time or more.
The temporal loss learns where the foreground begins and ends; the contrastive loss sees the blended clip too.

How the stretch is drawn was not in what could be read of the paper. Here its length is uniform from half of the time
steps to all but one, and its beginning is uniform over all places where it fits, so that every time step is sometimes
foreground and sometimes background. It is pasted at the time at which it occurs in its own clip.

A hard paste has an edge that no natural video has. `crossfade` blends the frames next to it, as a control for features
that look for the edge alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.training.pretrain.derangement import random_derangement


@dataclass(frozen=True, eq=False)
class BlendedClips:
    """A batch of blended clips.

    Attributes:
        frames: The frames, uint8, shape (N, T, H, W, 3).
        masks: Which time steps are foreground, bool, shape (N, T / tubelet).
        backgrounds: Index of the clip that each was pasted into, shape (N,); none is its own background.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    backgrounds: NDArray[np.intp]


def cut_and_paste(
    frames: NDArray[np.uint8], tubelet: int, random: np.random.Generator, crossfade: int = 0
) -> BlendedClips:
    """Pastes a stretch of every clip of a batch into another clip of it.

    Args:
        frames: The clips, uint8, shape (N, T, H, W, 3).
        tubelet: Frames of a time step. The stretch begins and ends between time steps.
        random: Source of random numbers.
        crossfade: Number of frames on either side of an edge over which one clip fades into the other. 0 is a hard
            edge.

    Raises:
        SettingError: There is only one clip, or clips have a single time step.
    """
    steps = frames.shape[1] // tubelet
    backgrounds = random_derangement(len(frames), random, "cut-and-paste pastes clips into one another")
    masks = np.stack([sample_mask(steps, random) for _ in frames])
    weights = fade(np.repeat(masks, tubelet, axis=1), crossfade)
    blended = np.empty_like(frames)
    for k, (background, weight) in enumerate(zip(backgrounds, weights, strict=True)):
        blended[k] = frames[background]
        whole, partly = weight == 1, (weight > 0) & (weight < 1)
        blended[k, whole] = frames[k, whole]
        if partly.any():
            share = weight[partly][:, None, None, None]
            mixed = share * frames[k, partly] + (1 - share) * frames[background, partly]
            blended[k, partly] = np.rint(mixed).astype(np.uint8)
    return BlendedClips(blended, masks, backgrounds)


def sample_mask(steps: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draws which time steps of a clip are foreground: one stretch of at least half of them, and not all.

    Args:
        steps: Number of time steps, at least 2.
        random: Source of random numbers.

    Returns:
        Bool, shape (steps,).

    Raises:
        SettingError: There is a single time step.
    """
    if steps < 2:
        raise SettingError(
            f"cut-and-paste needs two time steps or more, and clips have {steps}: raise frames or lower tubelet"
        )
    length = int(random.integers((steps + 1) // 2, steps))
    start = int(random.integers(0, steps - length + 1))
    mask = np.zeros(steps, bool)
    mask[start : start + length] = True
    return mask


def fade(masks: NDArray[np.bool_], width: int) -> NDArray[np.float32]:
    """Weight of the foreground in every frame: 1 inside, 0 outside, and in between near an edge.

    Args:
        masks: Which frames are foreground, bool, shape (N, T).
        width: Number of frames on either side of an edge that are blended. 0 is a hard edge.

    Returns:
        Weights from 0 to 1, shape (N, T).

    >>> fade(np.array([[True, True, True, False, False, False]]), 1).tolist()
    [[1.0, 1.0, 0.6666666865348816, 0.3333333432674408, 0.0, 0.0]]
    """
    if not width:
        return masks.astype(np.float32)
    padded = np.pad(masks.astype(np.float32), ((0, 0), (width, width)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, axis=1)
    return windows.mean(axis=-1, dtype=np.float32)
