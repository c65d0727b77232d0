"""Prepares frames for the processor of a model, and checks that the finished prompt tells their true times.

The caller has sampled the frames. If the processor sampled or timed them itself, it would go wrong unnoticed: without a
frame rate it assumes 24 per second, and frames that are not evenly spaced get wrong times. Processors that write times
compute them as frame number divided by frame rate. They are told a rate of 1000 and frame numbers in milliseconds, so
that frames need not be evenly spaced.

`check_words`, `check_stamps` and `check_positions` look at the finished prompt before anything is generated: every time
stamp must be the mean of the true times of the frames that it covers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect, FrameMode
from whenwhere.errors import ModelError

#: The frame rate that processors are told, in frames per second.
CLOCK = 1000
#: Allowed difference in seconds: the numbers are whole milliseconds, and floating point loses a little more.
_SLACK = 0.0015


class TemplateError(ModelError):
    """A checkpoint's chat template cannot be used, so no call can be answered."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Frames and text as they are given to a processor.

    Attributes:
        content: Content of the user's message, in the layout that chat templates take.
        images: The frames as single pictures; empty if they are given as a video.
        video: The frames as one video, shape (n, h, w, 3); None if they are given as pictures.
        metadata: Metadata of the video for the processor; None if there is no video.
        times: True times in seconds of the k time stamps or, without stamps, of the steps in time, shape (k,).
        stamps: The text before each picture; empty for a video.
    """

    content: list[dict[str, Any]]
    images: list[NDArray[np.uint8]]
    video: NDArray[np.uint8] | None
    metadata: dict[str, Any] | None
    times: NDArray[np.float64]
    stamps: list[str]


def lay_out(
    images: NDArray[np.uint8], times: NDArray[np.float64], prompt: str, dialect: Dialect, frames: FrameMode
) -> Layout:
    """Arrange frames and a question in the way that a model family takes them.

    Args:
        images: RGB frames, shape (n, h, w, 3), uint8.
        times: Times of the frames in seconds, increasing, shape (n,).
        prompt: The question.
        dialect: The dialect of the model family.
        frames: How the frames are given: as single pictures (`images`), as a video (`pairs`), or as a video with each
            frame repeated (`repeat`).
    """
    times = np.asarray(times, dtype=np.float64)
    question = {"type": "text", "text": prompt}
    if not len(images):
        return Layout([question], [], None, None, times, [])
    if frames == "images":
        stamps = time_stamps(times)
        content = [p for s in stamps for p in ({"type": "text", "text": s}, {"type": "image"})]
        return Layout([*content, question], list(images), None, None, times, stamps)
    if dialect.time != "stamps":
        question = {"type": "text", "text": f"{times_sentence(times)}\n{prompt}"}
    if frames == "repeat":
        images, times = np.repeat(images, dialect.merge, axis=0), np.repeat(times, dialect.merge)
    elif missing := -len(times) % dialect.merge:
        # the processors, too, fill up with the last frame
        images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        times = np.concatenate([times, np.repeat(times[-1:], missing)])
    # A processor takes the mean of the first and the last of the frames that it merges.
    steps = times.reshape(-1, dialect.merge)[:, [0, -1]].mean(axis=1)
    numbers = np.round(times * CLOCK).astype(int)
    total = int(numbers[-1]) + 1
    if dialect.time == "positions":
        # The processor computes the step in time from the number of frames and the duration. The step must not be
        # shorter than the true one, since positions are cut down to whole numbers. The median is taken because a last
        # frame that is shown twice to fill its pair makes the last step shorter.
        step = float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0
        total = int(np.ceil(round(step * CLOCK * len(steps), 6)))
    height, width = images.shape[1:3]
    metadata = {
        "total_num_frames": max(total, 1),
        "fps": float(CLOCK),
        "frames_indices": numbers.tolist(),
        "duration": total / CLOCK,
        "height": int(height),
        "width": int(width),
        "video_backend": "whenwhere",
    }
    return Layout([{"type": "video"}, question], [], images, metadata, steps, [])


def time_stamps(times: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """The text before each single picture that tells its time, with up to three decimals to tell all of them apart.

    >>> time_stamps([0.0, 0.5, 61.04]), time_stamps([0.5, 0.54])
    (['<0.0 seconds>', '<0.5 seconds>', '<61.0 seconds>'], ['<0.50 seconds>', '<0.54 seconds>'])
    """
    for decimals in (1, 2, 3):
        stamps = [f"<{t:.{decimals}f} seconds>" for t in times]
        if len(set(stamps)) == len(stamps):
            break
    return stamps


def times_sentence(times: NDArray[np.float64]) -> str:
    """A sentence for the prompt with the times of all frames.

    It is meant for model families whose processor does not write the times of frames into the prompt.

    >>> times_sentence(np.array([12.0, 13.0]))
    'The video is shown by 2 frames. These frames are located at 12.00s,13.00s.'
    """
    listed = ",".join(f"{t:.2f}s" for t in times)
    return f"The video is shown by {len(times)} frames. These frames are located at {listed}."


def shrink_frames(images: NDArray[np.uint8], long_side: int | None, pixels: int | None) -> NDArray[np.uint8]:
    """Scale frames down until they fit two limits, keeping their aspect ratio. Frames are never enlarged.

    Args:
        images: Frames, shape (n, h, w, 3), uint8.
        long_side: Largest length of the longer side in pixels. None sets no limit.
        pixels: Largest area of a frame in pixels. None sets no limit.
    """
    height, width = images.shape[1:3]
    factor = min(1.0, (long_side or max(height, width)) / max(height, width))
    factor = min(factor, ((pixels or height * width) / (height * width)) ** 0.5)
    if factor >= 1 or not len(images):
        return images
    import cv2

    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])


def check_words(rendered: str, layout: Layout, image_token: str) -> None:
    """Check that a chat template kept the question, and put each picture right after its time stamp.

    Args:
        rendered: The text that the chat template made, before pictures are inserted.
        layout: The frames and text that the template was given.
        image_token: The text that stands for one picture.

    Raises:
        TemplateError: The template dropped or moved something.
    """
    words = layout.content[-1]["text"]
    if words.strip() not in rendered:
        raise TemplateError("the checkpoint's chat template drops the question: give it the family's own template")
    if not layout.images:
        return
    before = rendered.split(image_token)[:-1] if image_token else []
    if len(before) != len(layout.images):
        raise TemplateError(
            f"the checkpoint's chat template makes {len(before)} places for {len(layout.images)} pictures: give it the "
            "family's own template"
        )
    for stamp, text in zip(layout.stamps, before, strict=True):
        last = text.rfind("seconds>")
        if last < 0 or not text[: last + 8].endswith(stamp):
            raise TemplateError(
                "the checkpoint's chat template moves pictures away from the times written before them: hand them over "
                "as one video (frames=pairs or repeat)"
            )


def check_stamps(text: str, layout: Layout, dialect: Dialect, video_token: str, image_token: str) -> None:
    """Check that the time stamps that the processor wrote into the prompt are the true times.

    Args:
        text: The finished prompt, with each run of equal picture tokens reduced to one token.
        layout: The frames and text that the processor was given.
        dialect: The dialect of the model family.
        video_token: The placeholder token for a piece of a video.
        image_token: The placeholder token for a piece of a picture.

    Raises:
        ModelError: A stamp is missing, or is not the mean of the true times of the frames that it covers.
    """
    if layout.video is None or not dialect.stamp:
        return
    pattern = dialect.stamp.replace("{video}", re.escape(video_token)).replace("{image}", re.escape(image_token))
    found = [float(stamp) for stamp in re.findall(pattern, text)]
    if len(found) != len(layout.times):
        raise ModelError(
            f"the prompt dates {len(found)} pieces of the video instead of {len(layout.times)}: the checkpoint's "
            f"processor is not that of {dialect.name}; name another dialect"
        )
    for stamp, true in zip(found, layout.times.tolist(), strict=True):
        # families with whole seconds cut fractions off and do not round
        low, high = (0.0, 1.0) if dialect.resolution >= 1 else (-dialect.resolution / 2, dialect.resolution / 2)
        if not low - _SLACK <= true - stamp <= high + _SLACK:
            raise ModelError(
                f"the prompt says {stamp:g} s for frames whose mean time is {true:.3f} s: hand each frame over twice "
                "(frames=repeat) or as pictures (frames=images)"
            )


def check_positions(layout: Layout, step: float, per_second: float) -> None:
    """Check that rotary positions match the true times, for model families that have no other notion of time.

    Args:
        layout: The frames and text that the processor was given.
        step: Seconds per step in time, as the processor computed them.
        per_second: Number of positions that stand for one second in this model.

    Raises:
        ModelError: The positions are wrong, or two steps have the same position.
    """
    if layout.video is None:
        return
    # in the model's own arithmetic: single precision, cut off
    positions = np.floor(np.arange(len(layout.times), dtype=np.float32) * np.float32(per_second * np.float32(step)))
    true = layout.times - layout.times[0]
    off = np.abs(positions / per_second - true)
    if (off > 1 / per_second + _SLACK).any() or (np.diff(positions) < 1).any():
        raise ModelError(
            f"frames at these times cannot be told by position: steps must be even and at least {1 / per_second:g} s; "
            "hand the frames over as pictures (frames=images)"
        )
