"""LLaVA-NeXT-Video, LLaVA-Video and LLaVA-OneVision: frames without any time.

LLaVA-Video was trained with a sentence before the question that says how long the video is, how many frames were taken
and at which times. We write that sentence before the frames of a video. We found no source that says in which
coordinates the family answers with boxes, so it is asked about time alone.

Frames are passed as one video (`pairs`, one frame per step): as single pictures, each would be split into many tiles.
"""

from dataclasses import replace

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import WHEN, WHICH

LLAVA_NEXT_VIDEO = Dialect(
    name="llava-next-video",
    model_types=("llava_next_video",),
    names=("llava-next-video", "llava-video"),
    time="ours",
    merge=1,
    frames="pairs",
    resolution=0.1,
    coordinates=None,
    points=False,
    spans_form="spans",
    boxes_form="",
    when=WHEN,
    where="",
    which=WHICH,
    source=(
        "no time: transformers 5.23 models/llava_next_video/processing_llava_next_video.py; sentence with the times: "
        "LLaVA-VL/LLaVA-NeXT docs/LLaVA_Video_1003.md; words: ours; boxes: no source found"
    ),
)

LLAVA_ONEVISION = replace(
    LLAVA_NEXT_VIDEO,
    name="llava-onevision",
    model_types=("llava_onevision",),
    names=("llava-onevision", "llava_onevision"),
    source=LLAVA_NEXT_VIDEO.source.replace("llava_next_video", "llava_onevision"),
)
