"""What a batch must not lose: stored answers, whatever happens to videos, names, lines and folders around them."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import whenwhere
from whenwhere import batch
from whenwhere.datasets.item import Item
from whenwhere.errors import MediaError, OutputError
from whenwhere.export import EXPORTERS
from whenwhere.records import Grounding, SpanRecord, TubeRecord, VideoRecord
from whenwhere.results import ResultStore, folder_name, read_results
from whenwhere.session import Session

RED, BLUE = "the red thing moves right", "something blue moves down"


class Log(whenwhere.BatchCallback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[Grounding] = []
        self.warnings: list[str] = []
        self.bugs: list[Exception] = []
        self.unwritten: list[Path] = []

    def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
        self.records.append(record)

    def on_warning(self, sentence: str) -> None:
        self.warnings.append(sentence)

    def on_bug(self, error: Exception) -> None:
        self.bugs.append(error)

    def on_unwritten(self, path: Path, error: Exception) -> None:
        self.unwritten.append(path)


def lines(folder: Path, name: str = "grounding.jsonl") -> list[bytes]:
    path = folder / name
    return path.read_bytes().splitlines() if path.exists() else []


def ask(out: Path, *questions: tuple[Any, str], **options: Any) -> tuple[whenwhere.BatchResult, Log]:
    log = Log()
    return batch([Item("", str(video), query) for video, query in questions], out, callback=log, **options), log


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The questions that are really computed."""
    real, computed = Session.ask, list[str]()

    def counted(self: Session, query: str, settings: Any) -> Any:
        computed.append(query)
        return real(self, query, settings)

    monkeypatch.setattr(Session, "ask", counted)
    yield computed


def test_a_video_that_is_away_keeps_its_answers(moving_clip: Path, tmp_path: Path, asked: list[str]) -> None:
    nas, out = tmp_path / "nas" / "v.mp4", tmp_path / "out"
    nas.parent.mkdir()
    shutil.copy(moving_clip, nas)
    ask(out, (nas, RED))
    before = lines(out / "v")
    nas.parent.rename(tmp_path / "away")
    result, log = ask(out, (nas, RED), (nas, BLUE))
    # both failed now, but the answer is still the record; the failure of the other is recorded with the video's name
    assert str(result) == "2 failed" and [r.status for r in log.records] == ["failed", "failed"]
    assert lines(out / "v")[:1] == before
    (stored, failed) = result.records()
    assert stored.status == "answered" and failed.video is not None and failed.video.path == str(nas)
    (tmp_path / "away").rename(nas.parent)
    result, _ = ask(out, (nas, RED), (nas, BLUE))
    assert str(result) == "2 answered, 1 were there already" and asked == [RED, BLUE]
    assert [r.status for r in result.records()] == ["answered", "answered"] and lines(out / "v")[:1] == before


@pytest.mark.parametrize("damage", ["truncated", "other video", "empty", "folder"])
def test_answers_come_back_with_their_video(moving_clip: Path, tmp_path: Path, asked: list[str], damage: str) -> None:
    """Half of a file on a network disk is another video for a while. What is paid for is not asked again."""
    video, out = tmp_path / "v.ts", tmp_path / "out"
    data = moving_clip.read_bytes()
    video.write_bytes(data)
    ask(out, (video, RED), (video, BLUE), exports=["srt"])
    before, files = lines(out / "v"), sorted((out / "v").glob("*.srt"))
    video.unlink()
    if damage == "folder":
        video.mkdir()
    else:
        video.write_bytes({"truncated": data[:3000], "empty": b"", "other video": data + b"\0\0\0\x08free"}[damage])
    ask(out, (video, RED), exports=["srt"])
    assert all(file.exists() for file in files)
    (video.rmdir if damage == "folder" else video.unlink)()
    video.write_bytes(data)
    computed = len(asked)
    result, _ = ask(out, (video, RED), (video, BLUE))
    assert result.reused == 2 and len(asked) == computed
    stored = [Grounding.from_json(line) for line in lines(out / "v")]
    assert [(r.query, r.spans) for r in stored] == [(r.query, r.spans) for r in map(Grounding.from_json, before)]


