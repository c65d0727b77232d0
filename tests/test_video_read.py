"""Probing and reading: the number on the picture, not its claimed time, says which frame came back."""

import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whenwhere.errors import MediaError, QueryError, SettingError
from whenwhere.video import plan_read, probe, read_frames, stream_frames
from whenwhere.video.decode import decode_runs, every_frame
from whenwhere.video.pick import FramePicker, matched_frames
from whenwhere.video.picture import FrameConverter

sys.path.insert(0, str(Path(__file__).parent))
import clips


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def codes(info, images) -> list[int]:
    # The barcode is where the stored picture has its top: turn the shown picture back.
    return [clips.code(np.rot90(image, info.rotation // 90)) for image in images]


@pytest.mark.parametrize("name", clips.SOUND)
def test_every_displayed_frame_is_found_at_its_time(name: str, folder: Path) -> None:
    clip = clips.make(name, folder)
    info = probe(clip.path)
    assert info.times == pytest.approx(clip.times, abs=1e-3)
    assert info.times[0] == 0
    assert not info.warnings
    frames = read_frames(info, info.times)
    assert codes(info, frames.images) == clip.codes
    assert frames.times == pytest.approx(info.times)
    assert not frames.warnings


@pytest.mark.parametrize("name", clips.SOUND)
def test_sparse_unordered_and_repeated_times(name: str, folder: Path) -> None:
    clip = clips.make(name, folder)
    info = probe(clip.path)
    random = np.random.default_rng(3)
    times = random.uniform(-0.1, info.duration + 0.1, 9).tolist()
    times += times[:3]
    for threads in (1, 2):
        frames = read_frames(info, times, width=120, threads=threads)
        assert codes(info, frames.images) == [clip.codes[k] for k in info.shown(times)]
        assert frames.images.shape[2] == 120
        assert (frames.times <= np.maximum(times, 0) + 1e-6).all()
        assert frames.requested.tolist() == times


@pytest.mark.parametrize("name", clips.SOUND)
def test_stream_gives_all_frames_in_order(name: str, folder: Path) -> None:
    clip = clips.make(name, folder)
    info = probe(clip.path)
    warnings: list[str] = []
    everything = list(stream_frames(info, width=120, warnings=warnings))
    assert [t for t, _ in everything] == info.times.tolist()
    assert codes(info, [image for _, image in everything]) == clip.codes
    assert not warnings


@pytest.mark.parametrize("name", clips.SOUND)
def test_stream_on_a_grid(name: str, folder: Path) -> None:
    clip = clips.make(name, folder)
    info = probe(clip.path)
    got = list(stream_frames(info, fps=4, width=120, gray=True, start=0.1, end=1.1))
    expected = list(dict.fromkeys(info.shown([t for t in (0.25, 0.5, 0.75, 1.0) if t < info.duration]).tolist()))
    assert [t for t, _ in got] == info.times[expected].tolist()
    assert codes(info, [image for _, image in got]) == [clip.codes[k] for k in expected]
    assert all(image.ndim == 2 for _, image in got)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"fps_exact": 30, "vfr": False, "duration": 2.0, "start": 0.0, "codec": "h264", "audio": False}),
        ("ntsc", {"fps_exact": Fraction(30_000, 1001), "vfr": False, "duration": 60 * 1001 / 30_000}),
        ("mkv", {"fps_exact": Fraction(30_000, 1001), "vfr": False}),
        ("vfr", {"vfr": True, "start": 1 / 30}),
        ("vfr-mkv", {"vfr": True}),
        ("rotated-90", {"rotation": 90, "width": 120, "height": 160, "coded_width": 160, "coded_height": 120}),
        ("rotated-180", {"rotation": 180, "width": 160, "height": 120}),
        ("rotated-270", {"rotation": 270, "width": 120, "height": 160}),
        ("edit-list", {"start": 0.0, "duration": 37 / 30}),
        ("ts-offset", {"start": 6.4, "duration": 2.0}),
        ("one-frame", {"duration": 1 / 30, "vfr": False}),
        ("wide-pixels", {"sar": Fraction(4, 3), "width": 213, "height": 120, "coded_width": 160}),
        ("ten-bit", {"pix_fmt": "yuv420p10le"}),
        ("odd", {"width": 163, "height": 121}),
        ("raw", {"fps_exact": 30, "start": 0.0, "declared_duration": None}),
        ("av1", {"codec": "av1"}),
        ("hevc", {"codec": "hevc"}),
        ("aac", {"audio": True, "duration": 3.0}),
    ],
)
def test_probe_measures(name: str, expected: dict, folder: Path) -> None:
    info = probe(clips.make(name, folder).path)
    for key, value in expected.items():
        assert getattr(info, key) == (pytest.approx(value, abs=1e-3) if isinstance(value, float) else value), key
    record = info.record()
    assert record.duration == pytest.approx(info.duration, abs=1e-3)
    assert (record.width, record.height) == (info.width, info.height)


