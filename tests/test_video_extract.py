"""Parts of videos as files: copied where the cut allows it, encoded again where it does not, with the same frames."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from whenwhere.errors import QueryError
from whenwhere.spans import Span
from whenwhere.video import probe, read_frames
from whenwhere.video.extract import extract_clip

FRAMES, FPS = 48, 8


def video(path: Path, codec: str = "libx264", gop: int = 16, options: dict[str, str] | None = None) -> Path:
    """Frames of a grey level of their own, and a bar that shows their number."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=FPS)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.options = options or {}
        for k in range(FRAMES):
            image = np.full((64, 64, 3), 40 + 3 * k, np.uint8)
            image[:, k : k + 8] = 255
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


CLOSED = {"x264-params": "keyint=16:min-keyint=16:scenecut=0:open-gop=0:bframes=2"}


@pytest.mark.parametrize(
    ("name", "codec", "options", "span", "copied"),
    [
        ("closed.mp4", "libx264", CLOSED, (2.0, 4.0), True),
        ("closed.mkv", "libx264", CLOSED, (2.0, 4.0), True),
        ("whole.mp4", "libx264", CLOSED, (0.0, 6.0), True),
        ("past.mp4", "libx264", CLOSED, (4.0, 99.0), True),
        ("start.mp4", "libx264", CLOSED, (1.0, 4.0), False),
        ("between.mp4", "libx264", CLOSED, (2.03, 4.0), False),
        ("plain.mp4", "libx264", {"x264-params": "keyint=16:scenecut=0:bframes=0"}, (2.0, 3.3), True),
        ("reordered.mp4", "libx264", {"x264-params": "keyint=48:scenecut=0:bframes=3:b-adapt=0"}, (0.0, 2.2), False),
        ("open.mp4", "libx264", {"x264-params": "keyint=16:min-keyint=16:scenecut=0:open-gop=1:bframes=2"},
         (2.0, 4.0), False),
        ("mpeg4.avi", "mpeg4", {}, (2.0, 4.0), None),
        ("stream.ts", "libx264", CLOSED, (2.0, 4.0), None),
    ],
)  # fmt: skip
def test_a_part_has_its_own_frames_and_no_others(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], span: tuple[float, float], copied: bool | None
) -> None:
    path = video(tmp_path / name, codec, 16, options)
    info = probe(path)
    done = extract_clip(info, Span(*span), tmp_path / "out.mp4")
    if copied is not None:
        assert done.copied is copied, done.reason
    assert bool(done.reason) is not done.copied
    part = probe(tmp_path / "out.mp4")
    first = int(info.shown(span[0]))
    stop = int(np.searchsorted(info.times, span[1] - 1e-6))
    assert len(part.times) == stop - first
    wanted = read_frames(info, info.times[first:stop]).images.astype(int)
    found = read_frames(part, part.times).images.astype(int)
    # frames differ from their neighbours by a grey level of 3
    assert np.abs(wanted.mean(axis=(1, 2, 3)) - found.mean(axis=(1, 2, 3))).max() < 1.5


def test_a_part_outside_the_video(tmp_path: Path) -> None:
    info = probe(video(tmp_path / "a.mp4"))
    with pytest.raises(QueryError, match="outside the video"):
        extract_clip(info, Span(7.0, 9.0), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_real_clips(real_data: Path, tmp_path: Path) -> None:
    info = probe(real_data / "videos" / "vidor_8670554760.mp4")
    done = extract_clip(info, Span(0.0, info.duration), tmp_path / "out.mp4")
    assert done.copied and not done.warnings
    part = probe(tmp_path / "out.mp4")
    assert np.array_equal(read_frames(part, [5.0], 64).images, read_frames(info, [5.0], 64).images)
    assert part.audio == info.audio