def test_two_videos_that_begin_alike(moving_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One name, one first MiB, two contents: two folders, and each answer stays."""
    monkeypatch.setattr(sys.modules["whenwhere.video.probe"], "sha256_1mb", lambda path: "the same")
    videos = [tmp_path / name / "cam.mp4" for name in ("one", "two", "three")]
    for i, video in enumerate(videos):
        video.parent.mkdir()
        video.write_bytes(moving_clip.read_bytes() + b"\0\0\0\x08free" * i)
    for reused in (0, 3, 3):
        result, log = ask(tmp_path / "out", *((video, RED) for video in videos))
        assert result.reused == reused
        assert sorted(r.video.path for r in result.records() if r.video) == sorted(map(str, videos))
        assert [r.video.path for r in log.records if r.video] == list(map(str, videos))
    assert len({r.video.content for r in log.records if r.video}) == 3
    # the name of a video that changes after its first MiB is not enough
    videos[0].write_bytes(moving_clip.read_bytes() + b"\0\0\0\x08free" * 9)
    assert ask(tmp_path / "out", (videos[0], RED))[0].reused == 0


def test_copies_and_moved_videos(moving_clip: Path, tmp_path: Path, asked: list[str]) -> None:
    """A copy has an answer of its own that costs nothing; a video that was moved keeps its folder."""
    one, two, out = tmp_path / "one" / "v.mp4", tmp_path / "two" / "v.mp4", tmp_path / "out"
    for video in (one, two):
        video.parent.mkdir()
        shutil.copy(moving_clip, video)
    result, _ = ask(out, (one, RED), (two, RED))
    assert [r.video.path for r in result.records() if r.video] == [str(one), str(two)] and result.reused == 1
    # another spelling of the same path is the same video
    assert ask(out, (tmp_path / "one" / ".." / "one" / "v.mp4", RED))[0].reused == 1
    assert len(list(out.glob("*/"))) == 2
    shutil.move(one.parent, tmp_path / "moved")
    assert ask(out, (tmp_path / "moved" / "v.mp4", RED))[0].reused == 1
    assert len(list(out.glob("*/"))) == 2 and asked == [RED]


def test_videos_that_cannot_be_read_are_recorded_with_their_names(tmp_path: Path) -> None:
    names = [os.fsdecode(tmp_path / part / "x.mp4") for part in ("C", "D", "missing")]
    names += [
        os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"),
        os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe8.mp4"),
    ]
    for name in (*names[:2], *names[3:]):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Path(name).write_text(f"This is no film but {len(name)} words.")
    for _ in range(2):
        result, _ = ask(tmp_path / "out", *((name, "a dog") for name in names))
        stored = list(result.records())
        assert str(result) == "5 failed" and len(stored) == 5
        assert sorted(r.video.path for r in stored if r.video) == sorted(
            name.encode("utf-8", "replace").decode() for name in names
        )


def test_a_failure_never_replaces_an_answer(moving_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not one of other settings, or one of the same question for its calls (`trace`)."""
    ask(tmp_path, (moving_clip, RED))
    before = lines(tmp_path / "moving")

    def broken(*_: Any) -> None:
        raise MediaError("it broke")

    monkeypatch.setattr(Session, "ask", broken)
    for chosen in (whenwhere.GroundingSettings(rate=2), whenwhere.GroundingSettings(trace=True)):
        result, log = ask(tmp_path, (moving_clip, RED), settings=chosen)
        assert str(result) == "1 failed" and log.records[0].error is not None
        assert lines(tmp_path / "moving") == before


RECORD = json.loads(Grounding(id="a-cat-1", query="a cat", status="absent").to_json())
UNREADABLE = {
    "a newer version": json.dumps(RECORD | {"version": 2}),
    "an added key": json.dumps(RECORD | {"masks": []}),
    "an added status": json.dumps(RECORD | {"status": "perhaps"}),
    "a flipped bit": '{"version":1,"id":"a-cat-1","query":"a cat\x05,"status":"absent"}',
    "nested deep": "[" * 50_000,
    "a huge number": '{"version":1,"id":' + "9" * 5000 + "}",
    "not an object": "5",
    "not UTF-8": '{"version":1,"id":"\udcff"}',
    "words": "keep this",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_lines_that_cannot_be_read_stay(moving_clip: Path, tmp_path: Path, kind: str) -> None:
    """Byte for byte, in their place, and with their number; also where other lines are replaced."""
    line = UNREADABLE[kind].encode("utf-8", "surrogateescape")
    ask(tmp_path, (moving_clip, RED))
    log = tmp_path / "moving" / "grounding.jsonl"
    first = log.read_bytes()
    log.write_bytes(first + line + b"\n" + b'{"version":1,"id":"torn')
    result, told = ask(tmp_path, (moving_clip, BLUE), exports=["srt"])
    assert str(result) == "1 answered" and "1 of the lines" in told.warnings[0]
    assert log.read_bytes().startswith(first + line + b"\n") and len(lines(log.parent)) == 3
    assert [p.name[:2] for p in log.parent.glob("*.srt")] == ["03"]
    # the first is replaced, and the file is rewritten
    ask(tmp_path, (moving_clip, RED), settings=whenwhere.GroundingSettings(rate=2), exports=["srt"])
    found = lines(log.parent)
    assert found[1] == line and len(found) == 3 and Grounding.from_json(found[0]).settings.rate == 2  # type: ignore[union-attr]
    assert sorted(p.name[:2] for p in log.parent.glob("*.srt")) == ["01", "03"]
    assert [r.query for r in read_results(tmp_path)] == [RED, BLUE]


def test_only_lines_that_cannot_be_read(moving_clip: Path, tmp_path: Path) -> None:
    """The folder of a newer version is not taken over by another video of that name."""
    video = {"path": "elsewhere/moving.mp4", "size": 7}
    (tmp_path / "moving").mkdir()
    text = json.dumps(RECORD | {"version": 2, "video": video}) + "\n"
    (tmp_path / "moving" / "grounding.jsonl").write_text(text)
    ask(tmp_path, (moving_clip, RED))
    assert (tmp_path / "moving" / "grounding.jsonl").read_text() == text
    assert [r.query for r in read_results(tmp_path)] == [RED]


def test_what_another_program_wrote_meanwhile_is_kept(tmp_path: Path) -> None:
    """Two parts of a batch may share a folder by mistake: neither deletes lines of the other."""
    one = ResultStore(tmp_path, "v.mp4", None)
    for n in (1, 2):
        one.add(Grounding(id=f"{n}", query="a dog", status="absent", identity=f"i{n}"))
    two = ResultStore(tmp_path, "v.mp4", None)
    two.add(Grounding(id="9", query="a cat", status="absent", identity="i9"))
    one.add(Grounding(id="1", query="a dog", status="unsure", identity="i3"))
    for store in (one, two):
        store.compact()
    assert [r.query for r in read_results(tmp_path)] == ["a dog", "a dog", "a cat", "a dog"]
    ResultStore(tmp_path, "v.mp4", None).compact()
    assert [(r.id, r.status) for r in read_results(tmp_path)] == [("1", "unsure"), ("2", "absent"), ("9", "absent")]


def test_stores_that_begin_at_once_share_no_folder(tmp_path: Path) -> None:
    """Two videos of one name, asked by two processes: neither has stored anything when the other looks."""
    start = threading.Barrier(8)

    def begin(n: int) -> ResultStore:
        start.wait()
        return ResultStore(tmp_path, f"{n % 4}/v.mp4", "the same", f"content {n % 4}")

    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(begin, range(8)))
    assert len({store.folder for store in stores}) == 4
    assert all(one.folder == two.folder for one, two in zip(stores[:4], stores[4:], strict=True)), (
        "one video, one folder"
    )
    # A process that was killed before its first answer finds its folder again, and no claim stays beside an answer.
    for n, store in enumerate(stores[:4]):
        again = ResultStore(tmp_path, f"{n}/v.mp4", "the same", f"content {n}")
        assert again.folder == store.folder
        again.add(Grounding(id=f"{n}", query="a dog", status="absent", video=VideoRecord(path=f"{n}/v.mp4")))
        assert [file.name for file in store.folder.iterdir()] == ["grounding.jsonl"]


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_that_is_taken_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Between the look at the folder and the claim, another process claims it, answers and goes."""
    real, others = whenwhere.results.write_new, []

    def late(path: Path, data: bytes) -> bool:
        if not others:
            others.append(path)
            other = ResultStore(tmp_path, "one/v.mp4", "a", "a")
            other.add(
                Grounding(id="1", query="a dog", status="absent", video=VideoRecord(path="one/v.mp4", content="a"))
            )
        return real(path, data)

    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(whenwhere.results, "write_new", late)
    two = ResultStore(tmp_path, "two/v.mp4", "b", "b")
    assert two.folder != tmp_path / "v" and two.records == []
    assert [file.name for file in (tmp_path / "v").iterdir()] == ["grounding.jsonl"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["answer", "failed", "incomplete", "odd"])), max_size=12)
)
def test_any_history_of_a_folder(tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, str]]) -> None:
    """Whatever is stored in whatever order: the latest answer stays, odd lines stay, and numbers stay."""
    out = tmp_path_factory.mktemp("history")
    answers: dict[str, int] = {}
    numbers: dict[str, str] = {}
    odd = 0
    for n, (query, kind) in enumerate(history):
        store = ResultStore(out, "v.mp4", None)
        if kind == "odd":
            store.folder.mkdir(exist_ok=True)
            with open(store.log, "a") as f:
                f.write(f'{{"version": 2, "n": {n}}}\n')
            odd += 1
            continue
        record = Grounding.model_validate(
            {
                "id": f"{n}", "query": query, "status": "failed" if kind == "failed" else "absent", "identity": f"{n}",
                "error": {"kind": "media", "message": f"{n}"} if kind == "failed" else None,
                "parse": {"mode": "strict", "status": "incomplete"} if kind == "incomplete" else None,
            }
        )  # fmt: skip
        store.add(record)
        if kind != "failed":
            answers[query] = n
        number = store.path(record).name
        assert numbers.setdefault(query, number) == number
        if n % 2:
            store.compact()
    ResultStore(out, "v.mp4", None).compact()
    found = list(read_results(out))
    assert {r.query: int(r.id) for r in found if r.status != "failed"} == answers
    assert len({r.query for r in found}) == len(found) and len(lines(out / "v")) == len(found) + odd
    store = ResultStore(out, "v.mp4", None)
    assert {r.query: store.path(r).name for r in store.records} == numbers


@pytest.mark.parametrize("what", ["file", "dangling link", "log is a folder", "log is a pipe", "log is a link"])
def test_a_place_that_cannot_be_used(moving_clip: Path, tmp_path: Path, asked: list[str], what: str) -> None:
    """It costs at most that video, and nothing that is paid for is computed where it cannot be stored."""
    out, theirs = tmp_path / "out", tmp_path / "theirs"
    theirs.write_text("theirs\n")
    folder = out / "moving"
    out.mkdir()
    if what == "file":
        folder.write_text("theirs\n")
    elif what == "dangling link":
        folder.symlink_to(tmp_path / "nowhere")
    else:
        folder.mkdir()
        log = folder / "grounding.jsonl"
        make = {"log is a folder": log.mkdir, "log is a pipe": lambda: os.mkfifo(log)}
        make.get(what, lambda: log.symlink_to(theirs))()
    other = tmp_path / "other.mp4"
    shutil.copy(moving_clip, other)
    result, log_ = ask(out, (moving_clip, RED), (other, RED), exports=["html"])
    assert theirs.read_text() == "theirs\n" and log_.bugs == []
    if what in ("file", "dangling link"):
        assert str(result) == "2 answered" and len(result.pages) == 2 and len(asked) == 2
    else:
        assert str(result) == "1 answered, 1 failed" and len(asked) == 1
        assert log_.records[0].error is not None and log_.records[0].error.kind == "output"


FAULTS = [
    ZeroDivisionError("a bug"),
    RecursionError(),
    MemoryError(),
    KeyError("x"),
    OSError(5, "a disk"),
    StopIteration(),
]


@pytest.mark.parametrize(
    ("place", "error"),
    [*((place, FAULTS[0]) for place in ("open", "store", "find", "add", "export", "page", "compact")),
     *(("ask", error) for error in FAULTS)],
    ids=str,
)  # fmt: skip
def test_nothing_about_a_video_ends_the_batch(
    moving_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    """One boundary around everything: the other video is answered, and every question has a status."""
    shutil.copy(moving_clip, tmp_path / "bad.mp4")

    def failing(real: Any, bad: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if bad(*given):
                raise error
            return real(*given, **named)

        return call

    def patch(target: Any, name: str, bad: Any) -> None:
        monkeypatch.setattr(target, name, failing(getattr(target, name), bad))

    if place == "open":
        patch(whenwhere.session, "open", lambda source, *_: "bad" in source)
    elif place == "store":
        patch(whenwhere.answering, "ResultStore", lambda out, source, sha, *_: "bad" in source and sha is not None)
    elif place in ("find", "add", "compact"):
        patch(ResultStore, place, lambda self, *_: "bad" in self.folder.name)
    elif place == "ask":
        patch(Session, "ask", lambda self, *_: "bad" in self.source)
    elif place == "export":
        exporter = EXPORTERS["srt"]
        write = failing(exporter.write, lambda record, *_: "bad" in record.video.path)
        monkeypatch.setitem(EXPORTERS, "srt", type(exporter)("srt", ".srt", write))
    else:
        patch(whenwhere.export.page, "write_video_page", lambda records, *_: "bad" in records[0].video.path)
    result, log = ask(
        tmp_path / "out", (tmp_path / "bad.mp4", RED), (tmp_path / "bad.mp4", BLUE), (moving_clip, RED),
        exports=["srt", "html"],
    )  # fmt: skip
    assert result.done == len(log.records) == 3 and log.records[-1].status == "answered"
    assert (tmp_path / "out" / "moving" / "page.html").exists()
    assert log.bugs and all(bug is error or bug.__cause__ is error for bug in log.bugs)
    if place in ("open", "store", "find", "ask"):
        assert result.statuses["failed"] == 2
        assert type(error).__name__ in log.records[0].error.message or place != "ask"  # type: ignore[union-attr]
    else:
        assert str(result).startswith("3 answered") and result.unwritten >= 1 and log.unwritten


@pytest.mark.parametrize("fault", ["time", "tube"])
def test_an_answer_that_cannot_be_drawn_is_alone_missing(moving_clip: Path, tmp_path: Path, fault: str) -> None:
    """The page shows the others and says what is missing, and so does the index."""
    ask(tmp_path, (moving_clip, RED))
    log = tmp_path / "moving" / "grounding.jsonl"
    record = Grounding.from_json(lines(log.parent)[0])
    odd: dict[str, Any] = {
        "time": {"spans": [SpanRecord(start=0, end=1e308)]},
        "tube": {"tubes": [TubeRecord.model_validate({"boxes": [{"t": 1e6, "box": (0, 0, 1, 1)}]})]},
    }
    record = record.model_copy(update={"query": "an odd one", "identity": "another", "filled": None} | odd[fault])
    with log.open("ab") as f:
        f.write(record.to_json().encode() + b"\n")
    result, told = ask(tmp_path, (moving_clip, BLUE), exports=["html"])
    page = (tmp_path / "moving" / "page.html").read_text()
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert [r["query"] for r in data["records"]] == [RED, "an odd one", BLUE]
    assert [r["status"] == "failed" for r in data["records"]] == [False, True, False]
    assert data["records"][1]["error"]["message"].startswith("This answer is stored, but it cannot be shown here: ")
    assert told.unwritten == [result.pages[0]] and result.unwritten == 1
    assert "an odd one" in (tmp_path / "index.html").read_text()


def test_an_interrupted_batch_writes_its_index(moving_clip: Path, tmp_path: Path) -> None:
    class Interrupted(whenwhere.BatchCallback):
        def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch([Item("", str(moving_clip), q) for q in (RED, BLUE)], tmp_path, callback=Interrupted())
    assert RED in (tmp_path / "index.html").read_text()


def test_what_a_callback_raises_ends_the_batch(moving_clip: Path, tmp_path: Path) -> None:
    """A closed pipe is no fault of the video; no answer becomes a failure by it."""

    class Closed(whenwhere.BatchCallback):
        def on_answer(self, source: str, record: Grounding, files: list[Path]) -> None:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        batch([Item("", str(moving_clip), RED)], tmp_path, callback=Closed())
    assert [r.status for r in read_results(tmp_path)] == ["answered"]


NAMES = ["x" * 300 + ".mp4", "é" * 200 + ".mp4", "http://[/x.mp4", "http://" + "x" * 500, "a\nb\x1b[31m.mp4", ".."]


@pytest.mark.parametrize("name", [*NAMES, ".mp4", "HTTP://h/X.mp4"])
def test_any_name_has_a_folder(tmp_path: Path, name: str) -> None:
    folder = folder_name(name)
    assert len(os.fsencode(folder)) <= 240 and folder.isprintable() and folder not in (".", "..") and "/" not in folder
    result, log = ask(tmp_path, (name if "://" in name else str(tmp_path / name), RED))
    assert str(result) == "1 failed" and log.bugs == []


def test_one_folder_for_each_name_that_is_too_long() -> None:
    assert folder_name("x" * 300) != folder_name("x" * 301) and folder_name("x" * 200) == "x" * 200


def test_a_folder_that_cannot_be_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ResultStore(tmp_path, "v.mp4", None).add(Grounding(id="1", query="a dog", status="absent"))
    before = lines(tmp_path / "v")
    real = os.open

    def refused(path: Any, *rest: Any) -> int:
        if str(path).endswith("grounding.jsonl"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(OutputError, match="cannot read"):
        ResultStore(tmp_path, "v.mp4", "sha", "content")
    monkeypatch.undo()
    assert lines(tmp_path / "v") == before


def test_thousands_of_questions_are_looked_up_at_once(tmp_path: Path) -> None:
    """4 000 sentences with 6 exports took as many steps as sentences for each."""
    store = ResultStore(tmp_path, "v.mp4", None)
    keys = [("query", f"{n}") for n in range(100_000)]
    store._numbers = {key: n for n, key in enumerate(keys)}
    record = Grounding(id="1", query="99999", status="absent")

    class Counted(dict[Any, Any]):
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("all questions were gone through")

    store._numbers, store._records = Counted(store._numbers), Counted()
    for _ in range(6):
        assert store.path(record).name == "99999-99999"
    assert store.find("5", "none") is None
