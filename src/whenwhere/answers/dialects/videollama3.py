"""VideoLLaMA 3: `Time 1.5s:` before every frame, one frame per step.

We found no source that says in which coordinates it answers with boxes, so it is asked about time alone; boxes come
from a pipeline with a detector. Its processor may drop patches that do not change between frames; tokens are counted
after that.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import WHEN, WHICH

VIDEOLLAMA3 = Dialect(
    name="videollama3",
    model_types=("video_llama_3",),
    names=("videollama3", "video-llama-3", "video_llama_3"),
    time="stamps",
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
        "stamps: transformers 5.23 models/video_llama_3/processing_video_llama_3.py; words: ours; "
        "boxes: no source found"
    ),
    stamp=r"Time (\d+\.\d)s:{video}",
)
