"""Windows, chunks and what becomes of answers about them; with a small budget a short clip is a long one."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from chat_server import ChatServer, Fault, Request

from whenwhere.answers import ParsedAnswer, TimedBox
from whenwhere.answers.dialects import DIALECTS
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.answer_boxes import match_boxes
from whenwhere.grounders.call_runner import GROUP_BYTES, CallRunner, FrameRequest, memory_groups
from whenwhere.grounders.second_level import SecondLevel
from whenwhere.grounders.windows import (
    SamplingConfig,
    covered_span,
    frame_times,
    merge_windows,
    sharpen_span,
    split_windows,
    window_spans,
)
from whenwhere.models.backends.endpoint import EndpointBackend
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.video import FrameWriter, VideoInfo, probe


@given(st.integers(1, 300), st.integers(1, 60))
def test_windows_cover_everything_and_overlap(n: int, most: int) -> None:
    times = np.arange(n) / 2
    got = split_windows(times, most)
    assert all(1 <= len(w) <= most for w in got) and len({len(w) for w in got}) == 1
    assert np.array_equal(np.unique(np.concatenate(got)), times)
    for a, b in itertools.pairwise(got):
        assert b[0] > a[0] and (most < 5 or b[0] <= a[-1])
    # no more of them than are needed with a fifth shared
    assert len(got) <= 1 + np.ceil(max(n - most, 0) / max(most - round(0.2 * most), 1))


@given(st.data())
def test_what_windows_see_becomes_what_is_true(data: st.DataObject) -> None:
    """Each window tells of its part alone; united they tell of the whole, to a frame's step."""
    n = data.draw(st.integers(10, 120))
    marks = sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=6, unique=True)))
    pairs = list(zip(marks[::2], marks[1::2], strict=False))
    true = SpanSet((a / 2, b / 2) for a, b in pairs)
    searched = Span(0, n / 2)
    said = []
    for w in split_windows(np.arange(n) / 2, data.draw(st.integers(5, 40))):
        part = covered_span(w, 0.5, searched)
        said.append(true & SpanSet([part]))
    got = merge_windows(said, 0.5)
    assert got is not None and t_iou(got, true) > 0.5
    for span in got:
        # joined only over a gap of a step
        assert (SpanSet([span]) & true).duration >= span.duration - 0.5 * len(pairs) - 1e-9
    assert (got & true).duration == pytest.approx(true.duration)


def test_no_claim_where_a_window_could_not_be_read() -> None:
    assert merge_windows([SpanSet(), None], 0.5) is None
    assert merge_windows([SpanSet([(1, 2)]), None], 0.5) == SpanSet([(1, 2)])
    # one window's two spans stay two, however near
    assert len(merge_windows([SpanSet([(1, 2), (2.3, 3)])], 0.5) or []) == 2
    assert merge_windows([SpanSet([(1, 2)]), SpanSet([(2.3, 3)])], 0.5) == SpanSet([(1, 3)])


@pytest.mark.parametrize(
    ("answer", "spans", "useless"),
    [
        (ParsedAnswer("absent"), SpanSet(), 0),
        (ParsedAnswer("unparsed"), None, 0),
        (ParsedAnswer("ambiguous", ((11.0, 12.0), (14.0, 15.0))), None, 0),
        (ParsedAnswer("ok", ((8.0, 12.0),)), SpanSet([(10, 12)]), 0),
        (ParsedAnswer("instant", ((12.0, 12.0),)), SpanSet([(12, 12.5)]), 0),
        (ParsedAnswer("reversed", ((14.0, 12.0), (16.0, 17.0))), SpanSet([(16, 17)]), 1),
        (ParsedAnswer("ok", ((1.0, 2.0),)), None, 1),
        (ParsedAnswer("ok", ((11.0, float("inf")), (float("nan"), 12.0))), None, 2),
    ],
)
def test_what_an_answer_says_of_a_window(answer: ParsedAnswer, spans: SpanSet | None, useless: int) -> None:
    assert window_spans(answer, Span(10, 20), 0.5) == (spans, useless)


