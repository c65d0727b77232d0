"""Molmo2: a time before every frame, and points where others have boxes.

Its tracks are points in thousandths, several objects per line: `<tracks coords="0.0 1 380 822;0.5 1 376
822">dog</tracks>`. A point has no extent, so `point_boxes` puts a small square around each, and the record carries a
warning that says so. The overlap with a true box is then small even if the point is right.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import WHEN, WHICH

MOLMO2 = Dialect(
    name="molmo2",
    model_types=("molmo2",),
    names=("molmo2", "molmo-2"),
    time="stamps",
    merge=1,
    frames="pairs",
    resolution=0.1,
    coordinates="thousand",
    points=True,
    spans_form="spans",
    boxes_form="molmo2",
    when=WHEN,
    where="Track {target} ({query}) at these seconds: {times}.",
    which=WHICH,
    source=(
        "stamps: transformers 5.23 models/molmo2/processing_molmo2.py; tracks, thousandths: Molmo2 report, appendix on "
        "points; the words of the questions: ours"
    ),
    stamp=r"(\d+\.\d) <frame_start>",
)
