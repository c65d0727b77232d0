"""Positions of tokens in the Qwen-VL families (M-RoPE): three numbers a token, for time, height and width.

We work them out ourselves and pass them to every forward, because of a trap. After a picture or a video, text goes on
at the highest position so far plus one: so the families were trained, so vLLM and the other ports count (`original`).
transformers 5 goes on after the larger side of one frame instead (`hf5`). The two agree for single pictures and for
families that write a stamp before each frame (Qwen3-VL, Qwen3.5), whose frames are pictures to M-RoPE. They part for
Qwen2.5-VL as soon as a video's positions in time reach past its larger side: a minute at one frame a second on an
8 x 8 grid of patches ends at position 139 while the question behind it begins at 26, amid the video. And the cached
continuation of transformers counts a third way. Log-probabilities from one rule and rollouts from another disagree
without any error, worst on long videos.

`original` is the default. `hf5` is there to compare with stock transformers.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["original", "hf5"]
#: Kinds of tokens, as transformers numbers them.
TEXT, IMAGE, VIDEO = 0, 1, 2

Grid = Sequence[int]


def positions(
    kinds: NDArray[np.int64],
    images: Sequence[Grid] = (),
    videos: Sequence[Grid] = (),
    *,
    merge: int = 2,
    per_step: Sequence[float] | None = None,
    rule: Rule = "original",
    start: int = 0,
) -> tuple[NDArray[np.int64], int]:
    """Positions of a run of tokens, and the position at which the next token goes on.

    Args:
        kinds: (n,) `TEXT`, `IMAGE` or `VIDEO` for each token. Two videos must not touch, nor two images.
        images: (frames, rows, columns) in patches of each image.
        videos: the same of each video.
        merge: patches that make one token, along a side.
        per_step: positions in time per step of each video (Qwen2.5-VL: `tokens_per_second` x seconds per grid); None =
            each step in time is a run of its own, behind its stamp, and counts as a picture (Qwen3-VL, Qwen3.5).
        rule: how text goes on behind a video.
        start: position of the first token.

    Returns:
        (3, n) positions in time, height and width, and the next position.

    Raises:
        ValueError: the tokens are not those of the grids.

    A stamp, one frame of 2 x 2 tokens, a word:

    >>> positions(np.array([0, 2, 2, 2, 2, 0]), videos=[(1, 4, 4)])[0].tolist()
    [[0, 1, 1, 1, 1, 3], [0, 1, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]

    Three steps of one token each, two seconds apart: the next word goes on behind them, or amid them.

    >>> kinds = np.array([0, 2, 2, 2, 0])
    >>> [positions(kinds, videos=[(3, 2, 2)], per_step=[4.0], rule=rule)[0][0].tolist() for rule in ("original", "hf5")]
    [[0, 1, 5, 9, 10], [0, 1, 5, 9, 2]]
    """
    if per_step is None:  # one grid a frame
        videos = [(1, rows, columns) for frames, rows, columns in videos for _ in range(int(frames))]
    grids = {IMAGE: list(images), VIDEO: list(videos)}
    steps = list(per_step) if per_step is not None else []
    parts: list[NDArray[np.int64]] = []
    following = start
    for kind, run in groupby(np.asarray(kinds).tolist()):
        length = len(list(run))
        if kind == TEXT:
            parts.append(np.tile(np.arange(following, following + length), (3, 1)))
            following += length
            continue
        if not grids[kind]:
            raise ValueError("more runs of picture tokens than pictures")
        frames, rows, columns = (int(n) for n in grids[kind].pop(0))
        rows, columns = rows // merge, columns // merge
        if frames * rows * columns != length:
            raise ValueError(f"{length} picture tokens in a row for a grid of {frames} x {rows} x {columns}")
        step = steps.pop(0) if kind == VIDEO and per_step is not None else 1.0
        # single precision, cut off: so the models were trained
        time = (np.arange(frames, dtype=np.float32) * np.float32(step)).astype(np.int64)
        block = np.stack(np.meshgrid(time, np.arange(rows), np.arange(columns), indexing="ij")).reshape(3, -1)
        parts.append(block + following)
        following += int(block.max()) + 1 if rule == "original" else max(rows, columns)
    if grids[IMAGE] or grids[VIDEO]:
        raise ValueError("more pictures than runs of picture tokens")
    return (np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), np.int64)), following
