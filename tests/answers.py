"""Hand-made answers, for the tests of files that are written from them."""

import numpy as np

from whenwhere.records import ErrorRecord, Grounding, SettingsRecord, filled_record, span_records, tube_record
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo

#: A sentence that tries to leave every format it is put into.
HOSTILE = (
    "a <b>\"dog\"</b>, 'red'; {\\an8} & 50 % of\n\n2\r\n00:00:01,000 --> 00:00:02,000\n"
    "</script><img src=x onerror=alert(1)>\x00\u2028=1+1 🦓 犬"
)


def moving(t: np.ndarray, width: float = 160, height: float = 120) -> np.ndarray:
    """Boxes (n, 4) of a thing that swings through the frame."""
    x = width * (0.3 + 0.2 * np.sin(t))
    y = height * (0.3 + 0.1 * np.cos(2 * t))
    return np.stack([x, y, x + 0.3 * width, y + 0.4 * height], -1)


def answered(
    info: VideoInfo,
    spans: list[tuple[float, float]],
    query: str = "a dog",
    rate: float = 1.0,
    label: str | None = None,
    score: float | None = None,
    fill: str | None = None,
    boxes: bool = True,
) -> Grounding:
    """Spans with second-level boxes of `moving`; `fill` adds a box for every frame to the record."""
    when = SpanSet(Span(a, b, 0.875) for a, b in spans)
    record = Grounding(
        id="a1",
        video=info.record(),
        query=query,
        status="answered",
        confidence=0.75,
        spans=span_records(when),
        settings=SettingsRecord(model="motion", pipeline="second-level", rate=rate),
    )
    if boxes:
        times = np.concatenate([second_level_times(s, rate, last=info.last_before(s.end)) for s in when])
        places = moving(times, info.width, info.height)
        tube = Tube(when, times, places, rate=rate, id="dog", label=label, score=score)
        record.tubes = [tube_record(tube)]
        if fill:
            inside = info.times[record.span_set.index(np.round(info.times, 3)) >= 0]
            record.filled = filled_record(fill, "dog", inside, moving(inside, info.width, info.height))
    return record


def silent(info: VideoInfo, status: str, query: str = "a zebra") -> Grounding:
    """An answer without spans."""
    error = ErrorRecord(kind="media", message="the video broke") if status == "failed" else None
    return Grounding(id="a2", video=info.record(), query=query, status=status, error=error)  # type: ignore[arg-type]