def test_ends_move_to_the_nearest_of_the_closer_look() -> None:
    look = Span(1, 3)
    assert sharpen_span(Span(2, 8), [], 1, 0.1) == Span(2, 8)
    # seen to go on from the window's very start: the end lies there or before
    assert sharpen_span(Span(2, 8), [(look, SpanSet([(1, 3)]))], 1, 0.1) == Span(1, 8)
    # inside counts before the edge
    assert sharpen_span(Span(2, 8), [(look, SpanSet([(1, 1.4), (2.7, 3)]))], 1, 0.1) == Span(2.7, 8)
    # what is too far away belongs to something else
    assert sharpen_span(Span(2, 8), [(Span(4, 6), SpanSet([(4.5, 6)]))], 1, 0.1) == Span(2, 8)
    # never reversed
    assert sharpen_span(Span(2, 2.5), [(Span(1, 3.5), SpanSet([(1.5, 1.8), (2.9, 3.2)]))], 1, 0.1).duration > 0


def test_boxes_go_to_the_times_they_name() -> None:
    def box(t: float | None, x: float) -> TimedBox:
        return TimedBox(t, (x, 0, x + 1, 1))

    times = np.array([1.27, 2.0, 3.0])
    got, left = match_boxes([box(3.0, 3), box(1.3, 1), box(1.3, 9), box(7, 9)], times, 0.06)
    assert got[:, 0].tolist() == pytest.approx([1, np.nan, 3], nan_ok=True) and left == 2
    got, left = match_boxes([box(None, 1), box(None, 2), box(None, 3)], times, 0.06)
    assert got[:, 0].tolist() == [1, 2, 3] and left == 0
    assert match_boxes([box(None, 1)], times, 0.06)[1] == 1
    assert match_boxes([box(0.0, 5)], times[:1], 0.06)[0][0, 0] == 5


@pytest.fixture
def info(moving_clip: Path) -> VideoInfo:
    return probe(moving_clip)


def test_frames_are_those_shown_on_the_grid(info: VideoInfo) -> None:
    assert frame_times(info, Span(0, 6), 2).tolist() == [k / 2 for k in range(12)]
    assert frame_times(info, Span(1.26, 1.3), 2).round(3).tolist() == [1.2]
    # a video of ten frames a second has no more
    assert len(frame_times(info, Span(0, 6), 25)) == 60


def test_memory_is_bounded_whatever_the_length(info: VideoInfo) -> None:
    size = info.width * info.height * 3
    looks = [
        FrameRequest("when", np.arange(1000.0) + 800 * k, info.width, "?", None, 1, 1, seed=s)
        for k in range(200)
        for s in range(2)
    ]
    for look, other in zip(looks[::2], looks[1::2], strict=True):
        object.__setattr__(other, "times", look.times)
    got = list(memory_groups(looks, info))
    assert [look for group in got for look in group] == looks and len(got) > 100
    for group in got:
        assert sum(len(t) for t in {id(g.times): g.times for g in group}.values()) * size <= GROUP_BYTES


class Red:
    """Knows the moving clip: the red thing is there from 1 to 4 s, 30 wide, from x = -30 at 1 s to 160 at 4 s."""

    def __init__(self) -> None:
        self.prompts: list[tuple[str, list[float]]] = []

    def __call__(self, request: Request) -> str:
        *stamps, prompt = [p["text"] for p in request.parts() if p["type"] == "text"]
        times = np.array([float(s.split()[0][1:]) for s in stamps])
        self.prompts.append((prompt, times.tolist()))
        if prompt.startswith("Find when"):
            inside = times[(times > 0.95) & (times < 3.95)]
            step = float(np.diff(times).min())
            return json.dumps([{"start": inside[0], "end": round(inside[-1] + step, 2)}] if len(inside) else [])
        if prompt.startswith("Which"):
            return "the red one"
        rows = []
        for t in times[(times > 0.95) & (times < 3.95)]:
            x = (t - 1) / 3 * 190 - 30
            if x < -29:
                continue  # not yet in the frame
            rows.append(
                {"time": t, "bbox_2d": [round(v / 160 * 1000) for v in (max(x, 0), 80, x + 30, 112)], "label": ""}
            )
        return json.dumps(rows)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Red, SecondLevel]]:
    """Shows few frames at a time: six seconds need several windows, and boxes several chunks."""
    red = Red()
    with ChatServer(red) as server:
        backend = EndpointBackend(f"{server.url}#test-model", cache=Cache(tmp_path))
        yield red, SecondLevel(backend, sampling=SamplingConfig(tokens=500, boxes=2))
        backend.close()


