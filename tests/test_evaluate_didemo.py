"""DiDeMo's protocol against its own words in a loop, snapping of seconds, and the original's numbers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.didemo import CHUNK, MOMENTS, ceiling, chunk_iou, snap
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS

law = settings(max_examples=100, deadline=None, derandomize=True)

PROTOCOL = PROTOCOLS["didemo"]
moments = st.sampled_from([tuple(m) for m in MOMENTS.tolist()])


def item(times, name="a"):
    spans = span_array([(CHUNK * a, CHUNK * (b + 1)) for a, b in times])
    return Item(name, "v", spans=spans, duration=30.0, extra={"times": [list(t) for t in times]})


def ranking(chunks, name="a"):
    rows = [(CHUNK * a, CHUNK * (b + 1), -float(k)) for k, (a, b) in enumerate(chunks)]
    return Prediction(name, ranked=np.array(rows).reshape(-1, 3))


def slow(times, chunks):
    """(mean of the best three IoUs, mean of the three smallest ranks) of one item, counted in sets of chunks."""

    def cover(m):
        return set(range(m[0], m[1] + 1))

    ious = sorted((len(cover(chunks[0]) & cover(t)) / len(cover(chunks[0]) | cover(t)) if chunks else 0) for t in times)
    rank = sorted(chunks.index(t) + 1 if t in chunks else 22 for t in times)
    return sum(ious[-3:]) / len(ious[-3:]), sum(rank[:3]) / len(rank[:3])


@law
@given(
    st.lists(
        st.tuples(st.lists(moments, min_size=1, max_size=6), st.lists(moments, max_size=21, unique=True)), min_size=1
    )
)
def test_ranks_and_ious_are_those_of_a_loop(data):
    items = [item(times, f"{k}") for k, (times, _) in enumerate(data)]
    answers = {f"{k}": ranking(chunks, f"{k}") for k, (_, chunks) in enumerate(data)}
    out = PROTOCOL.score(items, answers)
    expected = [slow(*d) for d in data]
    assert out.items["mIoU"] == pytest.approx([iou for iou, _ in expected])
    for k in (1, 5):
        assert out.summary[f"Rank@{k}"] == pytest.approx(np.mean([rank <= k + 1e-12 for _, rank in expected]))
    assert (out.items["mIoU"] <= ceiling(items) + 1e-12).all()


@law
@given(moments)
def test_whole_chunks_snap_to_themselves(moment):
    a, b = moment
    assert MOMENTS[snap(span_array([(CHUNK * a, CHUNK * (b + 1))]))].tolist() == [[a, b]]


@law
@given(st.floats(0, 29), st.floats(0.1, 30))
def test_no_moment_is_nearer_than_the_snapped_one(start, length):
    def iou(m):
        s, e = CHUNK * m[0], CHUNK * (m[1] + 1)
        return max(0, min(e, start + length) - max(s, start)) / (max(e, start + length) - min(s, start))

    chosen = MOMENTS[snap(span_array([(start, start + length)]))][0]
    assert iou(chosen) == pytest.approx(max(iou(m) for m in MOMENTS))


def test_time_behind_the_video_or_reversed_is_no_moment():
    assert snap(span_array([(40, 50), (20, 10)])).tolist() == [-1, -1]
    answers = {"a": Prediction("a", spans=span_array([(40, 50)]))}
    s = PROTOCOL.score([item([(0, 0)] * 4)], answers).summary
    assert (s["Rank@1"], s["Rank@5"], s["mIoU"]) == (0, 0, 0)


@law
@given(moments, moments)
def test_chunk_iou_is_symmetric_bounded_and_one_only_for_the_same(a, b):
    value = float(chunk_iou(np.array(a), np.array(b)))
    assert value == float(chunk_iou(np.array(b), np.array(a)))
    assert 0 <= value <= 1 and (value == 1) == (a == b)


def test_three_of_four_annotators_decide_and_two_against_two_cap_the_score():
    agreed, split = item([(1, 2), (1, 2), (1, 2), (5, 5)], "a"), item([(0, 0), (0, 0), (3, 3), (3, 3)], "b")
    out = PROTOCOL.score([agreed, split], {"a": ranking([(1, 2)]), "b": ranking([(0, 0), (3, 3)], "b")})
    assert out.items["mIoU"].tolist() == pytest.approx([1.0, 2 / 3])
    assert out.items["Rank@1"].tolist() == [1.0, 0.0] and out.items["Rank@5"].tolist() == [1.0, 1.0]
    assert any("on 1 of 2 no three annotators agree" in note for note in out.notes)


def test_seconds_are_snapped_for_ranks_and_counted_plainly_beside():
    out = PROTOCOL.score([item([(1, 2)] * 4)], {"a": Prediction("a", spans=span_array([(6.0, 14.0)]))})
    assert out.summary["Rank@1"] == 1.0 and out.summary["mIoU"] == 1.0
    assert out.summary["seconds-R1@0.7"] == 1.0
    assert PROTOCOL.score([item([(1, 2)] * 4)], {"a": Prediction("a", spans=span_array([(8.0, 13.0)]))}).summary[
        "seconds-R1@0.7"
    ] == (0.5 >= 0.7)


def test_free_seconds_on_one_moment_take_one_place():
    # The second answer snaps to the first one's moment, so the third stands at rank 2.
    rows = np.array([[0.0, 5.0, 0.9], [0.4, 4.7, 0.8], [10.0, 15.0, 0.7]])
    out = PROTOCOL.score([item([(2, 2)] * 3)], {"a": Prediction("a", ranked=rows)})
    assert out.summary["Rank@5"] == 1.0
    one = [item([(0, 0), (0, 0), (2, 2)])]
    assert PROTOCOL.score(one, {"a": Prediction("a", ranked=rows)}).items["Rank@1"][0] == 0.0


def test_a_missing_answer_counts_nothing():
    out = PROTOCOL.score([item([(0, 0)] * 4, "a"), item([(0, 0)] * 4, "b")], {"a": ranking([(0, 0)])})
    assert out.summary["Rank@1"] == 0.5 and out.summary["mIoU"] == 0.5
    assert any(note.startswith("1 of 2 items have no answer") for note in out.notes)


@pytest.mark.parametrize("name", ["val_seeded_rankings", "val_prior_from_test", "test_prior_from_val"])
def test_the_originals_numbers(real_data, name):
    folder = real_data / "reference-scores/didemo"
    expected = json.loads((folder / "didemo_official.json").read_text())["results"][name]
    entries = json.loads((real_data / f"annotations/didemo/{name.split('_')[0]}_data.json").read_text())
    items = [item([tuple(t) for t in e["times"]], str(e["annotation_id"])) for e in entries]
    if "ranking" in expected:
        orders = [expected["ranking"]] * len(items)
    else:
        orders = json.loads((folder / "val_seeded_rankings.json").read_text())
    answers = {i.id: ranking(order, i.id) for i, order in zip(items, orders, strict=True)}
    s = PROTOCOL.score(items, answers).summary
    assert s["Rank@1"] == pytest.approx(expected["rank1"], abs=1e-12)
    assert s["Rank@5"] == pytest.approx(expected["rank5"], abs=1e-12)
    assert s["mIoU"] == pytest.approx(expected["miou"], abs=1e-12)
