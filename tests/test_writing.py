"""Text in videos: which sentences ask for it, when and where it can be read, and what is said if it cannot."""

import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whenwhere
from whenwhere.errors import MissingExtraError, ModelError
from whenwhere.grounders.writing import read_text_query
from whenwhere.grounders.writing.index import WritingIndex, build_writing_index
from whenwhere.grounders.writing.matching import best_place
from whenwhere.models import ocr
from whenwhere.models.ocr import open_text_reader
from whenwhere.overlap import t_iou
from whenwhere.records import Grounding
from whenwhere.spans import SpanSet
from whenwhere.video import FrameWriter, probe

installed = pytest.mark.skipif(not ocr.is_installed(), reason="needs whenwhere[text]")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a moving ground: EXIT from 2 to 5 s and from 9 to 11 s, and a caption from 6 to 8 s."""
    file = tmp_path_factory.mktemp("writing") / "film.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (240, 426, 3), np.uint8)
    ground = cv2.GaussianBlur(noise, (0, 0), 9)
    with FrameWriter(file, 426, 240, 10) as writer:
        for k in range(120):
            t, frame = k / 10, np.roll(ground, 2 * k, 1).copy()
            if 2 <= t < 5 or 9 <= t < 11:
                cv2.putText(frame, "EXIT", (250, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
            if 6 <= t < 8:
                cv2.putText(frame, "Chapter 2: the Harbour", (20, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 0), 2)
            writer.write(frame)
    return file


def overlap(record: Grounding, spans: list[tuple[float, float]]) -> float:
    """The t_IoU of an answer with the true spans."""
    return t_iou(SpanSet((s.start, s.end) for s in record.spans), SpanSet(spans))


@pytest.mark.parametrize(
    "query, words",
    [
        ("the sign says EXIT", "exit"),
        ("The sign says no entry.", "no entry"),
        ("a sign saying no entry on the door", "no entry"),
        ('"EXIT"', "exit"),
        ('when does "Chapter 2" appear', "chapter 2"),
        ("the title “The Harbour” is shown", "the harbour"),
        ("the word goal appears on the screen", "goal"),
        ("word 'wind' is shown on screen", "wind"),
        ("a box labelled fragile", "fragile"),
        ("a bus reading 42 stops", "42"),
        ("the caption reads: breaking news", "breaking news"),
        ("SALE is written on the window", "sale"),
        ("the NBA logo on the screen", "nba"),
        ("people with signs that say vote", "vote"),
        ("subtitles appear", ""),
        ("Text appears on the screen.", ""),
        ("the end credits roll", ""),
        ("the first time text appears", ""),
    ],
)
def test_sentences_that_ask_for_text(query: str, words: str) -> None:
    found = read_text_query(query)
    assert found is not None and " ".join(found.words) == words


@pytest.mark.parametrize(
    "query",
    [
        "a man reads a book",
        'the man says "hello"',
        "the dog says woof",
        "a person reading a sign",
        "the SUV passes",
        "a woman looks at the screen",
        "the girl writes words on the board",
        "the man's hat is on the woman's head",
        "there is no text",
        'no "EXIT" sign',
        "the text disappears",
        "We see an opening title screen.",
        "many murals are painted on walls",
        "a man in a grey shirt introduces a group of BMX riders",
        'a man selects an option in a "quick" room while a woman with short hair and another person look on',
        "",
        '""',
    ],
)
def test_sentences_that_ask_for_something_else(query: str) -> None:
    assert read_text_query(query) is None


def test_what_else_a_sentence_says_is_kept_as_not_understood() -> None:
    found = read_text_query("the man in the shirt that says NIKE runs")
    assert found is not None and found.words == ("nike",) and found.extra == ("man", "runs")


@given(st.text(max_size=80))
def test_any_sentence_can_be_read(text: str) -> None:
    for query in (text, f'the sign says "{text}"', f"the word {text} appears"):
        found = read_text_query(query)
        assert found is None or all(found.words)


def test_words_are_found_in_what_a_reader_makes_of_them() -> None:
    lines = ["Vermont Skating Academy", "NORTHFIELD", "SAVINGS BANK", "HAPPYBIRTHDAY"]
    assert best_place(("northfield", "savings"), lines).parts == ((1, 0.0, 1.0), (2, 0.0, 0.58))
    assert best_place(("happy", "birthday"), lines).alike == 0.95
    assert best_place(("harbor",), ["the harbour"]).alike > 0.9
    # a short word or a number must be read exactly
    assert best_place(("sam",), ["SAN"]).alike == best_place(("1984",), ["1985"]).alike == 0
    assert best_place(("exit",), []).alike == 0
    assert best_place(("出口",), ["安全出口"]).alike == 0.95


@installed
def test_text_is_found_in_time_and_place(film: Path, tmp_path: Path) -> None:
    video = whenwhere.open(film, cache=tmp_path, model="motion")
    record = video.ground("the sign says exit").record
    assert record.status == "answered" and overlap(record, [(2, 5), (9, 11)]) > 0.8
    x1, y1, x2, y2 = record.tubes[0].boxes[1].box
    assert 240 < x1 < 256 and 50 < y1 < 62 and 305 < x2 < 335 and 76 < y2 < 92
    last = video.ground("the last time the text EXIT appears").record
    assert len(last.spans) == 1 and overlap(last, [(9, 11)]) > 0.75
    caption = video.ground('"the Harbour"').record
    assert overlap(caption, [(6, 8)]) > 0.75
    # the box is around the words and not around their whole line
    assert caption.tubes[0].boxes[1].box[0] > 120
    anything = video.ground("text is shown").record
    assert overlap(anything, [(2, 5), (6, 8), (9, 11)]) > 0.7 and (anything.confidence or 1) <= 0.6


@installed
def test_text_that_is_not_there(film: Path, tmp_path: Path) -> None:
    video = whenwhere.open(film, cache=tmp_path, model="motion")
    record = video.ground("the word umbrella appears").record
    assert record.status == "absent" and not record.spans
    assert {c["text"] for c in record.candidates or []} >= {"EXIT"}
    assert video.ground("the sign says exit", within=(5.5, 8.5)).record.status == "absent"
    # somebody's shirt may be too small to read
    assert video.ground("the man in the shirt that says umbrella runs").record.status == "unsure"
    part = video.ground("the sign says exit", within=(3, 8)).record
    assert overlap(part, [(3, 5)]) > 0.8
    boxes = video.ground("the sign says exit", span=(2.5, 4)).record
    assert [(s.start, s.end) for s in boxes.spans] == [(2.5, 4.0)] and boxes.tubes
    doubtful = video.ground("a bus with the word EXIT on it turns").record
    assert doubtful.reading and doubtful.reading["doubts"] and (doubtful.confidence or 1) <= 0.6


@installed
def test_a_picture_that_is_too_small_to_read_is_no_proof(tmp_path: Path) -> None:
    with FrameWriter(tmp_path / "tiny.mp4", 64, 48, 5) as writer:
        for _ in range(10):
            writer.write(np.full((48, 64, 3), 90, np.uint8))
    record = whenwhere.open(tmp_path / "tiny.mp4", cache=False, model="motion").ground('"EXIT"').record
    assert record.status == "unsure" and record.reading
    assert record.reading["doubts"] == ["the picture is too small to read"]


@installed
def test_a_still_picture_is_read_once_and_an_index_survives_storage(tmp_path: Path) -> None:
    frame = np.full((120, 320, 3), 60, np.uint8)
    cv2.putText(frame, "CLOSED", (60, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (250, 250, 250), 2)
    with FrameWriter(tmp_path / "still.mp4", 320, 120, 5) as writer:
        for _ in range(40):
            writer.write(frame)
    index = build_writing_index(probe(tmp_path / "still.mp4"), open_text_reader())
    assert index.read == 1 and len(index.times) == 16 and index.texts == ("CLOSED",) and len(index.frame) == 16
    again = WritingIndex.from_arrays(index.arrays())
    assert again.texts == index.texts and again.step == 0.5 and np.array_equal(again.boxes, index.boxes)


@installed
def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    open_text_reader.cache_clear()
    assert open_text_reader().read(np.full((64, 64, 3), 90, np.uint8)).texts == ()


def test_without_the_extra_the_answer_is_unsure_and_says_what_would_help(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_text_reader.cache_clear()
    monkeypatch.setattr(ocr, "is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'whenwhere\[text\]'"):
        open_text_reader()
    record = whenwhere.open(film, cache=False, model="motion").ground("the sign says exit").record
    assert record.status == "unsure" and "whenwhere[text]" in record.warnings[0]


@installed
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_a_package_that_is_not_whole(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"PP-OCRv6_det_small.onnx" if fault == "damaged" else "other.onnx": "0" * 64}
    monkeypatch.setattr(ocr, "FILES", names)
    open_text_reader.cache_clear()
    with pytest.raises(ModelError, match="half installed" if fault == "missing" else "damaged or of another version"):
        open_text_reader()
    open_text_reader.cache_clear()


@installed
def test_a_runtime_that_cannot_run_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(openvino.Core, "compile_model", refuse)
    open_text_reader.cache_clear()
    with pytest.raises(ModelError, match=r"cannot be used \(RuntimeError: no such operation\): pip install"):
        open_text_reader()
    open_text_reader.cache_clear()
