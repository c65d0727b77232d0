"""What every grounder's result goes through: boxes outside the frame are dropped, times are cut to the video."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.grounder import GroundingResult
from whenwhere.spans import Span
from whenwhere.tracking import repair
from whenwhere.tubes import Tube

if TYPE_CHECKING:
    from whenwhere.video import VideoInfo


def drop_outside_boxes(found: GroundingResult, info: "VideoInfo") -> GroundingResult:
    """The result without boxes that lie outside the frame; a warning counts them."""
    tubes, dropped = [], 0
    for tube in found.tubes:
        times, _, n = repair(tube.times, tube.boxes, info.width, info.height)
        tubes.append(_kept_boxes(tube, np.isin(tube.times, times)) if n else tube)
        dropped += n
    warnings = [*found.warnings, f"{dropped} boxes lay outside the frame and were dropped"] if dropped else None
    return replace(found, tubes=tubes, warnings=warnings or found.warnings)


def clip_result(found: GroundingResult, info: "VideoInfo", within: Span | None) -> GroundingResult:
    """The result with spans and tubes cut to the video and to the time that was to be searched.

    An answer of which nothing is left becomes `unsure`.
    """
    start, end = (0.0, info.duration) if within is None else (max(0.0, within.start), min(info.duration, within.end))
    spans = found.spans.clip(end, start)
    if found.status == "answered" and not spans:
        warnings = [*found.warnings, f"the answer {found.spans!r} lay outside the video"]
        return replace(found, status="unsure", spans=spans, tubes=[], warnings=warnings)
    tubes = []
    for tube in found.tubes:
        cut = tube.spans.clip(end, start)
        inside = cut.index(tube.times) >= 0
        if cut and cut != tube.spans:
            tubes.append(_kept_boxes(tube, inside).replace(spans=cut))
        elif cut:
            tubes.append(tube)
    return replace(found, spans=spans, tubes=tubes)


def _kept_boxes(tube: Tube, keep: NDArray[np.bool_]) -> Tube:
    sources = tuple(s for s, k in zip(tube.sources, keep, strict=True) if k) if tube.sources else ()
    return tube.replace(times=tube.times[keep], boxes=tube.boxes[keep], sources=sources, filled=None)
