"""`whenwhere.batch` as a notebook calls it: ids, windows, resuming, callbacks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import whenwhere
from whenwhere import batch
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.questions import read_questions
from whenwhere.errors import SettingError
from whenwhere.records import Grounding
from whenwhere.results import ResultStore
from whenwhere.session import Session
from whenwhere.spans import Span, SpanSet

RED, BLUE = "the red thing moves right", "something blue moves down"


class Log(whenwhere.BatchCallback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.records: list[Grounding] = []

    def on_begin(self, result: whenwhere.BatchResult) -> None:
        self.begun.append((result.questions, result.videos))

    def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
        self.records.append(record)


@pytest.fixture
def asked(moving_clip: Path) -> list[Item]:
    """Two questions with ids of their own, one of which is about a window, and one without an id."""
    video = str(moving_clip)
    return [Item("q/1", video, RED), Item("q/2", video, BLUE, window=Span(4, 5)), Item("", video, BLUE)]


def test_ids_and_windows_are_kept(asked: list[Item], tmp_path: Path) -> None:
    log = Log()
    result = whenwhere.batch(asked, tmp_path, callback=log, exports=["srt", "html"])
    assert log.begun == [(3, 1)] and str(result) == "3 answered" and result.failed == 0
    first, second, third = result.records()
    assert log.records == [first, second, third]
    assert [first.id, second.id] == ["q/1", "q/2"] and third.id == third.identity != second.identity
    # the window is where it was searched
    assert second.span_set == SpanSet([(4, 5)]) and third.span_set.duration > 2
    assert [p.name for p in sorted(tmp_path.glob("*/*.srt"))] == [
        "01-the-red-thing-moves-right.srt", "02-something-blue-moves-down.srt", "03-something-blue-moves-down.srt",
    ]  # fmt: skip
    assert result.pages == [tmp_path / "moving" / "page.html"]


def test_the_same_call_resumes(asked: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch(asked, tmp_path)
    log = (tmp_path / "moving" / "grounding.jsonl").read_bytes()
    monkeypatch.setattr(Session, "ask", None)  # nothing is asked again
    again = batch(asked, tmp_path)
    assert str(again) == "3 answered, 3 were there already"
    assert (tmp_path / "moving" / "grounding.jsonl").read_bytes() == log
    # the same question under another id takes the stored answer
    batch([replace(asked[0], id="other")], tmp_path)
    found = list(again.records())
    assert [found[0].id, found[1].id, found[3].id] == ["q/1", "q/2", "other"]
    assert found[3].spans == found[0].spans and found[3].identity == found[0].identity


def test_two_windows_of_one_sentence_are_two_questions(moving_clip: Path, tmp_path: Path) -> None:
    """Without ids too: neither takes the other's place when the batch is run again."""
    rows = [{"video": str(moving_clip), "query": BLUE, "window": window} for window in ([3, 4], [4.5, 5.5], [3, 4])]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for reused in (0, 2):
        result = batch(tmp_path / "m.jsonl", tmp_path / "out")
        assert (result.questions, result.reused) == (2, reused)
    first, second = result.records()
    assert second.span_set == SpanSet([(4.5, 5.5)]) and first.span_set.clip(4, 3) == first.span_set


def test_settings_of_all_questions(asked: list[Item], tmp_path: Path) -> None:
    settings = whenwhere.GroundingSettings(rate=2, span=Span(1, 2))
    first, second, _ = batch(asked, tmp_path, settings=settings).records()
    assert first.span_set == SpanSet([(1, 2)]) and first.settings is not None and first.settings.rate == 2
    # one cannot search in a window and know the time
    assert second.error is not None and second.error.kind == "query" and second.id == "q/2"
    with pytest.raises(SettingError, match="no export 'docx'"):
        batch(asked, tmp_path, exports=["docx"])
    with pytest.raises(SettingError, match="no model 'psychic'"):
        batch(asked, tmp_path, model="psychic")


def test_records_of_earlier_versions_are_found(tmp_path: Path) -> None:
    """Records without `identity` had it as their id."""
    store = ResultStore(tmp_path, "a.mp4", None)
    old = Grounding(id="a-dog-1", query="a dog", status="absent")
    store.add(old)
    found = store.find("a dog", "a-dog-1", "q7")
    assert found is not None and (found.id, found.identity, found.status) == ("q7", "a-dog-1", "absent")
    assert [r.id for r in ResultStore(tmp_path, "a.mp4", None).records] == ["a-dog-1", "q7"]


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [
        {"video": "a.mp4", "query": "a dog", "window": [3, 1]},
        {"video": "a.mp4", "query": "a dog", "id": 7},
        {"video": "a.mp4", "query": "a dog", "window": None, "id": None},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_questions(tmp_path / "m.jsonl")
    assert [f.split(": ", 1)[1] for f in found.faults] == [
        "'window' ends at 1 s, not after its start at 3 s", "'id' is 7, not text",
    ]  # fmt: skip
    assert [(i.id, i.window) for i in found.items] == [("", None)]


def test_answers_to_items_whose_times_count_from_their_window(moving_clip: Path, tmp_path: Path) -> None:
    """The record has the video's seconds; the item, like those of TVGBench, has seconds of the window."""
    truth = span_array([(0.0, 1.5)])
    item = Item("q", str(moving_clip), RED, truth, duration=1.5, window=Span(1.5, 3), offset=1.5)
    (record,) = batch([item], tmp_path).records()
    assert record.span_set == SpanSet([(1.5, 3)])
    report = whenwhere.evaluate("manifest", [item], tmp_path, resamples=10)
    assert report.metrics["mIoU"] == 1.0
