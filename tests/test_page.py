"""The page, driven in a real browser: what it shows, where it seeks, what it draws, and that it asks for nothing."""

import base64
import http.server
import io
import json
import os
import re
import sys
import threading
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from whenwhere import Grounding
from whenwhere.export import csv, page, srt, vtt
from whenwhere.export.page import container, prepare_media, write_video_page
from whenwhere.records import CurveRecord, SpanRecord
from whenwhere.video import FrameWriter, VideoInfo, probe

sys.path.insert(0, str(Path(__file__).parent))
import answers
import clips
from browser import browser, visit

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 25, 5
SPANS = [(0.6, 1.8), (2.6, 4.4)]
PHONE = {"width": 390, "height": 844, "touch": True}
BLUE, ORANGE, GREEN = (86, 180, 233), (230, 159, 0), (0, 200, 130)


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    path = tmp_path_factory.mktemp("page") / 'a "swinging" <thing>.mp4'
    times = np.arange(FPS * SECONDS) / FPS
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.stack([100 + x // 8, 110 + y // 6, 120 + (x + y) // 10], -1).astype(np.uint8)
    with FrameWriter(path, WIDTH, HEIGHT, FPS, audio=(clips.tone(SECONDS), 44_100)) as writer:
        for x1, y1, x2, y2 in answers.moving(times, WIDTH, HEIGHT).round().astype(int):
            image = ground.copy()
            image[y1:y2, x1:x2] = (180, 40, 50)
            writer.write(image)
    return probe(path)


@pytest.fixture(scope="module")
def records(info: VideoInfo) -> list[Grounding]:
    first = answers.answered(info, SPANS, "the red thing swings", rate=2, label="thing", fill="flow")
    first.curve = CurveRecord(start=0, step=0.5, values=[0.1, 0.6, 0.8, 0.7, 0.2, 0.5, 0.9, 0.8, 0.3, 0.1])
    hostile = answers.answered(info, [(1.0, 3.0)], answers.HOSTILE, rate=1)
    unsure = answers.silent(info, "unsure", "somebody waves")
    unsure.reading = {"events": ["wave"], "doubts": ["another candidate fits nearly as well"]}
    unsure.ranked = [SpanRecord(start=0.5, end=2.5, score=0.41)]
    box = [round(float(v), 1) for v in answers.moving(np.array([1.5]), WIDTH, HEIGHT)[0]]
    unsure.candidates = [
        {"start": 0.5, "end": 2.5, "score": -1.3, "t": 1.5, "box": box, "colours": ["red"], "enters": "left"},
        {"start": 3.0, "end": 4.0, "score": -2.0, "t": 3.5, "box": box, "colours": ["black"], "leaves": "right"},
    ]
    return [first, hostile, unsure, answers.silent(info, "absent"), answers.silent(info, "failed")]


@pytest.fixture(scope="module")
def file(info: VideoInfo, records: list[Grounding], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    beside = folder / "01 #a?<b>%41.srt"
    beside.write_text(srt.render(records[0]))
    return write_video_page(records, info, folder / "page.html", [beside])


@pytest.fixture(scope="module")
def opened(chromium, file: Path):
    """One desktop window for the tests that only look and click; `at_rest` puts it back."""
    window, seen = visit(chromium, file, own=True)
    ready(window)
    yield window, seen


@pytest.fixture
def at_rest(opened) -> Page:
    window, _ = opened
    window.evaluate("video.pause(); choose(0); focusOn(null); document.activeElement.blur(); scrollTo(0, 0)")
    seek(window, 0)
    return window


def until(window: Page, expression: str, seconds: float = 15) -> None:
    """Waits for an expression to hold (playwright's own wait needs eval, which the page's policy forbids)."""
    for _ in range(int(seconds / 0.02)):
        if window.evaluate(f"Boolean({expression})"):
            return
        window.wait_for_timeout(20)
    raise AssertionError(f"waited {seconds} s in vain for {expression}")


def ready(window: Page) -> None:
    until(window, "window.whenwhere && whenwhere.state.ready && !video.seeking")


def settled(window: Page) -> float:
    """The video's clock once a seek has ended."""
    until(window, "!video.seeking")
    return window.evaluate("video.currentTime")


def seek(window: Page, t: float) -> None:
    window.evaluate(
        """async (t) => {
            const done = new Promise((r) => video.addEventListener("seeked", r, { once: true }));
            seek(t);
            await done;
            await new Promise((r) => setTimeout(r, 40));   // the frame's own callback
        }""",
        t,
    )


def picture(window: Page, element: str) -> np.ndarray:
    """A canvas or the video's frame as RGBA."""
    url = window.evaluate(
        """(id) => {
            const from = document.getElementById(id), still = document.createElement("canvas");
            still.width = from.videoWidth || from.width;
            still.height = from.videoHeight || from.height;
            still.getContext("2d").drawImage(from, 0, 0);
            return still.toDataURL("image/png");
        }""",
        element,
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))


def drawn(window: Page) -> bool:
    return bool(picture(window, "canvas")[..., 3].any())


def assert_box(window: Page, box, colour: tuple[int, int, int], share: float = 0.9) -> None:
    """The box's four edges have the colour, what is inside and what is far outside is untouched."""
    image = picture(window, "canvas")
    width, height = window.evaluate("[data.video.width, data.video.height]")
    scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
    x1, y1, x2, y2 = np.round(np.asarray(box, float) * scale).astype(int)
    near = np.abs(image[..., :3].astype(int) - colour).max(-1) < 40
    near &= image[..., 3] > 200
    edges = [near[max(y - 1, 0) : y + 2, x1:x2].any(0) for y in (y1, y2)]
    edges += [near[y1:y2, max(x - 1, 0) : x + 2].any(1) for x in (x1, x2)]
    assert [round(float(edge.mean()), 2) for edge in edges] == pytest.approx([1] * 4, abs=1 - share)
    assert not image[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4, 3].any()
    assert not image[y2 + 5 :, :, 3].any() and not image[:, x2 + 5 :, 3].any()


def rgb(window: Page, selector: str, what: str) -> np.ndarray:
    value = window.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    return np.array([float(x) for x in re.findall(r"[\d.]+", value)[:3]])


def test_it_loads_without_errors_and_without_the_network(opened):
    window, seen = opened
    window.wait_for_timeout(200)
    assert seen.errors == []
    assert seen.foreign == []
    assert window.evaluate("data.media.kind") == "embedded"
    assert window.evaluate("document.getElementById('media')") is None  # let go once it is unpacked
    assert window.title() == 'a "swinging" <thing>.mp4 – whenwhere'
    # It begins where the first answer begins.
    assert window.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.1)


def test_a_click_on_a_span_seeks_and_the_box_is_drawn_where_it_is(at_rest, records):
    assert not drawn(at_rest), "no box outside the spans"
    at_rest.locator(".lane.chosen .span.sure").nth(1).click()
    assert settled(at_rest) == pytest.approx(2.6, abs=0.1)
    at_rest.wait_for_timeout(80)
    assert at_rest.locator(".lane.chosen .span[data-focused]").count() == 1
    assert_box(at_rest, records[0].tube().at(2.6), BLUE)
    assert at_rest.locator("#where").text_content().endswith("· model")


@pytest.mark.parametrize("t", [0.6, 1.16, 2.92, 4.2])
def test_boxes_are_drawn_at_any_time(at_rest, records, t):
    seek(at_rest, t)
    assert at_rest.evaluate("whenwhere.state.time") == pytest.approx(t, abs=1e-6)
    assert_box(at_rest, records[0].tube().at(t), BLUE)


def test_boxes_are_those_of_the_tube_at_every_time(chromium, info, tmp_path):
    several = [
        answers.answered(info, SPANS, rate=2, fill="flow"),
        answers.answered(info, SPANS, rate=2),
        answers.answered(info, [(0.33, 4.9)], rate=1),
    ]
    gap = several[2].tubes[0].boxes
    several[2].tubes[0].boxes = [b for b in gap if not 1.5 < b.t < 3.5]  # two seconds answered without a box
    several.append(
        several[2].model_copy(update={"spans": [SpanRecord(start=0.33, end=2), SpanRecord(start=2, end=4.9)]})
    )
    window, _ = visit(chromium, write_video_page(several, info, tmp_path / "page.html"))
    times = [
        round(float(t), 3) for t in np.sort(np.concatenate([info.times, np.random.default_rng(0).random(200) * 5]))
    ]
    for i, record in enumerate(several):
        shown = window.evaluate("([i, times]) => times.map((t) => whenwhere.boxes(i, t)[0])", [i, times])
        tube = record.tube()
        for t, one in zip(times, shown, strict=True):
            box = tube.at(t)
            assert (one is None) == (box is None), (i, t)
            if box is not None:
                np.testing.assert_allclose(one["box"], box, atol=1e-6)
    assert window.evaluate("whenwhere.boxes(2, 2.5)[0]") is None


def test_while_it_plays_the_box_goes_with_the_picture(at_rest, records):
    seek(at_rest, 2.6)
    at_rest.evaluate("play()")
    until(at_rest, "whenwhere.state.time > 3.1")
    at_rest.evaluate("video.pause()")
    at_rest.wait_for_timeout(120)
    t = at_rest.evaluate("whenwhere.state.time")
    assert t == pytest.approx(at_rest.evaluate("video.currentTime"), abs=2 / FPS)
    assert_box(at_rest, records[0].tube().at(t), BLUE)


def test_keys(at_rest):
    keys = at_rest.keyboard
    for key, expected in [
        ("ArrowRight", 1.0), ("ArrowRight", 2.0), ("ArrowLeft", 1.0), (".", 1.04), (".", 1.08), (",", 1.04),
        ("n", 2.6), ("p", 0.6), ("End", 5.0), ("Home", 0.0),
    ]:  # fmt: skip
        keys.press(key)
        assert settled(at_rest) == pytest.approx(expected, abs=0.01), key
    keys.press("j")
    assert (at_rest.evaluate("whenwhere.state.chosen"), settled(at_rest)) == (1, pytest.approx(1.0, abs=0.01))
    keys.press("ArrowDown")
    assert at_rest.evaluate("whenwhere.state.chosen") == 2
    keys.press("k")
    keys.press("ArrowUp")
    assert at_rest.evaluate("whenwhere.state.chosen") == 0
    keys.press("Space")
    until(at_rest, "!video.paused")
    keys.press("Space")
    until(at_rest, "video.paused")
    keys.press("?")
    assert at_rest.locator("#keys").is_visible()
    keys.press("Escape")
    assert not at_rest.locator("#keys").is_visible()


@pytest.mark.parametrize("how", ["shift", "enter", "button"])
def test_only_the_span_is_played(at_rest, records, how):
    at_rest.evaluate("video.playbackRate = 4")
    first = at_rest.locator(".lane.chosen .span.sure").first
    if how == "shift":
        first.click(modifiers=["Shift"])
    elif how == "enter":
        first.focus()
        at_rest.keyboard.press("Enter")
    else:
        at_rest.locator(".card.chosen .row .icon").first.click()
    until(at_rest, "!video.paused || video.currentTime > 1")
    until(at_rest, "video.paused")
    # However fast it went, what is seen at the end is the span's last frame.
    settled(at_rest)
    until(at_rest, "Math.abs(whenwhere.state.time - 1.76) < 1e-6")
    assert_box(at_rest, records[0].tube().at(1.76), BLUE)
    at_rest.evaluate("video.playbackRate = 1")


def test_timeline_seeks_where_it_is_clicked_and_tells_the_time_on_hover(at_rest):
    edge = at_rest.locator("#tracks").bounding_box()
    at_rest.mouse.move(edge["x"] + edge["width"] * 0.5, edge["y"] + 10)
    assert at_rest.locator("#hair-time").text_content() == "0:02.50"
    at_rest.mouse.click(edge["x"] + edge["width"] * 0.9, edge["y"] + 10)
    assert settled(at_rest) == pytest.approx(4.5, abs=0.02)
    at_rest.mouse.click(edge["x"] + edge["width"] * 0.9, at_rest.locator(".lane").nth(3).bounding_box()["y"] + 8)
    assert at_rest.evaluate("whenwhere.state.chosen") == 3
    assert at_rest.locator(".lane.chosen .curve").count() == 0
    ticks = at_rest.evaluate("[...document.querySelectorAll('.lane')[0].querySelectorAll('.dot')].length")
    assert ticks == at_rest.evaluate("data.records[0].tubes[0].boxes.length")


def test_a_hostile_sentence_is_only_text(at_rest, opened):
    assert at_rest.locator(".card .sentence").nth(1).text_content() == answers.HOSTILE.replace("\x00", "\x00")
    assert at_rest.locator("img").count() == 0
    assert opened[1].errors == []


def test_unsure_offers_what_was_seen(at_rest, records):
    card = at_rest.locator(".card").nth(2)
    card.locator(".head").click()
    assert "Not sure" in card.locator(".status").text_content()
    assert "another candidate fits nearly as well" in card.locator(".claim").text_content()
    assert card.locator("dl.facts dt").first.text_content() == "events"
    rows = card.locator(".row")
    assert rows.count() == 2
    assert "red · enters left" in rows.first.text_content() and "0.41" in rows.first.text_content()
    rows.first.locator(".go").click()
    assert settled(at_rest) == pytest.approx(1.5, abs=0.05)
    at_rest.wait_for_timeout(80)
    assert_box(at_rest, records[2].candidates[0]["box"], GREEN, share=0.35)
    assert at_rest.locator(".lane.chosen .span.guess[data-focused]").count() == 1
    seek(at_rest, 2.3)
    assert not drawn(at_rest), "one box says nothing about a second later"


def test_absent_and_failed_say_so(at_rest):
    for i, status, claim in [(3, "Not there", "It is not in this video."), (4, "Failed", "the video broke")]:
        at_rest.locator(".card .head").nth(i).click()
        assert at_rest.locator(".card .status").nth(i).text_content() == status
        assert at_rest.locator(".card").nth(i).locator(".claim").text_content() == claim


def test_downloads_are_the_exports(at_rest, records):
    def saved(i: int, name: str) -> tuple[str, str]:
        at_rest.evaluate(f"choose({i})")
        with at_rest.expect_download() as waiting:
            at_rest.locator(".card").nth(i).get_by_role("button", name=name, exact=True).click()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes().decode()

    assert saved(0, "SRT") == ("01-the-red-thing-swings.srt", srt.render(records[0]))
    assert saved(1, "VTT")[1] == vtt.render(records[1])
    assert saved(1, "CSV")[1] == csv.render(records[1])
    for i, record in enumerate(records[:3]):
        assert Grounding.from_json(saved(i, "JSON")[1]) == record
    with at_rest.expect_download() as waiting:
        at_rest.get_by_role("button", name="All answers").click()
    lines = Path(waiting.value.path()).read_text().strip().split("\n")
    assert [Grounding.from_json(line) for line in lines] == records


def test_files_beside_the_page_are_linked(at_rest, file):
    link = at_rest.locator("footer .beside a")
    assert link.text_content() == "01 #a?<b>%41.srt"
    assert Path(at_rest.evaluate("decodeURIComponent(document.querySelector('.beside a').pathname)")).exists()


def test_many_files_are_folded_away_by_sentence(chromium, info, records, tmp_path):
    names = [f"{k:02}-a-dog.{ending}" for k in (1, 2, 10) for ending in ("srt", "clip.mp4")] + [
        "grounding.jsonl",
        "1.srt",
    ]
    window, seen = visit(
        chromium, write_video_page(records, info, tmp_path / "page.html", [tmp_path / name for name in names])
    )
    beside = window.locator("footer .beside")
    assert beside.locator("summary").text_content() == "8 files beside this page"
    assert not beside.locator("a").first.is_visible()
    beside.locator("summary").click()
    assert beside.locator("h3").all_text_contents() == ["01-a-dog", "02-a-dog", "10-a-dog"]
    links = beside.locator("a").all_text_contents()
    assert links == ["grounding.jsonl", "1.srt", *["srt", "clip.mp4"] * 3]
    assert beside.locator("a").last.get_attribute("href") == "10-a-dog.clip.mp4"
    assert seen.errors == []


def test_boxes_of_several_sentences_together(at_rest, records):
    seek(at_rest, 2.64)
    colours = {tuple(c) for c in picture(at_rest, "canvas").reshape(-1, 4).tolist()}
    assert (*BLUE, 255) in colours and (*ORANGE, 255) not in colours
    button = at_rest.locator("#together")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    colours = {tuple(c) for c in picture(at_rest, "canvas").reshape(-1, 4).tolist()}
    assert (*BLUE, 255) in colours and (*ORANGE, 255) in colours
    at_rest.keyboard.press("a")
    assert button.get_attribute("aria-pressed") == "false"
    assert_box(at_rest, records[0].tube().at(2.64), BLUE)


def test_one_number_for_confidence_and_one_form_for_times(at_rest):
    card = at_rest.locator(".card").first
    assert card.locator(".status").text_content() == "2 spans · confidence 75 %"
    assert [row.strip() for row in card.locator(".rows .go").all_text_contents()] == [
        "0:00.60 – 0:01.801.20 s", "0:02.60 – 0:04.401.80 s",
    ]  # fmt: skip
    assert at_rest.locator("header .facts").text_content().startswith("0:05.00  ·")
    shown = at_rest.locator(".status, .time, .clock").all_text_contents()
    times = re.findall(r"\d[\d:]*:\d+(?:\.\d+)?", " ".join(shown))
    assert len(times) > 5 and all(re.fullmatch(r"\d:\d\d\.\d\d", t) for t in times)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_playhead_never_covers_a_label_of_the_ruler(chromium, file, width):
    window, _ = visit(chromium, file, width=width)
    ready(window)
    tops = "[...document.querySelectorAll('.tick')].map((el) => { const r = document.createRange(); "
    tops += "r.selectNodeContents(el); const b = r.getBoundingClientRect(); return [b.left, b.right, b.bottom]; })"
    labels = window.evaluate(tops)
    handle = window.locator("#knob").bounding_box()
    assert max(bottom for _, _, bottom in labels) <= handle["y"]
    assert all(a[1] < b[0] for a, b in pairwise(labels)), "labels do not touch"
    # The line passes behind the ruler.
    assert window.evaluate("Number(getComputedStyle($('playhead')).zIndex) < Number(getComputedStyle(ruler).zIndex)")


def test_a_link_leads_to_sentence_and_moment(chromium, file):
    window, seen = visit(chromium, file.as_uri() + "#t=2.2&s=2")
    ready(window)
    assert (window.evaluate("whenwhere.state.chosen"), settled(window)) == (1, pytest.approx(2.2, abs=0.01))
    window.evaluate("document.execCommand = () => { window.copied = document.activeElement.value; return true; }")
    window.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    window.keyboard.press("l")
    until(window, "window.copied")
    assert window.evaluate("copied") == file.as_uri() + "#t=2.20&s=2"
    window.evaluate("location.hash = '#t=oh&s=99'")
    window.evaluate("location.hash = '#s=1'")
    until(window, "whenwhere.state.chosen === 0")
    assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(chromium, file, scheme):
    window, seen = visit(chromium, file, scheme=scheme, **PHONE)
    ready(window)
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
    answers_at, stage_at = (window.locator(s).bounding_box() for s in (".answers", ".stage"))
    assert answers_at["y"] >= stage_at["y"] + stage_at["height"], "one column"
    small = window.evaluate(
        """[...document.querySelectorAll("button, summary, select, .beside a")].filter((el) => el.offsetParent
            && !el.matches(".span, .beside a")).map((el) => [el.id || el.textContent, el.getBoundingClientRect()])
            .filter(([, r]) => r.height < 40 || r.width < 40).map(([name, r]) => [name, r.width, r.height])"""
    )
    assert small == []
    lanes, edge = window.locator(".lane"), window.locator("#timeline").bounding_box()
    for i in range(lanes.count()):
        at = lanes.nth(i).bounding_box()
        assert at["height"] >= 8 and at["y"] + at["height"] <= edge["y"] + edge["height"], "every row is in view"
    window.locator(".lane.chosen .span.sure").nth(1).tap()
    assert settled(window) == pytest.approx(2.6, abs=0.1)
    assert (rgb(window, "body", "backgroundColor").mean() > 200) == (scheme == "light")
    # A sentence further down opens below the picture, not behind it.
    window.locator(".card .head").nth(2).tap()
    window.wait_for_timeout(700)
    opened = window.locator(".card.chosen .head").bounding_box()
    assert opened["y"] >= window.locator(".stage").bounding_box()["height"]
    assert opened["y"] < 500
    assert seen.errors == []


def test_dark_and_light(chromium, file):
    window, _ = visit(chromium, file, scheme="dark")
    ready(window)
    assert rgb(window, "body", "backgroundColor").mean() < 50
    window.locator("#theme").click()
    assert rgb(window, "body", "backgroundColor").mean() > 200
    for element in (".sentence", ".status", ".cost", ".clock"):
        assert contrast(rgb(window, element, "color"), rgb(window, ".card", "backgroundColor")) >= 4.5, element
    window.locator("#theme").click()
    for element in (".sentence", ".status", ".cost", ".clock"):
        assert contrast(rgb(window, element, "color"), rgb(window, ".card", "backgroundColor")) >= 4.5, element


def contrast(a: np.ndarray, b: np.ndarray) -> float:
    """As WCAG defines it."""

    def light(c: np.ndarray) -> float:
        c = c / 255
        return float(np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    hi, lo = sorted([light(a), light(b)], reverse=True)
    return (hi + 0.05) / (lo + 0.05)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ntsc", "embedded"),
        ("vfr", "embedded"),
        ("rotated-90", "embedded"),
        ("wide-pixels", "embedded"),
        ("edit-list", "embedded"),
        ("opus", "embedded"),
        ("late", "embedded"),
        ("ts-offset", "copy"),
        ("odd", "copy"),
        ("ten-bit", "copy"),
    ],
)
def test_the_frame_shown_is_the_frame_meant(chromium, tmp_path, name, kind):
    """The number on the picture says which frame the browser shows at a time of ours, and the box is its box."""
    if name == "late":  # sound from 0, pictures from 0.4 s
        clip = clips.write(tmp_path / "late.mp4", n=40, gop=20, times=0.4 + np.arange(40) / 20, sound="aac")
    else:
        clip = clips.make(name, tmp_path)
    info = probe(clip.path)
    record = answers.answered(info, [(0, info.duration)], fill="flow")
    window, seen = visit(chromium, write_video_page([record], info, tmp_path / "page.html"))
    ready(window)
    assert window.evaluate("data.media.kind") == kind
    for k in (0, 1, len(info.times) // 2, len(info.times) - 1):
        seek(window, float(info.times[k]))
        image = picture(window, "video")[: info.height, : info.width, :3]
        assert clips.code(np.rot90(image, info.rotation // 90)) == clip.codes[k]
        assert window.evaluate("whenwhere.state.time") == pytest.approx(info.times[k], abs=2e-3)
        assert_box(window, record.filled.boxes[k], BLUE)
    shape = window.locator("#picture").bounding_box()
    assert shape["width"] / shape["height"] == pytest.approx(info.width / info.height, rel=0.01)
    assert seen.errors == []


def test_steps_of_a_frame_follow_a_varying_rate(chromium, tmp_path):
    info = probe(clips.make("vfr", tmp_path).path)
    window, _ = visit(chromium, write_video_page([answers.answered(info, [(0, 1)])], info, tmp_path / "page.html"))
    ready(window)
    for k in range(1, 6):
        window.keyboard.press(".")
        settled(window)
        assert window.evaluate("whenwhere.state.time") == pytest.approx(info.times[k], abs=1e-3)


def test_a_video_too_large_is_linked_and_still_shows_spans_when_it_is_gone(
    chromium, info, records, tmp_path, monkeypatch
):
    monkeypatch.setattr(page, "MAX_EMBEDDED", 0)
    monkeypatch.setattr(page, "MAX_COPY", 0)
    copy = tmp_path / "a #1 <clip>.mp4"
    copy.write_bytes(Path(info.path).read_bytes())
    made = write_video_page(records, probe(copy), tmp_path / "page.html")
    assert made.stat().st_size < copy.stat().st_size + 100_000
    window, seen = visit(chromium, made)
    ready(window)
    assert window.evaluate("data.media.kind") == "linked"
    assert "has to stay there" in window.locator("footer").text_content()
    assert seen.errors == []

    copy.unlink()
    window, _ = visit(chromium, made)
    window.locator("#notice").wait_for()
    assert "a%20%231%20%3Cclip%3E.mp4" in window.locator("#notice").text_content()
    window.locator(".lane.chosen .span.sure").nth(1).click()
    assert_box(window, records[0].tube().at(2.6), BLUE)


def test_it_works_when_served(chromium, info, records, tmp_path, monkeypatch):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    write_video_page(records, info, tmp_path / "inside.html")
    monkeypatch.setattr(page, "MAX_EMBEDDED", 0)
    monkeypatch.setattr(page, "MAX_COPY", 0)
    (tmp_path / "clip.mp4").write_bytes(Path(info.path).read_bytes())
    write_video_page(records, probe(tmp_path / "clip.mp4"), tmp_path / "linked.html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}/"
        for name, asked in [("inside.html", {"inside.html"}), ("linked.html", {"linked.html", "clip.mp4"})]:
            window, seen = visit(chromium, here + name)
            ready(window)
            assert seen.errors == []
            assert {url.removeprefix(here) for url in seen.foreign} == asked
        server.shutdown()


def test_the_timeline_zooms_around_the_playhead_and_follows_it(chromium, file):
    window, seen = visit(chromium, file)
    ready(window)
    seek(window, 3.0)
    place = "document.getElementById('playhead').getBoundingClientRect().left"
    before, whole = window.evaluate(place), window.evaluate("tracks.offsetWidth")
    window.keyboard.press("+")
    assert window.evaluate("tracks.offsetWidth / state.zoom") == pytest.approx(whole, abs=1)
    assert window.evaluate("state.zoom") == 2 and window.evaluate(place) == pytest.approx(before, abs=2)
    # Two seconds fill it at the most, and whatever is sought comes into view.
    window.locator("#zoom-in").click()
    assert window.evaluate("state.zoom") == 2.5 and window.locator("#zoom-in").is_disabled()
    for t in (0.0, 4.5):
        seek(window, t)
        edges = window.evaluate("(r => [r.left + tracks.offsetLeft, r.right])(pane.getBoundingClientRect())")
        assert edges[0] - 2 <= window.evaluate(place) <= edges[1]
    # The frame under the pointer is the time that a click seeks to, also while the timeline is zoomed.
    box = window.locator("#ruler").bounding_box()
    window.mouse.click(max(box["x"], edges[0]) + 90, box["y"] + 5)
    assert abs(window.evaluate(place) - (max(box["x"], edges[0]) + 90)) < 16, "the frame before"
    window.mouse.move(edges[0] + 50, box["y"] + 5)
    window.keyboard.down("Control")
    window.mouse.wheel(0, 400)
    window.keyboard.up("Control")
    until(window, "state.zoom === 1")
    window.keyboard.press("+")
    window.keyboard.press("0")
    assert window.evaluate("pane.scrollWidth <= pane.clientWidth") and window.locator("#zoom-out").is_disabled()
    assert seen.errors == []


def test_two_fingers_zoom_the_timeline(chromium, file):
    window, _ = visit(chromium, file, **PHONE)
    ready(window)
    window.evaluate(
        """() => {
            const r = tracks.getBoundingClientRect(), y = r.top + 10;
            const touch = (type, id, x) => tracks.dispatchEvent(new PointerEvent(type, {
                pointerId: id, pointerType: "touch", isPrimary: id === 1, bubbles: true,
                clientX: r.left + x, clientY: y,
            }));
            tracks.setPointerCapture = () => {};
            touch("pointerdown", 1, 100); touch("pointerdown", 2, 160);
            for (let k = 1; k <= 6; k++) { touch("pointermove", 2, 160 + 10 * k); }
            touch("pointerup", 1, 100); touch("pointerup", 2, 220);
        }"""
    )
    assert window.evaluate("state.zoom") == pytest.approx(2, abs=0.05)


def test_small_pictures_over_the_timeline_are_the_frames_of_their_times(chromium, info, file):
    window, _ = visit(chromium, file)
    ready(window)
    until(window, "strip.width > 400 && !jobs.busy && !jobs.strip.length")
    shown = picture(window, "strip")[..., :3].astype(int)
    reds = np.argwhere((shown[..., 0] > 130) & (shown[..., 1] < 90))
    assert len(reds), "the red thing is in the strip"
    count = window.evaluate("Math.max(1, Math.round(shownWidth() / (strip.clientHeight * width / height)))")
    wide = shown.shape[1] / count
    for k in range(count):
        x = reds[(reds[:, 1] >= k * wide + 1) & (reds[:, 1] < (k + 1) * wide - 1), 1].mean() - k * wide
        x1, _, x2, _ = answers.moving(np.array([(k + 0.5) / count * SECONDS]), WIDTH, HEIGHT)[0]
        assert x / wide == pytest.approx((x1 + x2) / 2 / WIDTH, abs=0.06)
    box = window.locator("#ruler").bounding_box()
    window.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    until(window, "!peek.hidden && !jobs.busy")
    seen = picture(window, "peek")[..., :3].astype(int)
    x = np.argwhere((seen[..., 0] > 130) & (seen[..., 1] < 90))[:, 1].mean() / seen.shape[1]
    x1, _, x2, _ = answers.moving(np.array([SECONDS / 2]), WIDTH, HEIGHT)[0]
    assert x == pytest.approx((x1 + x2) / 2 / WIDTH, abs=0.05)


def test_an_answer_that_the_script_cannot_draw_is_alone_missing(chromium, info, records, tmp_path):
    data = page.page_data(records, info, replace(prepare_media(info, Path()), warnings=("the sound is damaged",)))
    data["records"][1]["tubes"] = None
    data["records"][2]["curve"] = {"start": 0, "step": 1e-5, "values": [0.5] * 400_000}
    (tmp_path / "page.html").write_text(page.document(data))
    window, seen = visit(chromium, tmp_path / "page.html")
    assert window.locator(".card").count() == window.locator(".lane").count() == len(records)
    window.locator("#sentence-2 .head").click()
    assert window.locator('#sentence-2[data-status="failed"] .claim').inner_text().startswith("This answer is stored")
    assert window.locator("#sentence-1 .status").inner_text().startswith("2 spans")
    assert window.locator("#sentence-3 .status").inner_text().startswith("Not sure")
    assert window.locator("#remarks").inner_text() == "The sound is damaged."
    assert seen.errors == []


def test_its_own_script_only(info, records):
    html = page.document(page.page_data(records, info, prepare_media(info, Path())))
    assert html.count("<script") == html.count("</script>") == 3
    assert "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-" in html
    assert "https://" not in html and html.replace("http://www.w3.org/2000/svg", "").count("http://") == 0
    block = html.split('id="data">')[1].split("</script>")[0]
    assert "<" not in block
    assert json.loads(block)["records"][1]["query"] == answers.HOSTILE


def test_containers_are_told_by_their_bytes(tmp_path):
    kinds = {"plain": "mp4", "vp9": "webm", "mkv": "", "ts-offset": "", "avi": ""}
    assert {name: container(clips.make(name, tmp_path).path) for name in kinds} == kinds
    quicktime = tmp_path / "x.mov"
    quicktime.write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ")
    assert container(quicktime) == ""


def test_names_that_are_not_utf8(tmp_path, info, chromium):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    odd.write_bytes(Path(info.path).read_bytes())
    here = probe(odd)
    record = answers.silent(here, "absent")
    window, seen = visit(chromium, write_video_page([record], here, tmp_path / "page.html", [odd]))
    ready(window)
    assert window.locator("#name").text_content() == "caf?.mp4"
    assert window.evaluate("document.querySelector('.beside a').getAttribute('href')") == "caf%E9.mp4"
    assert seen.errors == []


def test_a_span_that_starts_between_two_frames_is_entered_at_the_first_frame_inside(at_rest):
    start = (10.5) / FPS
    at_rest.evaluate(f"goTo({{ start: {start}, end: {start + 1} }})")
    settled(at_rest)
    assert at_rest.evaluate("state.time") == pytest.approx(11 / FPS, abs=2e-3)
    at_rest.evaluate(f"goTo({{ start: {start}, end: {start + 0.1 / FPS} }})")  # shorter than a frame
    settled(at_rest)
    assert at_rest.evaluate("state.time") == pytest.approx(10 / FPS, abs=2e-3)