def test_a_short_clip_as_if_it_were_long(small: tuple[Red, SecondLevel], info: VideoInfo) -> None:
    red, grounder = small
    plan = grounder.estimate(info, GroundingRequest("red", span=Span(1, 4)))
    found = grounder.ground(info, GroundingRequest("red"))
    assert found.status == "answered" and len(found.spans) == 1
    assert found.spans[0].start == pytest.approx(1.0, abs=0.05) and found.spans[0].end == pytest.approx(4.0, abs=0.05)
    whens = [(p, t) for p, t in red.prompts if p.startswith("Find when")]
    # no call shows the whole, and each says which part it shows
    assert len(whens) > 3 and all("You see the part from" in p for p, _ in whens)
    assert all(grounder.backend.prompt_tokens(len(t), 160, 120, p) <= 500 for p, t in whens)
    wheres = [(p, t) for p, t in red.prompts if p.startswith("Given")]
    assert len(wheres) == 2 == plan["steps"]["where"]["calls"]
    (first, shown), (second, then) = wheres
    # at 1.0 it is not yet in the frame; 2.0 is the last of the first chunk, and is shown to the second
    assert shown == [1.0, 2.0] and "In the first frame" not in first and then == [2.0, 3.0, 3.9]
    x = round((1 / 3 * 190 - 30) / 160 * 1000)
    assert f"In the first frame, at 2.0 seconds, it is at [{x}, 500, " in second and "seconds: 3.0, 3.9." in second
    assert all("the red one" in p for p, _ in wheres)
    (tube,) = found.tubes
    assert tube.times.tolist() == pytest.approx([2.0, 3.0, 3.9])
    assert found.reading == {"target": "the red one"} and found.warnings == []


def test_windows_share_what_was_decoded(small: tuple[Red, SecondLevel], info: VideoInfo) -> None:
    _, grounder = small
    found = grounder.ground(info, GroundingRequest("red", within=Span(0, 5.9)))
    assert found.costs is not None and found.costs.calls == len(found.costs.trace)
    assert found.frames_decoded < found.frames_shown


def test_only_time_is_asked_of_a_family_that_has_no_boxes(small: tuple[Red, SecondLevel], info: VideoInfo) -> None:
    red, grounder = small
    grounder.backend.dialect = DIALECTS["llava-onevision"]
    found = grounder.ground(info, GroundingRequest("red"))
    assert found.status == "answered" and found.tubes == [] and "only time was asked" in found.warnings[0]
    assert {p.split()[0] for p, _ in red.prompts} == {"Find"}
    assert "where" not in grounder.estimate(info, GroundingRequest("red"))["steps"]


def test_two_groups_in_vain_end_the_asking(info: VideoInfo, tmp_path: Path) -> None:
    """A call that fails alone is no reason to give up; a model that is gone is not asked for every part of a film."""
    with ChatServer(faults=[Fault("status", status=400), None]) as server:
        backend = EndpointBackend(f"{server.url}#test-model", cache=Cache(tmp_path))
        runner = CallRunner(backend, info, GroundingRequest())
        looks = [FrameRequest("when", info.times[k : k + 1], 80 + 2 * (k % 2), "?", None, 10, 1) for k in range(12)]
        first = runner.ask(looks[:2])
        assert [bool(r.error) for r in first] == [True, False]
        server.always = Fault("status", status=400)
        rest = runner.ask(looks[2:])
        backend.close()
    assert all(r.error for r in rest) and len(server.requests) == 4
    assert "11 of 12 calls failed, so the answer is incomplete: " in runner.all_warnings()[0]
    assert runner.costs.calls == 1 and len(runner.costs.trace) == 4


def test_times_closer_than_a_tenth_keep_their_own_boxes(tmp_path: Path) -> None:
    """At more than ten boxes a second times are listed with two decimals, and each frame gets its own box."""
    path = tmp_path / "quick.mp4"
    with FrameWriter(path, 80, 60, 50) as writer:
        for k in range(100):
            writer.write(np.full((60, 80, 3), k, np.uint8))

    def says(request: Request) -> str:
        prompt = request.text()
        if "Which one" in prompt:
            return "it"
        times = [float(t) for t in prompt.split("at these seconds: ")[1].split(". ")[0].split(", ")]
        return json.dumps([{"time": t, "bbox_2d": [0, 0, round(400 * t) + 10, 500], "label": ""} for t in times])

    quick = probe(path)
    with ChatServer(says) as server:
        backend = EndpointBackend(f"{server.url}#test-model", cache=Cache(tmp_path))
        found = SecondLevel(backend, sampling=SamplingConfig(boxes=10)).ground(
            quick, GroundingRequest("it", span=Span(0.5, 1.5), rate=50)
        )
        backend.close()
    (tube,) = found.tubes
    assert len(tube) == 50 and found.warnings == []
    assert np.allclose(tube.boxes[:, 2], (400 * tube.times + 10) * 80 / 1000, atol=0.1)