def test_rotated_pictures_are_upright(folder: Path) -> None:
    """90 degrees clockwise: the stored left edge becomes the top, so the barcode's first bit is at the right top."""
    image = read_frames(probe(clips.make("rotated-90", folder).path), [0.5]).images[0]
    expected = np.rot90(clips.picture(15), -1)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 6
    assert np.abs(image[::-1, ::-1].astype(int) - expected).mean() > 30


def test_wide_pixels_are_made_square(folder: Path) -> None:
    info = probe(clips.make("wide-pixels", folder).path)
    assert read_frames(info, [0.0]).images.shape == (1, 120, 213, 3)
    assert read_frames(info, [0.0], width=106).images.shape == (1, 60, 106, 3)


def test_colours_survive(folder: Path) -> None:
    """Limited-range video comes back as full-range RGB and grey."""
    info = probe(clips.make("plain", folder).path)
    image = read_frames(info, [31 / 30]).images[0]
    assert np.abs(image.astype(int) - clips.picture(31)).mean() < 6
    assert image[6, 4].min() > 245
    assert image[6, -4].max() < 10
    _, grey = next(stream_frames(info, gray=True, start=31 / 30 - 1e-4))
    assert int(grey[6, 4]) > 245
    assert int(grey[6, -4]) < 10


