"""The truth of a staged sentence as a `Grounding` record, the same for every world of the stage."""

from collections.abc import Mapping

from whenwhere.records import Grounding, SettingsRecord, filled_record, span_records, tube_record
from whenwhere.stage.streams import STAGE_VERSION
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo


def second_level_tube(tube: Tube, info: VideoInfo, rate: float = 1.0) -> Tube:
    """The boxes of a dense tube at the second-level times of its spans, each from the frame that is shown then.

    Args:
        tube: Boxes of every frame in which the referent is visible; its `rate` is the frame rate.
        info: The clip's video file.
        rate: Boxes per second.

    Returns:
        The sparse tube, without the times at which the referent is hidden.
    """
    shown = info.shown(tube.times + 0.25 / tube.rate).tolist()
    dense = dict(zip(shown, tube.boxes, strict=True))
    times = [float(t) for span in tube.spans for t in second_level_times(span, rate, info.last_before(span.end))]
    kept = [(t, dense[k]) for t, k in ((t, int(info.shown(t))) for t in times) if k in dense]
    return Tube(tube.spans, [t for t, _ in kept], [box for _, box in kept], rate=rate, label=tube.label)


def truth_record(
    id: str, query: str, tube: Tube, info: VideoInfo, seed: int, reading: Mapping[str, object]
) -> Grounding:
    """The truth of one sentence: its exact spans, second-level boxes, and the boxes of every frame.

    Args:
        id: Name of the record.
        query: The sentence.
        tube: Boxes of every frame in which the referent is visible. It has no spans where nothing in the clip fits the
            sentence.
        info: The clip's video file.
        seed: Seed of the clip.
        reading: What else is known of the sentence and the clip.

    Returns:
        The record, with `truth` as its model and `answered` or `absent` as its status.
    """
    there = len(tube.spans) > 0
    return Grounding(
        id=id,
        video=info.record(),
        query=query,
        status="answered" if there else "absent",
        confidence=1.0,
        spans=span_records(tube.spans),
        tubes=[tube_record(second_level_tube(tube, info))] if there else [],
        filled=filled_record("truth", "0", tube.times, tube.boxes) if there else None,
        settings=SettingsRecord(model="truth", pipeline="stage", rate=1.0, fill="truth", seed=seed % (1 << 32)),
        reading={**reading, "version": STAGE_VERSION},
    )
