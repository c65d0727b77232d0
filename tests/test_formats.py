"""Prediction files: what is written is read back, and what is wrong is said and stays in the denominator."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.formats import FORMATS, read_predictions, sniff, write_predictions
from whenwhere.evaluate.prediction import Boxes, Prediction, Predictions
from whenwhere.records import ErrorRecord, Grounding, SpanRecord

FPS = 25.0
ITEMS = [
    Item(str(7 + i), f"clip_{i}.mp4", f"somebody opens door {i}", duration=20.0, fps=FPS, width=640, height=360)
    for i in range(4)
]


def same(a: Prediction, b: Prediction, *fields: str) -> None:
    for name in fields:
        x, y = getattr(a, name), getattr(b, name)
        if name == "boxes":
            assert [(p.id, p.label, p.score) for p in x] == [(p.id, p.label, p.score) for p in y]
            for p, q in zip(x, y, strict=True):
                np.testing.assert_array_equal(p.times, q.times)
                np.testing.assert_allclose(p.boxes, q.boxes, rtol=0, atol=1e-9)
        elif name == "curve":
            assert (x is None) == (y is None)
            if x is not None:
                assert x[:2] == y[:2]
                np.testing.assert_array_equal(x[2], y[2])
        elif isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
            assert x is not None and y is not None, name
            np.testing.assert_array_equal(x, y)
        else:
            assert x == y, name


def there_and_back(folder: Path, form: str, given: dict[str, Prediction], items: list[Item]) -> Predictions:
    path = folder / f"{form}.txt"
    write_predictions(path, given, items, form)
    if given:
        assert sniff(path).name == form
    found = read_predictions(path, items, format=form)
    assert [f.kind for f in found.faults if f.kind not in ("missing", "empty")] == []
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


times = st.integers(0, 19_000).map(lambda ms: ms / 1000)
spans = st.tuples(times, times).map(lambda p: (min(p), round(max(p) + 0.5, 3)))
scores = st.integers(-1000, 1000).map(lambda n: n / 1000)
ranked = st.lists(st.tuples(spans, scores), min_size=1, max_size=5).map(
    lambda rows: np.array([(*span, score) for span, score in rows])
)


@st.composite
def disjoint(draw: st.DrawFn, most: int = 3, step: int = 1000) -> np.ndarray:
    """Sorted spans that do not touch, on a grid of milliseconds (or of `step` of them)."""
    cuts = draw(st.lists(st.integers(0, 19_000 // step), min_size=2, max_size=2 * most, unique=True))
    cuts = sorted(cuts)[: len(cuts) // 2 * 2]
    return np.array(cuts, float).reshape(-1, 2) * step / 1000


@st.composite
def boxes_at(draw: st.DrawFn, at: np.ndarray) -> Boxes:
    """Boxes of three decimals at some of the given times."""
    keep = draw(st.lists(st.sampled_from(range(len(at))), min_size=1, max_size=6, unique=True))
    corner = st.integers(0, 300_000)
    rows = [
        (x, y, x + w, y + h)
        for x, y, w, h in draw(
            st.lists(st.tuples(corner, corner, *[st.integers(1, 50_000)] * 2), min_size=len(keep), max_size=len(keep))
        )
    ]
    return Boxes(at[sorted(keep)], np.array(rows, float) / 1000)


def answers_of(one: st.SearchStrategy[Prediction]) -> st.SearchStrategy[dict[str, Prediction]]:
    """Answers to some of the items."""
    chosen = st.lists(st.sampled_from(ITEMS), max_size=len(ITEMS), unique_by=lambda i: i.id)
    return chosen.flatmap(
        lambda items: st.tuples(*[one] * len(items)).map(
            lambda found: {i.id: _for(i, p) for i, p in zip(items, found, strict=True)}
        )
    )


def _for(item: Item, p: Prediction) -> Prediction:
    return Prediction(
        item.id, p.status, p.spans, p.ranked, p.labels, p.boxes, p.rate, p.curve, p.answer, p.confidence, p.raw
    )


silent = st.sampled_from(["absent", "unsure", "unparsed", "failed"]).map(lambda s: Prediction("", s))


@st.composite
def spans_answer(draw: st.DrawFn) -> Prediction:
    rows = draw(st.none() | ranked)
    answer = draw(st.none() | st.text(max_size=5))
    confidence = draw(st.none() | scores)
    if rows is not None and draw(st.booleans()):
        return Prediction("", "answered", rows[:1, :2], rows, answer=answer, confidence=confidence)
    return Prediction("", "answered", draw(disjoint()), rows, answer=answer, confidence=confidence)


@st.composite
def record_answer(draw: st.DrawFn) -> Prediction:
    held = draw(disjoint())
    curve = draw(st.none() | st.lists(scores, min_size=1, max_size=4).map(lambda v: (0.5, 1.0, np.array(v))))
    grid = np.arange(0, 20, 0.5)
    tube = draw(boxes_at(grid))
    tube.id, tube.label, tube.score = "1", draw(st.none() | st.just("door")), draw(st.none() | scores)
    return Prediction(
        "",
        "answered",
        held,
        draw(st.none() | ranked),
        boxes=[tube],
        rate=2.0,
        curve=curve,
        confidence=draw(st.none() | scores.map(abs)),
        raw=draw(st.none() | st.text(max_size=9)),
    )


@st.composite
def frame_answer(draw: st.DrawFn) -> Prediction:
    """One span of whole frames with boxes at frames, also outside it."""
    start, length = draw(st.integers(0, 400)), draw(st.integers(1, 90))
    tube = draw(boxes_at(np.arange(0, 500) / FPS))
    tubes = draw(st.sampled_from([[], [tube]]))
    return Prediction("", "answered", span_array([(start / FPS, (start + length) / FPS)]), boxes=tubes, rate=FPS)


@st.composite
def second_answer(draw: st.DrawFn) -> Prediction:
    """Boxes at whole seconds; the answered time is those seconds."""
    tube = draw(boxes_at(np.arange(20.0)))
    cut = np.flatnonzero(np.diff(tube.times) > 1)
    starts, ends = tube.times[np.r_[0, cut + 1]], tube.times[np.r_[cut, len(tube.times) - 1]] + 1
    return Prediction("", "answered", np.stack([starts, ends], 1), boxes=[tube])


quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(answers_of(spans_answer() | silent))
def test_spans_hold_spans_ranking_answer_confidence_and_status(folder: Path, given: dict[str, Prediction]) -> None:
    found = there_and_back(folder, "spans", given, ITEMS)
    assert found.by_id.keys() == given.keys()
    for id, p in given.items():
        same(p, found.by_id[id], "id", "status", "spans", "ranked", "answer", "confidence")


@quick
@given(answers_of(record_answer() | silent))
def test_records_hold_everything_at_three_decimals(folder: Path, given: dict[str, Prediction]) -> None:
    found = there_and_back(folder, "whenwhere", given, ITEMS)
    assert found.by_id.keys() == given.keys()
    for id, p in given.items():
        same(p, found.by_id[id], "id", "status", "spans", "ranked", "boxes", "curve", "confidence", "raw")


@quick
@given(answers_of(ranked.map(lambda r: Prediction("", "answered", r[:1, :2], r, curve=(1.0, 2.0, r[:, 2])))))
def test_a_qvhighlights_submission_holds_windows_and_saliency(folder: Path, given: dict[str, Prediction]) -> None:
    found = there_and_back(folder, "qvhighlights", given, ITEMS)
    for id, p in given.items():
        same(p, found.by_id[id], "id", "status", "spans", "ranked", "curve")


@quick
@given(
    answers_of(ranked.map(lambda r: Prediction("", "answered", ranked=r, labels=["a", "b", "c", "d", "e"][: len(r)])))
)
def test_detections_hold_segments_labels_and_scores(folder: Path, given: dict[str, Prediction]) -> None:
    by_video = {item.video: given[item.id] for item in ITEMS if item.id in given}
    for video, p in by_video.items():
        p.id = video
    found = there_and_back(folder, "activitynet", by_video, ITEMS)
    assert found.by_id.keys() == by_video.keys()
    for video, p in by_video.items():
        same(p, found.by_id[video], "id", "status", "ranked", "labels")


@quick
@given(answers_of(second_answer()))
def test_vidi_holds_one_box_per_second(folder: Path, given: dict[str, Prediction]) -> None:
    found = there_and_back(folder, "vidi", given, ITEMS)
    assert found.by_id.keys() == given.keys()
    for id, p in given.items():
        same(p, found.by_id[id], "id", "status", "spans", "boxes", "rate")


@pytest.mark.parametrize("form", ["tubedetr", "stcat", "hcstvg"])
def test_frame_formats_hold_one_span_and_one_tube(folder: Path, form: str) -> None:
    @quick
    @given(answers_of(frame_answer()))
    def check(given: dict[str, Prediction]) -> None:
        path = folder / "tube.json"
        write_predictions(path, given, ITEMS, form)
        found = read_predictions(path, ITEMS, format=form)
        assert found.by_id.keys() == given.keys()
        for id, p in given.items():
            same(p, found.by_id[id], "id", "status", "spans", "boxes", "rate")

    check()


@quick
@given(
    st.lists(
        st.lists(st.sampled_from([(a, b) for a in range(6) for b in range(a, 6)]), max_size=5, unique=True),
        min_size=len(ITEMS),
        max_size=len(ITEMS),
    )
)
def test_didemo_holds_rankings_of_chunks(folder: Path, rankings: list[list[tuple[int, int]]]) -> None:
    path, again = folder / "ranks.json", folder / "again.json"
    path.write_text(json.dumps(rankings))
    found = read_predictions(path, ITEMS, format="didemo")
    for item, chunks in zip(ITEMS, rankings, strict=True):
        if chunks:
            first = found.by_id[item.id].top
            assert first is not None and first.tolist() == [5 * chunks[0][0], 5 * chunks[0][1] + 5]
        else:
            assert item.id not in found.by_id
    write_predictions(again, found, ITEMS, "didemo")
    assert json.loads(again.read_text()) == json.loads(path.read_text())


@quick
@given(answers_of(disjoint(step=10).map(lambda s: Prediction("", "answered", s)) | st.just(Prediction("", "absent"))))
def test_text_without_a_models_own_words_says_the_same(folder: Path, given: dict[str, Prediction]) -> None:
    found = there_and_back(folder, "text", given, ITEMS)
    for id, p in given.items():
        same(p, found.by_id[id], "id", "status", "spans")


def test_raw_text_is_parsed_and_kept(folder: Path) -> None:
    path = folder / "raw.jsonl"
    texts = [
        "<think>4 people at 2 to 9</think><answer>3.2 to 7.5</answer>",
        "I cannot tell.",
        "It is not in the video.",
        "17.5 to 12.0",
    ]
    lines = [{"video": f"some/folder/clip_{i}.mkv", "query": f"Somebody opens  door {i}."} for i in range(4)]
    path.write_text("".join(json.dumps(x | {"response": t}) + "\n" for x, t in zip(lines, texts, strict=True)))
    found = read_predictions(path, ITEMS)
    assert found.format == "text"
    assert [found.by_id[i.id].status for i in ITEMS] == ["answered", "unparsed", "absent", "answered"]
    assert found.by_id["7"].spans.tolist() == [[3.2, 7.5]]
    assert [found.by_id[i.id].raw for i in ITEMS] == texts
    assert found.by_id["10"].parse == "reversed" and [f.kind for f in found.faults] == ["reversed"]


def test_text_with_boxes_becomes_a_tube_in_pixels(folder: Path) -> None:
    path = folder / "boxes.jsonl"
    said = json.dumps([{"time": t, "bbox_2d": [0.25, 0.5, 0.5, 1.0], "label": "door"} for t in (3.0, 4.0)])
    path.write_text(json.dumps({"id": "7", "text": said}) + "\n")
    (p,) = read_predictions(path, ITEMS).by_id.values()
    assert p.spans.tolist() == [[3, 5]] and p.boxes[0].boxes.tolist() == [[160, 180, 320, 360]] * 2


# -- what is wrong with a file ---------------------------------------------------------------------------------------


def faults(tmp_path: Path, text: str, form: str | None = None) -> tuple[Predictions, list[str]]:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    found = read_predictions(path, ITEMS, format=form)
    for f in found.faults:
        assert f.message.startswith(str(path)) and "\n" not in f.message and ";" in f.message, f.message
    return found, [f.kind for f in found.faults if f.kind != "missing"]


GOOD = '{"id": "7", "spans": [[1, 2]]}\n'
BAD = {
    "unknown id": '{"id": "99", "spans": [[1, 2]]}',
    "duplicate id": '{"id": "7", "spans": [[3, 4]]}',
    "not a number": '{"id": "8", "spans": [[NaN, 2]]}',
    "reversed": '{"id": "8", "spans": [[5, 2]]}',
    "out of range": '{"id": "8", "spans": [[5, 200]]}',
    "torn line": '{"id": "8", "spans": [[5,',
    "wrong type": '{"id": "8", "spans": "soon"}',
    "no id": '{"spans": [[1, 2]]}',
}


@pytest.mark.parametrize("kind", BAD)
def test_every_fault_is_one_sentence_with_file_and_line(tmp_path: Path, kind: str) -> None:
    found, kinds = faults(tmp_path, f"{GOOD}\n{BAD[kind]}\n")
    assert kinds == [kind]
    (fault,) = [f for f in found.faults if f.kind == kind]
    assert fault.where.endswith(":3") and fault.message.count(". ") == 0
    assert found.by_id["7"].spans.tolist() == [[1, 2]], "the first answer counts"


def test_of_two_answers_the_one_counts_that_the_original_counts(tmp_path: Path) -> None:
    """TimeLens' evaluator and a batch take the last; QVHighlights' takes neither, so two are refused."""
    key = f"{ITEMS[0].video}>>>{ITEMS[0].query}>>>[0, 1]"
    text = "".join(json.dumps({key: {"timestamps": [[s, s + 1]]}}) + "\n" for s in (1, 3))
    found, kinds = faults(tmp_path, text, "timelens")
    assert kinds == ["duplicate id"] and found.by_id[ITEMS[0].id].spans.tolist() == [[3, 4]]
    spans = [SpanRecord(start=s, end=s + 1) for s in (1, 3)]
    records = [Grounding(id=ITEMS[0].id, query="q", status="answered", spans=[span]) for span in spans]
    lost = Grounding(id=ITEMS[0].id, query="q", status="failed", error=ErrorRecord(kind="media", message="away"))
    found, kinds = faults(tmp_path, "".join(f"{r.to_json()}\n" for r in (lost, *records, lost)), "whenwhere")
    assert kinds == ["duplicate id"] * 3 and found.by_id[ITEMS[0].id].spans.tolist() == [[3, 4]]
    line = json.dumps({"qid": ITEMS[0].id, "pred_relevant_windows": [[1, 2, 0.5]]})
    with pytest.raises(RecordError, match="is answered a second time"):
        faults(tmp_path, f"{line}\n{line}\n", "qvhighlights")


def test_what_cannot_be_a_number_fails_and_the_rest_counts_as_written(tmp_path: Path) -> None:
    text = "".join(f"{BAD[k]}\n" for k in ("not a number",)) + '{"id": "9", "spans": [[5, 2], [6, 9000]]}\n'
    found, kinds = faults(tmp_path, text)
    assert found.by_id["8"].status == "failed"
    assert found.by_id["9"].spans.tolist() == [[5, 2], [6, 9000]]
    assert kinds == ["not a number", "reversed", "out of range"]


@pytest.mark.parametrize("rows", ["[[1]]", "[[1, 2], [1, 2, 3]]", "[1, 2]", "[[1, null]]", "[[1, [2]]]", "{}", "3"])
def test_spans_of_another_shape_fail(tmp_path: Path, rows: str) -> None:
    found, kinds = faults(tmp_path, f'{{"id": "8", "spans": {rows}}}\n')
    assert found.by_id["8"].status == "failed" and len(kinds) == 1


def test_missing_answers_are_counted_once_and_named(tmp_path: Path) -> None:
    found, _ = faults(tmp_path, GOOD)
    (fault,) = found.faults
    assert fault.kind == "missing" and "3 of 4 items ('8', '9', '10')" in fault.message


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff\n"])
def test_an_empty_file_is_said_and_every_item_is_missing(tmp_path: Path, text: str) -> None:
    found, kinds = faults(tmp_path, text)
    assert kinds == ["empty"] and not found.by_id and found.faults[-1].kind == "missing"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"results": {"a": [', "is not JSON and seems cut off"),
        ("[[1, 2", "is not JSON and seems cut off"),
        ('{"colour": "red"}\n{"colour": "blue"}\n', "no known prediction format"),
        ("name,age\nx,3\n", "no known prediction format"),
        ("[1, 2, 3]", "no known prediction format"),
        ("{}", "no known prediction format"),
        ('{"results": ' + "1" * 5000 + "}", "no known prediction format"),
        ("[" * 100_000, "nested more than 100 levels deep"),
    ],
)
def test_a_file_that_is_no_predictions_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=words) as e:
        read_predictions(path, ITEMS)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_a_missing_or_binary_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is not a file"):
        read_predictions(tmp_path / "nowhere", ITEMS)
    (tmp_path / "bin").write_bytes(bytes(range(128, 256)))
    with pytest.raises(RecordError, match="UTF-8"):
        read_predictions(tmp_path / "bin", ITEMS)
    with pytest.raises(SettingError, match="choose one of whenwhere"):
        read_predictions(tmp_path / "bin", ITEMS, format="guess")
    with pytest.raises(SettingError, match="choose one of whenwhere"):
        write_predictions(tmp_path / "out", {}, ITEMS, "guess")


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_format_ever_raises_on_a_bad_entry(folder: Path, name: str, data: st.DataObject) -> None:
    """Whole JSON of any shape, also inside the right frame, gives faults or a `RecordError` and nothing else."""
    leaf = (
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers(-9, 9**20)
        | st.sampled_from(["7", "x", "clip_0", 10**400])
    )
    keys = st.sampled_from([
        "7", "id", "qid", "spans", "ranked", "status", "text", "results", "segment", "label", "predictions", "sted",
        "video_predictions", "boxes", "bbox", "st_frame", "ed_frame", "pred_relevant_windows", "pred_saliency_scores",
        "confidence", "clip_0.mp4", "7_3", "vid2names", "version", "query", "video",
    ])  # fmt: skip
    value = data.draw(st.recursive(leaf, lambda x: st.lists(x, max_size=3) | st.dictionaries(keys, x, max_size=4)))
    frames = {
        "spans": {"id": "7", "spans": value},
        "text": {"id": "7", "text": "1 to 2", "shown": value, "form": value},
        "qvhighlights": {"qid": 7, "pred_relevant_windows": value, "pred_saliency_scores": value},
        "whenwhere": {"version": 1, "id": "7", "query": "x", "status": "answered", "spans": value},
        "activitynet": {"results": {"clip_0.mp4": value}},
        "tubedetr": {"predictions": {"7_1": value}, "video_predictions": {"7": value}},
        "stcat": {"predictions": {"7": value}, "video_predictions": {"7": {"sted": value}}, "vid2names": value},
        "hcstvg": {"clip_0.mp4": {"st_frame": value, "ed_frame": 3, "bbox": {"1": value}}},
        "didemo": [value, [value]],
    }
    path = folder / "any.json"
    for written in (value, frames.get(name, value)):
        path.write_text(json.dumps(written))
        try:
            found = read_predictions(path, ITEMS, format=name)
        except RecordError as e:
            assert str(path) in str(e)
            continue
        lost = {f.kind for f in found.faults} & {"missing", "empty"}
        assert lost or len(found.by_id) >= len(ITEMS)
        for p in found.by_id.values():
            assert np.isfinite(p.spans).all() and p.spans.shape[1] == 2
            assert p.confidence is None or math.isfinite(p.confidence)


@pytest.mark.parametrize(
    ("row", "kind", "status"),
    [
        ("7,1000,0.1,0.1,nan,0.2", "not a number", "failed"),
        ("7,soon,0.1,0.1,0.3,0.2", "not a number", "failed"),
        ("7,1000,0.4,0.1,0.3,0.2", "reversed box", "answered"),
        ("7,90000,0.1,0.1,0.3,0.2", "out of range", "answered"),
        ("8,1000,0.1,0.1,0.3,0.2\n99,1000,0.1,0.1,0.3,0.2", "unknown id", None),
        ("7,1000,0.1", "torn line", None),
    ],
)
def test_faults_of_a_table(tmp_path: Path, row: str, kind: str, status: str | None) -> None:
    found, kinds = faults(tmp_path, f"query_id,time_ms,x0,y0,x1,y1\n{row}\n")
    assert kinds == [kind] and f":{1 + len(row.splitlines())}" in found.faults[0].where
    assert (found.by_id["7"].status if "7" in found.by_id else None) == status


def test_of_several_boxes_in_one_second_the_first_written_counts(tmp_path: Path) -> None:
    rows = ["7,3400,0.5,0,0.75,1", "7,2500,0,0,0.25,1", "7,2600,0,0,1,1"]
    found, kinds = faults(tmp_path, "query_id,time_ms,time_normalized,x0,y0,x1,y1\n" + "".join(
        f"{r.split(',', 2)[0]},{r.split(',', 2)[1]},0.1,{r.split(',', 2)[2]}\n" for r in rows
    ))  # fmt: skip
    tube = found.by_id["7"].boxes[0]
    assert kinds == [] and tube.times.tolist() == [3.0] and tube.boxes.tolist() == [[320, 0, 480, 360]]


def test_records_of_another_size_of_the_same_video_are_scaled(tmp_path: Path) -> None:
    video = {"path": "x/clip_1.mp4", "sha256_1mb": "", "duration": 20, "declared_duration": None, "start": 0,
             "width": 1280, "height": 720, "fps": 25, "vfr": False, "rotation": 0}  # fmt: skip
    tube = {"boxes": [{"t": 1, "box": [100, 100, 200, 200]}]}
    record = {"version": 1, "id": "run-3", "video": video, "query": "somebody opens door 1", "status": "answered",
              "spans": [{"start": 1, "end": 2}], "tubes": [tube]}  # fmt: skip
    found, kinds = faults(tmp_path, json.dumps(record) + "\n")
    assert found.format == "whenwhere" and kinds == []
    assert found.by_id["8"].boxes[0].boxes.tolist() == [[50, 50, 100, 100]]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"spans": [{"start": 3, "end": 2}]}, "reversed"),
        ({"confidence": math.nan}, "not a number"),
        ({"colour": "red"}, "wrong type"),
        ({"status": "perhaps"}, "wrong type"),
    ],
)
def test_a_line_that_is_no_record_fails_its_item(tmp_path: Path, change: dict[str, object], kind: str) -> None:
    record = {"version": 1, "id": "8", "query": "q", "status": "answered", "spans": [{"start": 1, "end": 2}]} | change
    found, kinds = faults(tmp_path, json.dumps(record) + "\n", "whenwhere")
    assert kinds == [kind] and found.by_id["8"].status == "failed"


def test_one_answer_serves_all_items_that_ask_the_same(tmp_path: Path) -> None:
    twins = [Item(str(i), "a.mp4", "Who sits?", duration=9) for i in range(2)]
    path = tmp_path / "twins.jsonl"
    path.write_text('{"video": "a", "query": "who sits?", "spans": [[1, 2]]}\n')
    assert set(read_predictions(path, twins).by_id) == {"0", "1"}


def test_a_json_array_of_lines_is_read_as_lines(tmp_path: Path) -> None:
    found, kinds = faults(tmp_path, '[{"id": 7, "spans": [[1, 2]]},\n {"id": "x", "spans": []}, 3]')
    assert found.by_id["7"].spans.tolist() == [[1, 2]]
    assert kinds == ["unknown id", "wrong type"] and "entry 1" in found.faults[0].where


def test_detections_keep_videos_that_the_truth_does_not_have(tmp_path: Path) -> None:
    entries = [{"label": "a", "segment": [0, 1], "score": 0.5}]
    found, kinds = faults(tmp_path, json.dumps({"results": {"clip_0": entries, "other": entries, "clip_1.mp4": 3}}))
    assert kinds == ["unknown id", "wrong type"]
    assert found.by_id["clip_0.mp4"].labels == ["a"] and found.by_id["other"].ranked is not None
    assert found.by_id["clip_1.mp4"].status == "failed"


def test_a_dump_that_was_made_with_other_annotations_is_refused_item_by_item(tmp_path: Path) -> None:
    dump = {"predictions": {}, "video_predictions": {"7": {"sted": [1, 2]}}, "vid2names": {"7": "another.mp4"}}
    found, kinds = faults(tmp_path, json.dumps(dump))
    assert kinds == ["other video"] and found.by_id["7"].status == "failed"


def test_frame_formats_need_a_frame_rate(tmp_path: Path) -> None:
    bare = [Item("7", "v")]
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({"predictions": {}, "video_predictions": {"7": {"sted": [1, 2]}}}))
    assert Counter(f.kind for f in read_predictions(path, bare).faults) == {"no frame rate": 1}
    with pytest.raises(RecordError, match="no frame rate"):
        write_predictions(path, {"7": Prediction("7", spans=span_array([(1, 2)]))}, bare, "stcat")
    with pytest.raises(RecordError, match="frame size"):
        tube = Boxes(np.zeros(1), np.array([[0, 0, 1, 1.0]]))
        write_predictions(path, {"7": Prediction("7", spans=span_array([(1, 2)]), boxes=[tube])}, bare, "vidi")
    with pytest.raises(RecordError, match="no label"):
        write_predictions(path, {"v": Prediction("v", ranked=np.zeros((1, 3)))}, bare, "activitynet")


def test_numbers_of_peers_codes_are_followed(tmp_path: Path) -> None:
    items = [Item(str(i), f"v{i}", fps=10.0, extra={"tubedetr": i, "stcat": 1 - i}) for i in range(2)]
    given = {"0": Prediction("0", spans=span_array([(1, 2)])), "1": Prediction("1", spans=span_array([(3, 4)]))}
    path = tmp_path / "dump.json"
    write_predictions(path, given, items, "stcat")
    assert json.loads(path.read_text())["video_predictions"]["1"] == {"sted": [10, 20]}
    found = read_predictions(path, items)
    assert found.by_id["0"].spans.tolist() == [[1, 2]]


# -- what a format cannot hold is lost as it says --------------------------------------------------------------------


def test_frame_formats_write_the_hull_and_leave_out_what_has_no_time(tmp_path: Path) -> None:
    given = {
        "7": Prediction("7", spans=span_array([(1, 2), (3, 4)])),
        "8": Prediction("8", spans=span_array([(5, 4)])),
        "9": Prediction("9", "absent"),
        "10": Prediction("10", spans=span_array([(1.001, 1.002)])),
    }
    for form in ("tubedetr", "stcat", "hcstvg"):
        path = write_predictions(tmp_path / f"{form}.json", given, ITEMS, form)
        found = read_predictions(path, ITEMS, format=form).by_id
        assert {id: p.spans.tolist() for id, p in found.items()} == {"7": [[1, 4]], "10": [[1, 1.04]]}


def test_a_submission_to_qvhighlights_claims_nothing_for_what_claims_nothing(tmp_path: Path) -> None:
    given = {
        "7": Prediction("7", "unsure"),
        "8": Prediction("8", "absent"),
        "9": Prediction("9", spans=span_array([(1, 2)])),
    }
    path = write_predictions(tmp_path / "q.jsonl", given, ITEMS, "qvhighlights")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(x["qid"], x["pred_relevant_windows"]) for x in lines] == [(8, []), (9, [[1, 2, 1]])]
    assert lines[0]["vid"] == "clip_1.mp4" and lines[0]["query"] == "somebody opens door 1"


def test_free_seconds_become_the_nearest_chunks_of_didemo(tmp_path: Path) -> None:
    rows = np.array([(4.1, 11.0, 0.9), (5.2, 9.9, 0.8), (6.0, 6.1, 0.7), (21.0, 29.0, 0.1)])
    path = write_predictions(tmp_path / "d.json", {"8": Prediction("8", ranked=rows)}, ITEMS, "didemo")
    assert json.loads(path.read_text()) == [[], [[1, 1], [4, 5]], [], []]


def test_records_merge_what_overlaps_and_fail_what_holds_no_time(tmp_path: Path) -> None:
    given = {
        "7": Prediction("7", spans=span_array([(3, 5), (1, 4), (9, 8)])),
        "8": Prediction("8", spans=span_array([(2, 2)]), confidence=7.0),
    }
    found = read_predictions(write_predictions(tmp_path / "r.jsonl", given, ITEMS, "whenwhere"), ITEMS).by_id
    assert found["7"].spans.tolist() == [[1, 5]]
    assert (found["8"].status, found["8"].confidence) == ("failed", None)


def test_writing_goes_by_the_items_and_takes_a_read_file_as_it_is(tmp_path: Path) -> None:
    given = {id: Prediction(id, spans=span_array([(1, 2)])) for id in ("10", "7", "stranger")}
    path = write_predictions(tmp_path / "s.jsonl", given, ITEMS, "spans")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["7", "10"]
    again = write_predictions(tmp_path / "t.jsonl", read_predictions(path, ITEMS), ITEMS, "spans")
    assert again.read_text() == path.read_text()