def test_shrinking_averages_areas(folder: Path) -> None:
    """A fine pattern must become its mean, not a moiré of picked pixels."""
    cv2 = pytest.importorskip("cv2")
    info = probe(clips.make("odd", folder).path)
    full = read_frames(info, [0.2]).images[0]
    small = read_frames(info, [0.2], width=41).images[0]
    expected = cv2.resize(full, (41, small.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 2.5


def test_plan_shows_what_a_player_shows(folder: Path) -> None:
    info = probe(clips.make("vfr", folder).path)
    times = np.linspace(-0.5, info.duration + 1, 200)
    p = plan_read(info, times)
    for t, actual in zip(p.requested, p.actual, strict=True):
        before = info.times[info.times <= t + 1e-6]
        assert actual == (before[-1] if len(before) else 0.0)
    assert plan_read(info, []).index.shape == (0,)
    for bad in (np.nan, np.inf):
        with pytest.raises(QueryError, match="finite"):
            plan_read(info, [0, bad])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(t=st.floats(-1, 8))
def test_shown_and_last_before(folder: Path, t: float) -> None:
    info = probe_once(folder)
    k = int(info.shown(t))
    assert k == 0 or info.times[k] <= t + 1e-6
    assert k + 1 == len(info.times) or info.times[k + 1] > t
    before = info.last_before(t)
    assert before in info.times
    assert before < t or before == 0.0


_probed: dict[Path, object] = {}


def probe_once(folder: Path):
    if folder not in _probed:
        _probed[folder] = probe(clips.make("vfr", folder).path)
    return _probed[folder]


def test_nothing_asked_gives_nothing(folder: Path) -> None:
    info = probe(clips.make("plain", folder).path)
    assert read_frames(info, [], width=50).images.shape == (0, 38, 50, 3)
    assert list(stream_frames(info, start=5.0)) == []


def test_settings_out_of_range(folder: Path) -> None:
    info = probe(clips.make("plain", folder).path)
    with pytest.raises(SettingError, match="width"):
        read_frames(info, [0.0], width=0)
    with pytest.raises(SettingError, match="rate"):
        list(stream_frames(info, fps=0))


def test_runs_decode_no_more_than_needed(folder: Path) -> None:
    """Groups without a wanted frame, and what follows the last wanted one, are not decoded."""
    info = probe(clips.make("plain", folder).path)
    assert info.packets is not None
    wanted = info.ticks[[3, 45]]
    first, second = decode_runs(info.packets, wanted)
    assert (first.start, second.start) == (0, 40)
    assert first.stop <= 3 + 5
    assert info.packets.pts[second.stop - 1] == wanted[1]
    assert second.stop <= 45 + 5


def test_leading_pictures_are_decoded_from_the_group_before(folder: Path) -> None:
    """In an open group, frames shown before the key frame but stored after it refer to the group before."""
    info = probe(clips.make("open-gop", folder).path)
    table = info.packets
    assert table is not None
    keys = np.flatnonzero(table.key)
    leading = [r for r in range(keys[1] + 1, len(table)) if table.pts[r] < table.pts[keys[keys < r][-1]]]
    assert leading, "the encoder made no open group: this clip tests nothing"
    for row in leading:
        (run,) = decode_runs(table, table.pts[row : row + 1])
        assert run.start == keys[keys < row][-2]
        (k,) = np.flatnonzero(info.ticks == table.pts[row])
        assert clips.code(read_frames(info, [info.times[k]]).images[0]) == k


@pytest.mark.parametrize("threads", [1, 3])
def test_pickers_own_threads_give_the_same(folder: Path, threads: int) -> None:
    info = probe(clips.make("plain", folder).path)
    assert info.packets is not None
    picker = FramePicker(info, FrameConverter(info, 80), threads)
    for run in decode_runs(info.packets, info.ticks[::6]):
        for tick, image in picker.pick(run).items():
            assert clips.code(image) == np.flatnonzero(info.ticks == tick)[0]
    assert not picker.damaged
    picker.close()


def test_hidden_reference_frames_are_not_counted(folder: Path) -> None:
    """VP8 stores frames that are never shown as packets of their own."""
    table = probe(clips.make("vp8", folder).path).packets
    assert table is not None
    assert np.flatnonzero(~table.shown).tolist() == [10]


def test_repair_finds_what_skipping_lost(folder: Path) -> None:
    """The second, plain decoding gives exactly the requested frames and does not report them as damaged."""
    info = probe(clips.make("hevc", folder).path)
    picker = FramePicker(info, FrameConverter(info, None))
    ticks = info.ticks[[19, 20, 33]].tolist()
    assert [clips.code(image) for _, image in sorted(picker.repair(ticks).items())] == [19, 20, 33]
    assert not picker.damaged
    picker.close()


def test_a_hole_is_filled_with_the_frame_before(folder: Path) -> None:
    info = probe(clips.make("plain", folder).path)
    picker = FramePicker(info, FrameConverter(info, None))
    ticks = info.ticks[:8].tolist()
    between = [(t, f) for t, f in _frames(info, 8) if t not in ticks[3:5]]
    got = [
        (t, clips.code(image), exact)
        for t, image, exact in matched_frames(iter(between), ticks[2:6], FrameConverter(info, None))
    ]
    assert got == [(ticks[2], 2, True), (ticks[3], 2, False), (ticks[4], 2, False), (ticks[5], 5, True)]
    picker.close()


def _frames(info, n):
    for k, pair in enumerate(every_frame(info)):
        if k >= n:
            return
        yield pair


def test_truncated_with_index_is_partial_with_a_warning(folder: Path) -> None:
    clip = clips.make("truncated", folder)
    info = probe(clip.path)
    assert info.truncated
    assert 1.0 < info.duration < 2.9
    assert info.declared_duration == pytest.approx(3.0)
    assert not info.vfr
    assert "cut off" in info.warnings[0]
    frames = read_frames(info, info.times)
    numbers = np.round(info.times * 30).astype(int).tolist()
    assert codes(info, frames.images) == numbers
    assert frames.warnings == info.warnings
    assert codes(info, [image for _, image in stream_frames(info)]) == numbers


def test_damaged_middle_is_partial_with_a_warning(folder: Path) -> None:
    """Frames outside the damage are exact; frames inside are named."""
    clip = clips.make("corrupt", folder)
    info = probe(clip.path)
    low, high = clip.extra["damaged"]
    frames = read_frames(info, info.times)
    got = np.array(codes(info, frames.images))
    right = np.arange(120)
    sound = (right < low - 2) | (right >= high)
    assert (got[sound] == right[sound]).all()
    assert (got[~sound] != right[~sound]).any(), "the clip is not damaged: this tests nothing"
    (warning,) = frames.warnings
    assert "damaged: 1.3-2.0 s" in warning
    warnings: list[str] = []
    streamed = list(stream_frames(info, warnings=warnings))
    assert [t for t, _ in streamed] == info.times.tolist()
    assert (np.array(codes(info, [image for _, image in streamed]))[sound] == right[sound]).all()
    assert len(warnings) == 1
    # If no damaged frame is requested, there is no warning.
    assert not read_frames(info, [0.5, 3.5]).warnings


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("empty", "is empty"),
        ("text", "is text, not a video"),
        ("text-file", "is text, not a video"),
        ("sound-only", "sound but no moving picture"),
        ("cover", "sound but no moving picture"),
        ("indexless", "cut off before its index"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(name: str, sentence: str, folder: Path) -> None:
    with pytest.raises(MediaError, match=sentence) as caught:
        probe(clips.make(name, folder).path)
    assert "\n" not in str(caught.value)


def test_missing_folder_noise_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        probe(tmp_path / "nothing.mp4")
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(1).bytes(20_000))
    with pytest.raises(MediaError, match="not a video"):
        probe(noise)
    with pytest.raises(MediaError, match="cannot be read"):
        probe("a\0b.mp4")


def test_a_playlist_may_not_reach_the_network(tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        probe(playlist)


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", "grün: 50%d.mp4".encode(), b"-v.mp4", b"http:x.mp4"])
def test_odd_file_names(name: bytes, folder: Path, tmp_path: Path) -> None:
    clip = clips.make("plain", folder)
    target = os.path.join(os.fsencode(tmp_path), name)
    with open(target, "wb") as f:
        f.write(clip.path.read_bytes())
    for spelled in (target, os.fsdecode(target)):
        info = probe(spelled)
        assert clips.code(read_frames(info, [1.0]).images[0]) == 30
        info.record().model_dump_json()


def test_memory_is_bounded_while_streaming(folder: Path) -> None:
    """A stopped stream releases its file and threads, and images are not kept."""
    import threading

    info = probe(clips.make("aac", folder).path)
    for gray in (False, True):
        for fps in (None, 10):
            frames = stream_frames(info, fps=fps, gray=gray)
            next(frames)
            frames.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("whenwhere")]


def test_real_clips(real_data: Path) -> None:
    """Real footage: every tenth frame read sparsely equals the one a plain pass gives."""
    for path in sorted((real_data / "videos").glob("*.mp4")):
        info = probe(path)
        numbers = np.arange(5, min(len(info.times), 120), 10)
        converter = FrameConverter(info, 160)
        plain = dict(_frames(info, int(numbers[-1]) + 1))
        for threads in (1, 2, 4):
            sparse = read_frames(info, info.times[numbers], width=160, threads=threads)
            assert not sparse.warnings, (path.name, threads)
            for k, image in zip(numbers, sparse.images, strict=True):
                assert np.array_equal(converter(plain[int(info.ticks[k])]), image), (path.name, k)


@pytest.mark.parametrize("name", clips.SOUND)
def test_seeking_gives_the_same_as_reading_through(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny clips are read through; long ones are not. Here every run is reached by a seek, forwards and back."""
    from whenwhere.video import decode

    clip = clips.make(name, folder)
    info = probe(clip.path)
    if not info.packets.seekable:
        return
    seeks = []
    jump = decode.Decoder._jump
    monkeypatch.setattr(decode, "_STRIDE", -1)
    monkeypatch.setattr(decode.Decoder, "_jump", lambda self, start: seeks.append(jump(self, start)) or seeks[-1])
    picker = FramePicker(info, FrameConverter(info, 120))
    wanted = info.ticks[:: max(len(info.ticks) // 9, 1)]
    found = {}
    for run in sorted(decode_runs(info.packets, wanted), key=lambda r: -r.start):
        found |= picker.pick(run)
    picker.close()
    assert seeks
    assert codes(info, [image for _, image in sorted(found.items())]) == [
        clip.codes[k] for k in np.searchsorted(info.ticks, wanted)
    ]
    if name not in ("ts-offset", "headless", "mpeg2"):
        assert all(seeks), "an indexed file must be reached by seeking"


@pytest.mark.parametrize("name", ["plain", "vp9"])
def test_a_table_that_lies_is_given_up(name: str, folder: Path) -> None:
    """A demuxer that gives other packets the second time: everything is decoded from the start instead."""
    clip = clips.make(name, folder)
    info = probe(clip.path)
    table = info.packets
    assert table is not None
    pts = table.pts.copy()
    pts[[1, 2]] = pts[[2, 1]]
    lying = replace(info, packets=replace(table, pts=pts))
    times = [0.1, 1.0, 1.9]
    frames = read_frames(lying, times)
    assert codes(info, frames.images) == [clip.code_at(t) for t in times]
    assert not frames.warnings
    streamed = list(stream_frames(lying, fps=2))
    assert codes(info, [image for _, image in streamed]) == [0, 15, 30, 45]
