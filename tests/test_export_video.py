"""mp4 and clip: looked at with PyAV and by our own reader, and played in a browser."""

import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from whenwhere.export import EXPORTERS
from whenwhere.video import probe, read_frames
from whenwhere.video.draw import COLOURS

sys.path.insert(0, str(Path(__file__).parent))
import answers
import clips
from browser import browser, visit

SPANS = [(0.5, 1.5), (2.0, 2.6)]


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return probe(clips.make("aac", tmp_path_factory.mktemp("clips")).path)


@pytest.fixture(scope="module")
def made(info, tmp_path_factory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("made")
    record = answers.answered(info, SPANS, rate=2, fill="flow")
    return {name: EXPORTERS[name].write(record, info, folder / f"01-a-dog{ending}") for name, ending in ENDINGS.items()}


ENDINGS = {"mp4": ".mp4", "clip": ".clip.mp4"}


def top(path: Path) -> list[str]:
    """The file's outermost boxes, in order."""
    names, at, data = [], 0, path.read_bytes()
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        names.append(kind.decode())
        at += size or len(data)
    return names


def test_files_are_named_after_their_spans(made):
    assert [p.name for p in made["mp4"]] == ["01-a-dog.mp4"]
    assert [p.name for p in made["clip"]] == ["01-a-dog.1.clip.mp4", "01-a-dog.2.clip.mp4"]


def test_browsers_can_play_them_and_the_sound_is_kept(made):
    for path in [*made["mp4"], *made["clip"]]:
        order = top(path)
        assert order.index("moov") < order.index("mdat"), "faststart"
        with av.open(str(path)) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert sound.codec_context.name == "aac"
            levels = [np.abs(f.to_ndarray()).mean() for f in container.decode(sound)]
            assert np.median(levels) > 0.05, "the tone is there"


def test_the_overlay_has_every_frame_and_the_boxes_on_theirs(made, info):
    over = probe(made["mp4"][0])
    np.testing.assert_allclose(over.times, info.times, atol=1e-4)
    frames = read_frames(over, over.times).images
    assert [clips.code(image) for image in frames] == list(range(len(info.times)))
    inside = [any(a <= t < b for a, b in SPANS) for t in np.round(info.times, 3)]
    for image, t, shown in zip(frames, info.times, inside, strict=True):
        x1, y1, x2, _ = answers.moving(np.array([t]), info.width, info.height)[0].round().astype(int)
        line = image[y1, x1 + 4 : x2 - 4].astype(int)
        like = np.abs(line - np.array(COLOURS[0])).max(-1) < 90
        assert (like.mean() > 0.8) == shown, t


def test_clips_begin_and_end_with_their_spans(made, info):
    for path, (start, end) in zip(made["clip"], SPANS, strict=True):
        clip = probe(path)
        expected = np.flatnonzero((info.times >= start - 1e-6) & (info.times < end - 1e-6))
        assert [clips.code(image) for image in read_frames(clip, clip.times).images] == expected.tolist()
        assert clip.duration == pytest.approx(end - start, abs=0.01)


def test_answers_without_boxes_have_clips_but_no_overlay(info, tmp_path):
    record = answers.answered(info, SPANS[:1], boxes=False)
    assert EXPORTERS["mp4"].write(record, info, tmp_path / "x.mp4") == []
    assert EXPORTERS["clip"].write(record, info, tmp_path / "x.clip.mp4") == [tmp_path / "x.clip.mp4"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.clip.mp4"]


def test_chromium_plays_them(made, tmp_path):
    with browser() as running:
        for path in [made["mp4"][0], made["clip"][0]]:
            page = tmp_path / "play.html"
            page.write_text(f'<video muted src="{path.as_uri()}"></video>')
            window, seen = visit(running, page)
            played = window.evaluate(
                """async () => {
                    const video = document.querySelector("video");
                    await video.play();
                    await new Promise((r) => video.addEventListener("ended", r));
                    return [video.currentTime, video.duration, video.videoWidth, video.webkitAudioDecodedByteCount];
                }"""
            )
            assert played[0] == played[1] == pytest.approx(probe(path).duration, abs=0.1)
            assert played[2] == 160
            assert played[3] > 0
            assert seen.errors == []
