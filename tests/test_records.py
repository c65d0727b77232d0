"""The record on disk: what is written is what is read, and what is wrong is refused by name."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from whenwhere import Grounding, SpanSet, Tube
from whenwhere.errors import QueryError, RecordError
from whenwhere.records import (
    BoxRecord,
    SettingsRecord,
    SpanRecord,
    TubeRecord,
    check_query,
    filled_record,
    span_records,
    tube_record,
)

SETTINGS = SettingsRecord(model="motion", pipeline="second-level", rate=1.0)
seconds = st.floats(0, 1e4).map(lambda x: round(x, 2))


def answered(spans: SpanSet, tube: Tube | None = None) -> Grounding:
    return Grounding(
        id="x",
        query="a dog",
        status="answered",
        spans=span_records(spans),
        tubes=[tube_record(tube)] if tube else [],
        settings=SETTINGS,
    )


@given(st.lists(st.tuples(seconds, st.floats(0.0001, 100)), min_size=1, max_size=4))
def test_round_trip(pairs):
    g = answered(SpanSet((s, s + d) for s, d in pairs))
    again = Grounding.from_json(g.to_json())
    assert again == g
    assert again.span_set == g.span_set


def test_tube_survives_rounding_to_milliseconds():
    spans = SpanSet([(1 / 3, 2 + 2 / 3)])
    tube = Tube(spans, [1 / 3, 1, 2, 2.66666], [[0, 0, 1 / 3, 2 / 3]] * 4)
    back = answered(spans, tube).tube()
    assert back is not None
    np.testing.assert_allclose(back.times, tube.times, atol=5e-4)
    np.testing.assert_allclose(back.boxes, tube.boxes, atol=5e-4)


def test_fields_of_the_design_are_all_there_in_order():
    keys = list(json.loads(answered(SpanSet([(0, 1)])).to_json()))
    names = (
        "version,id,video,query,status,confidence,spans,ranked,curve,tubes,filled,settings,reading,candidates,raw,"
        "parse,cost,warnings,error,identity"
    )
    assert ",".join(keys) == names


def test_filled_leaves_out_frames_without_a_box_and_at_uses_it():
    spans = SpanSet([(0, 1)])
    tube = Tube(spans, [0, 0.9], [[0, 0, 2, 2]] * 2)
    g = answered(spans, tube)
    g.filled = filled_record("flow", "0", np.array([0.0, 0.5]), np.array([[5.0, 5, 6, 6], [np.nan] * 4]))
    assert len(g.filled.t) == 1
    assert g.tube().at(0.7) == (5, 5, 6, 6)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"version": 2}, "version"),
        ({"status": "maybe"}, "status"),
        ({"spans": [{"start": 2, "end": 1, "score": None}]}, "spans.0"),
        ({"spans": [{"start": 0, "end": 2, "score": None}, {"start": 1, "end": 3, "score": None}]}, "spans"),
        ({"spans": []}, "line"),
        ({"confidence": 1.5}, "confidence"),
        ({"cost": {"seconds": "NaN"}}, "cost.seconds"),
    ],
)
def test_what_is_wrong_is_named(change, field):
    good = json.loads(answered(SpanSet([(0, 1)])).to_json())
    with pytest.raises(RecordError, match=f"not a grounding record: {field}"):
        Grounding.from_json(json.dumps(good | change))


def test_unsure_claims_no_time():
    with pytest.raises(ValidationError, match="carries no spans"):
        Grounding(id="x", query="a", status="unsure", spans=span_records(SpanSet([(0, 1)])))


@pytest.mark.parametrize("bad", ["", "   \n", "x" * 10_000])
def test_a_query_is_a_sentence(bad):
    with pytest.raises(QueryError):
        check_query(bad)


def test_times_of_a_stored_tube_are_put_back_to_those_of_the_frames():
    frames = np.arange(120) * 1001 / 30000
    spans = [SpanRecord(start=float(frames[7]), end=float(frames[80]))]
    boxes = [BoxRecord(t=t, box=(0, 0, 9, 9)) for t in (float(frames[7]), 1.01, float(frames[79]))]
    record = Grounding(id="a", query="a dog", status="answered", spans=spans, tubes=[TubeRecord(boxes=boxes)])
    stored = Grounding.from_json(record.to_json())
    tube = stored.tube(frame_times=frames)
    assert (tube.spans.starts[0], tube.spans.ends[0]) == (frames[7], frames[80])
    # 1.01 is further from any frame than rounding can have moved it, so it stays
    assert tube.times.tolist() == [frames[7], 1.01, frames[79]]
    assert stored.tube().times.tolist() == [0.234, 1.01, round(frames[79], 3)]
