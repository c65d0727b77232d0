"""M-RoPE positions of the Qwen-VL families: three numbers for each token, for time, height and width.

They are computed here and passed to every forward pass, because of a trap. After a picture or a video, text continues
at the highest position so far plus one: this is how the families were trained, and how vLLM and the other ports count
(`original`). transformers 5 continues after the larger side of one frame instead (`hf5`). The two agree for single
pictures and for families that write a timestamp before each frame (Qwen3-VL, Qwen3.5), whose frames M-RoPE treats as
pictures. They differ for Qwen2.5-VL as soon as a video's temporal positions exceed its larger side: a minute at one
frame per second on an 8 x 8 grid of patches ends at position 139, while the question after it begins at 26, in the
middle of the video. The cached continuation of transformers counts in a third way. If rollouts use one rule and
training another, log-probabilities disagree without any error, most of all on long videos.

`original` is the default; `hf5` exists to compare with stock transformers.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MRoPERule = Literal["original", "hf5"]
#: Kinds of tokens, numbered as transformers does.
TEXT, IMAGE, VIDEO = 0, 1, 2

#: Frames, rows and columns in patches.
Grid = Sequence[int]


def mrope_positions(
    kinds: NDArray[np.int64],
    images: Sequence[Grid] = (),
    videos: Sequence[Grid] = (),
    *,
    merge_size: int = 2,
    positions_per_step: Sequence[float] | None = None,
    rule: MRoPERule = "original",
    start: int = 0,
) -> tuple[NDArray[np.int64], int]:
    """Positions of a run of tokens, and the position of the token after it.

    Args:
        kinds: `TEXT`, `IMAGE` or `VIDEO` for each token, shape (n,). Two videos must not touch, nor two images.
        images: Frames, rows and columns in patches of each image.
        videos: Frames, rows and columns in patches of each video.
        merge_size: Side of the square of patches that makes one token.
        positions_per_step: How far the temporal position moves in one step of each video (Qwen2.5-VL:
            `tokens_per_second` x seconds per step). None means that each frame follows a timestamp and counts as a
            picture (Qwen3-VL, Qwen3.5).
        rule: Where text continues after a video.
        start: Position of the first token.

    Returns:
        Positions in time, height and width, shape (3, n), int64; and the next position.

    Raises:
        ValueError: The runs of picture tokens do not match the grids.

    A timestamp, one frame of 2 x 2 tokens, a word:

    >>> mrope_positions(np.array([0, 2, 2, 2, 2, 0]), videos=[(1, 4, 4)])[0].tolist()
    [[0, 1, 1, 1, 1, 3], [0, 1, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]

    Three steps of one token each, two seconds apart: the next word continues after them, or among them.

    >>> kinds, video = np.array([0, 2, 2, 2, 0]), [(3, 2, 2)]
    >>> mrope_positions(kinds, videos=video, positions_per_step=[4.0])[0][0].tolist()
    [0, 1, 5, 9, 10]
    >>> mrope_positions(kinds, videos=video, positions_per_step=[4.0], rule="hf5")[0][0].tolist()
    [0, 1, 5, 9, 2]
    """
    if positions_per_step is None:  # each frame is a picture with a grid of its own
        videos = [(1, rows, columns) for frames, rows, columns in videos for _ in range(int(frames))]
    grids = {IMAGE: list(images), VIDEO: list(videos)}
    steps = list(positions_per_step) if positions_per_step is not None else []
    parts: list[NDArray[np.int64]] = []
    following = start
    for kind, run in groupby(np.asarray(kinds).tolist()):
        length = len(list(run))
        if kind == TEXT:
            parts.append(np.tile(np.arange(following, following + length), (3, 1)))
            following += length
            continue
        if not grids[kind]:
            raise ValueError("there are more runs of picture tokens than pictures")
        frames, rows, columns = (int(n) for n in grids[kind].pop(0))
        rows, columns = rows // merge_size, columns // merge_size
        if frames * rows * columns != length:
            raise ValueError(f"{length} picture tokens stand for a grid of {frames} x {rows} x {columns}")
        step = steps.pop(0) if kind == VIDEO and positions_per_step is not None else 1.0
        # single precision, truncated to integers: this is how the models were trained
        time = (np.arange(frames, dtype=np.float32) * np.float32(step)).astype(np.int64)
        block = np.stack(np.meshgrid(time, np.arange(rows), np.arange(columns), indexing="ij")).reshape(3, -1)
        parts.append(block + following)
        following += int(block.max()) + 1 if rule == "original" else max(rows, columns)
    if grids[IMAGE] or grids[VIDEO]:
        raise ValueError("there are more pictures than runs of picture tokens")
    return (np.concatenate(parts, axis=1) if parts else np.zeros((3, 0), np.int64)), following
