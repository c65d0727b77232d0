"""The page about all videos of a batch: what it lists, where it leads, and that it is only text."""

import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import whenwhere
from whenwhere import Grounding
from whenwhere.datasets.item import Item
from whenwhere.export.index import write_index
from whenwhere.records import ErrorRecord, SpanRecord, VideoRecord
from whenwhere.results import folder_name

sys.path.insert(0, str(Path(__file__).parent))
import answers
from browser import browser, visit

RED = "the red thing moves right"


class Text(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def record(query: str, status: str = "answered", path: str = "clips/a.mp4") -> Grounding:
    return Grounding(
        id="q",
        video=VideoRecord(path=path),
        query=query,
        status=status,  # type: ignore[arg-type]
        spans=[SpanRecord(start=1, end=2.5)] if status == "answered" else [],
        error=ErrorRecord(kind="media", message="gone") if status == "failed" else None,
    )


def test_a_batch_ends_with_its_index(moving_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = whenwhere.batch([Item("", str(moving_clip), RED)], out, exports=["html"])
    assert result.index == out / "index.html"
    # Another call about another video lists the first one too, and one that resumes writes it again.
    for _ in range(2):
        (out / "index.html").unlink(missing_ok=True)
        whenwhere.batch([Item("", str(tmp_path / "not-there.mp4"), RED)], out)
        page = Text((out / "index.html").read_text("utf-8"))
        assert page.links == ["moving/page.html", "moving/page.html#s=1", "not-there/"]
        assert [name for name in page.said if name.endswith(".mp4")] == ["moving.mp4", "not-there.mp4"]
        assert "2 videos · 2 questions" in page.said and "script" not in page.tags
        assert any(re.fullmatch(r"\d:\d\d\.\d\d – \d:\d\d\.\d\d", said) for said in page.said)
        assert any(said.startswith("Failed: ") for said in page.said)


def test_each_video_has_a_small_picture(moving_clip: Path, tmp_path: Path) -> None:
    """It is made once, shows the answered time, is loaded by a browser, and is no file of an answer."""
    out = tmp_path / "out"
    questions = [Item("", str(moving_clip), RED), Item("", str(tmp_path / "not-there.mp4"), RED)]
    whenwhere.batch(questions, out, exports=["html"])
    picture = out / "moving" / "thumbnail.jpg"
    image = np.asarray(Image.open(picture)).astype(int)
    assert ((image[..., 0] > 120) & (image[..., 1] < 100)).any(), "the red thing is in it"
    assert "thumbnail.jpg" not in (out / "moving" / "page.html").read_text()
    picture.write_bytes(before := picture.read_bytes())
    os.utime(picture, (0, 0))
    whenwhere.batch(questions, out, exports=["html"])
    assert picture.stat().st_mtime == 0 and picture.read_bytes() == before
    page = (out / "index.html").read_text()
    assert re.findall(r'<img src="([^"]+)"', page) == ["moving/thumbnail.jpg"]
    with browser() as running:
        window, seen = visit(running, out / "index.html")
        assert window.locator("h2 img").evaluate("async e => (await e.decode(), e.naturalWidth)") == image.shape[1]
        assert seen.errors == [] and seen.foreign == []


def test_only_the_latest_answer_of_a_question_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    first, second = record("q", "failed"), record("q", "absent")
    (folder / "grounding.jsonl").write_text(first.to_json() + "\n" + second.to_json() + "\n")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "grounding.jsonl").write_text("{}\n")
    (tmp_path / "folder" / "grounding.jsonl").mkdir(parents=True)
    assert whenwhere.batch([], tmp_path).failed == 0
    os.utime(tmp_path / "index.html", (0, 0))
    whenwhere.batch([], tmp_path)
    assert (tmp_path / "index.html").stat().st_mtime == 0, "what is the same is not written again"
    page = Text((tmp_path / "index.html").read_text("utf-8"))
    assert "Not there" in page.said and "gone" not in "".join(page.said)
    assert page.said.count("No answer in this folder can be read.") == 2


def test_an_index_that_cannot_be_written_is_named(moving_clip: Path, tmp_path: Path) -> None:
    class Log(whenwhere.BatchCallback):
        def on_unwritten(self, path: Path, error: Exception) -> None:
            unwritten.append(path)

    unwritten: list[Path] = []
    (tmp_path / "index.html").mkdir()
    result = whenwhere.batch([Item("", str(moving_clip), RED)], tmp_path, callback=Log())
    assert unwritten == [tmp_path / "index.html"] and result.index is None and result.failed == 1
    assert result.statuses["answered"] == 1


@pytest.mark.parametrize("name", ["index.html.mp4", "clips/INDEX.html.webm"])
def test_no_video_takes_the_name_of_the_index(name: str) -> None:
    assert folder_name(name).casefold() == "_index.html"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.text(min_size=1, max_size=30))
def test_whatever_a_sentence_holds_is_text(
    tmp_path_factory: pytest.TempPathFactory, said: list[str], name: str
) -> None:
    out = tmp_path_factory.mktemp("index")
    records = [record(query, path=name) for query in said]
    plain = [record("q") for _ in said]
    pages = [
        Text(write_index(out / f"{k}.html", [(out / "v" / "page.html", rows)]).read_text("utf-8"))
        for k, rows in enumerate((records, plain))
    ]
    assert pages[0].tags == pages[1].tags and pages[0].links == pages[1].links


def test_names_of_folders_are_quoted(tmp_path: Path) -> None:
    names = ["a #1 <b>%41", 'q"?&', "caf\udce9", "x:y"]
    rows = [(tmp_path / name / "page.html", [record(answers.HOSTILE, path=f"{name}.mp4")]) for name in names]
    page = Text(write_index(tmp_path / "index.html", rows).read_text("utf-8"))
    assert [os.fsencode(unquote(link, errors="surrogateescape")) for link in page.links[::2]] == [
        os.fsencode(f"{name}/page.html") for name in names
    ]
    assert "img" not in page.tags


# Playwright's own `:visible` lays the page out once for each of thousands of rows and takes half a minute.
VISIBLE = "places => [...document.querySelectorAll(places)].filter(e => e.checkVisibility()).map(e => e.textContent)"


def test_it_is_read_in_a_browser(tmp_path: Path) -> None:
    rows = []
    for k in range(2000):
        found = record(f"thing {k}", path=f"v{k}.mp4")
        rows.append((tmp_path / f"v{k}" / "page.html", [found, record("more", "failed" if k == 1500 else "absent")]))
    write_index(tmp_path / "index.html", rows)
    with browser() as running:
        for width in (1280, 390):
            window, seen = visit(running, tmp_path / "index.html", width=width)
            assert window.locator(".videos > li").count() == 2000
            window.locator("#show-failed").check()
            assert window.evaluate(VISIBLE, ".videos > li h2") == ["v1500.mp4"]
            assert window.evaluate(VISIBLE, "[data-status]") == ["more Failed: gone"]
            assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert seen.errors == [] and seen.foreign == []
