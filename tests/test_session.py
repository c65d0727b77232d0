"""A session from the sentence to the saved answer, on a small clip with known motion."""

import io
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import whenwhere
from whenwhere.errors import MediaError, OutputError, QueryError, SettingError
from whenwhere.export import format_of
from whenwhere.grounders import GroundingRequest, GroundingResult
from whenwhere.grounders.named import GROUNDERS, GrounderKind
from whenwhere.overlap import t_iou
from whenwhere.records import Grounding
from whenwhere.session import Answer
from whenwhere.settings import GroundingSettings
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter

RED = "the red thing moves right"
RED_TIME = SpanSet([(1, 4)])


class Says:
    """A grounder that says what it was told: for the steps a session takes after any grounder."""

    name = "says"
    found = GroundingResult("unsure")

    def ground(self, info, request) -> GroundingResult:  # type: ignore[no-untyped-def]
        return replace(Says.found, tubes=list(Says.found.tubes))

    def estimate(self, info, request) -> dict[str, int]:  # type: ignore[no-untyped-def]
        return {"frames": 0}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> type[Says]:
    monkeypatch.setitem(GROUNDERS, "says", GrounderKind(lambda parts: Says()))
    return Says


def test_when_and_where(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        answer = video.ground(RED)
    assert answer.status == "answered"
    assert t_iou(answer.spans, RED_TIME) > 0.85
    assert answer.tube is not None
    box = answer.tube.at(2.5)
    # at 2.5 s the thing's left edge is at 65, it is 30 x 24
    assert box is not None and np.allclose(box, (65, 60, 95, 84), atol=8)
    assert answer.tube.at(5) is None
    assert answer.confidence is not None and answer.record.cost.seconds > 0
    assert Grounding.from_json(answer.record.to_json()) == answer.record
    assert RED in str(answer) and "answered" in repr(answer)


def test_indexed_once_and_the_second_question_is_quick(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip, cache=False) as video:
        first = video.ground(RED)
        times = []
        for sentence in ("something blue moves down", "a red thing", "a blue thing"):
            began = time.process_time()
            assert video.ground(sentence).record.cost.frames_decoded == 0
            times.append(time.process_time() - began)
    assert first.record.cost.frames_decoded > 0
    assert min(times) < 0.05


def test_same_question_same_id(moving_clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name.mp4"
    copy.write_bytes(moving_clip.read_bytes())
    with whenwhere.open(moving_clip) as a, whenwhere.open(copy) as b:
        ids = [a.ground(RED).record.id, b.ground(f"  {RED} ").record.id]
        assert ids[0] == ids[1]
        assert ids[0].startswith("the-red-thing-moves-right-")
        others = [a.ground(RED, rate=2), a.ground(RED, span=(1, 3)), a.ground("a red thing")]
        assert len({ids[0], *(o.record.id for o in others)}) == 4
        # frames only adds to the same answer
        assert a.ground(RED, frames=True).record.id == ids[0]


def test_within_and_span(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        inside = video.ground(RED, within=(1.5, 3))
        assert inside.spans and inside.spans == inside.spans.clip(3, 1.5)
        given = video.ground(RED, span=(1.5, 3))
        assert given.spans == SpanSet([(1.5, 3)])
        assert given.tube is not None and given.tube.at(2.5) is not None
        with pytest.raises(QueryError, match="lies outside the video"):
            video.ground(RED, span=(60, 70))
        with pytest.raises(QueryError, match="start < end"):
            video.ground(RED, span=(3, 2))
        with pytest.raises(QueryError, match="one of the two"):
            video.ground(RED, span=(1, 2), within=(1, 2))


def test_rate_gives_boxes(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        one, four = video.ground(RED).tube, video.ground(RED, rate=4).tube
    assert one is not None and four is not None
    assert len(four) > 2.5 * len(one)
    assert np.diff(four.times).max() <= 0.25 * 1.25 + 1e-3


@pytest.mark.parametrize("fps", [10, 30, 24000 / 1001])
def test_frames_have_a_box_each(tmp_path: Path, says: type[Says], fps: float) -> None:
    """Exactly the frames shown inside the span, though the record rounds their times to milliseconds."""
    clip = tmp_path / "clip.mp4"
    with FrameWriter(clip, 64, 48, fps) as writer:
        for i in range(round(3 * fps)):
            writer.write(np.full((48, 64, 3), 40 + i, np.uint8))
    with whenwhere.open(clip, "says") as video:
        a, b = video.info.times[round(fps / 2)], video.info.times[round(2 * fps) + 1]
        span = SpanSet([(a, b)])
        tube = Tube(span, [a, 1.0, video.info.last_before(b)], [[5, 5, 20, 20], [9, 5, 24, 20], [30, 5, 45, 20]])
        says.found = GroundingResult("answered", 0.9, span, [tube])
        answer = video.ground("it", frames=True, fill="linear")
        inside = video.info.times[(video.info.times >= a) & (video.info.times < b)]
    filled = answer.record.filled
    assert filled is not None and filled.fill == "linear"
    assert np.allclose(filled.t, inside, atol=6e-4)
    assert len(filled.t) == len(inside)
    assert np.allclose(filled.boxes[0], [5, 5, 20, 20]) and np.allclose(filled.boxes[-1], [30, 5, 45, 20])
    shown = answer.tube
    assert shown is not None and shown.at(filled.t[3]) == tuple(filled.boxes[3])


def test_the_steps_after_a_grounder(moving_clip: Path, says: type[Says]) -> None:
    """Boxes outside the frame go, spans are cut to the video, smoothing marks what it changed."""
    span = SpanSet([(2, 9)])
    boxes = [[10, 10, 30, 30], [300, 10, 340, 30], [12, 10, 32, 30], [90, 80, 110, 100], [14, 10, 34, 30]]
    says.found = GroundingResult("answered", 0.9, span, [Tube(span, [2, 2.5, 3, 4, 5], boxes)])
    with whenwhere.open(moving_clip, "says") as video:
        answer = video.ground("it", smooth="hampel")
    assert answer.spans == SpanSet([(2, 6)])
    assert answer.tube is not None and answer.tube.times.tolist() == [2, 3, 4, 5]
    assert answer.tube.sources == ("model", "model", "smoothed", "model")
    assert any("1 boxes lay outside" in w for w in answer.warnings)


def test_an_answer_outside_the_video_is_no_answer(moving_clip: Path, says: type[Says]) -> None:
    says.found = GroundingResult("answered", 0.9, SpanSet([(7, 9)]), [Tube(SpanSet([(7, 9)]), [7], [[1, 1, 9, 9]])])
    with whenwhere.open(moving_clip, "says") as video:
        answer = video.ground("it")
    assert (answer.status, answer.spans, answer.tube) == ("unsure", SpanSet(), None)
    assert "outside the video" in answer.warnings[0]


def test_boxes_are_held_at_cuts(tmp_path: Path, says: type[Says]) -> None:
    clip = tmp_path / "cut.mp4"
    with FrameWriter(clip, 64, 48, 10) as writer:
        for i in range(60):
            writer.write(np.full((48, 64, 3), (20, 200, 90) if i < 33 else (220, 30, 160), np.uint8))
    span = SpanSet([(0, 6)])
    says.found = GroundingResult(
        "answered", 0.9, span, [Tube(span, range(6), [[10 * i, 5, 10 * i + 9, 20] for i in range(6)])]
    )
    with whenwhere.open(clip, "says") as video:
        answer = video.ground("it")
        assert video.cuts(SpanSet([(0, video.info.duration)])) == [pytest.approx(3.3)]
    assert answer.tube is not None
    assert "propagated" in answer.tube.sources
    before, after = answer.tube.at(3.2), answer.tube.at(3.3)
    assert before is not None and before.x1 == 30
    assert after is not None and after.x1 == 40


def test_one_bad_sentence_does_not_stop_the_others(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        answers = list(video.ground_many(["", RED, "x" * 10_000], GroundingSettings(rate=2)))
    assert [a.status for a in answers] == ["failed", "answered", "failed"]
    assert answers[0].record.error is not None and answers[0].record.error.kind == "query"
    assert answers[0].record.video is not None
    assert answers[1].record.settings is not None and answers[1].record.settings.rate == 2


def test_a_bug_does_not_stop_the_other_sentences(
    moving_clip: Path, says: type[Says], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = Says.ground

    def odd(self: Says, info: object, request: GroundingRequest) -> GroundingResult:
        if request.query == "odd":
            raise ZeroDivisionError("by zero")
        return real(self, info, request)

    monkeypatch.setattr(Says, "ground", odd)
    with whenwhere.open(moving_clip, model="says") as video:
        answers = list(video.ground_many(["one", "odd", "two"]))
    assert [a.status == "failed" for a in answers] == [False, True, False]
    assert answers[1].record.error is not None and answers[1].record.error.kind == "bug"
    assert "ZeroDivisionError" in caplog.text, "the traceback is logged"


@pytest.mark.parametrize(
    "settings", [{"rate": 0}, {"rate": float("nan")}, {"sample_fps": -1}, {"fill": "magic"}, {"smooth": "iron"}]
)
def test_settings_out_of_range(moving_clip: Path, settings: dict[str, object]) -> None:
    with whenwhere.open(moving_clip) as video, pytest.raises(SettingError):
        video.ground(RED, **settings)  # type: ignore[arg-type]


def test_opening_what_cannot_be_opened(tmp_path: Path, moving_clip: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        whenwhere.open(tmp_path / "none.mp4")
    with pytest.raises(SettingError, match="no model 'psychic'"):
        whenwhere.open(moving_clip, model="psychic")


@pytest.mark.parametrize("ending", ["json", "csv", "srt", "vtt", "mot.txt", "coco.json", "cvat.xml", "mp4", "clip.mp4"])
def test_save_by_ending(moving_clip: Path, tmp_path: Path, ending: str) -> None:
    with whenwhere.open(moving_clip) as video:
        files = video.ground(RED).save(tmp_path / f"red.{ending}")
    assert files and all(f.stat().st_size > 0 and f.parent == tmp_path for f in files)


def test_save_the_page(moving_clip: Path, tmp_path: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        answer = video.ground(RED)
        assert answer.save(tmp_path / "red.html") == [tmp_path / "red.html"]
        assert answer.record.filled is not None and answer.record.filled.fill == "flow"
    assert RED in (tmp_path / "red.html").read_text(encoding="utf-8")


def test_unknown_ending(moving_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.coco\.json"):
        format_of("answer.docx")
    with whenwhere.open(moving_clip) as video:
        answer = video.ground(RED)
        with pytest.raises(OutputError, match=r"\.srt"):
            answer.save(tmp_path / "answer.docx")
        with pytest.raises(OutputError, match="no export 'docx'"):
            answer.save(tmp_path / "answer", "docx")
    assert not any(tmp_path.iterdir())


def test_notebook_card(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip) as video:
        answer = video.ground("<script>alert(1)</script> red thing")
        card = answer._repr_html_()
        unsure = video.ground("qwertyuiop asdfgh")
        assert "unsure" in unsure._repr_html_()
    assert "<script" not in card and "http" not in card
    assert len(card) < 200_000
    import base64

    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"data:image/jpeg;base64,([^\"]+)", card)
    ]
    assert len(pictures) == 4
    # the box is drawn: its colour is on the picture, and the clip has none of it
    drawn = np.asarray(pictures[1].convert("RGB"), float)
    assert (np.abs(drawn - (228, 87, 46)).max(-1) < 40).sum() > 20


def test_a_folder_of_pictures(tmp_path: Path, moving_clip: Path) -> None:
    from whenwhere.video import probe, read_frames

    info = probe(moving_clip)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(read_frames(info, info.times).images):
        Image.fromarray(image).save(folder / f"{i}.png")
    with whenwhere.open(folder, frame_rate=10) as video:
        answer = video.ground(RED)
        temporary = Path(video.info.path)
        assert temporary.exists()
    assert t_iou(answer.spans, RED_TIME) > 0.85
    assert answer.record.video is not None and answer.record.video.path == str(folder)
    assert not temporary.exists()


def test_dry_run_estimate(moving_clip: Path) -> None:
    with whenwhere.open(moving_clip, cache=False) as video:
        cost = video.estimate(GroundingSettings())
        answer = video.ground(RED)
    assert abs(cost["frames"] - answer.record.cost.frames_decoded) <= 2


def test_public_names() -> None:
    assert whenwhere.Answer is Answer
    assert whenwhere.Span(1, 2) == Span(1, 2)
    assert whenwhere.open.__module__ == "whenwhere.session"
