"""A few files of benchmarks/reader_against_ffmpeg.py, whose whole sweep takes a quarter of an hour."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "reader_against_ffmpeg.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reader_against_ffmpeg", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (("mp4", "h264", "gaps", 5.0), "equal"),
        (("mov", "h264 no B", "25", 0.0, "transverse"), "equal"),
        (("mkv", "hevc", "change"), "equal"),
        (("webm", "vp9", "25", 0.0, "", "cat"), "better"),
        (("avi", "h264", "gaps"), "equal"),
        (("asf", "mpeg2", "ntsc"), "equal better"),
        (("mkv", "h264", "25", 0.0, "", "other size"), "named"),
        (("ts", "h264", "25", 0.0, "", "hour"), "equal better"),
        (("ts", "mpeg2", "25", 0.0, "", "other size"), "equal better"),
        (("mpg", "mpeg2", "25", 0.0, "", "back"), "equal better"),
        (("avi", "h264", "ntsc"), "equal better"),
        (("avi", "mpeg4 B", "25"), "equal better"),
        (("mp4", "h264", "25", 0.0, "", "cat"), "named"),
        (("h264", "h264", "25"), "equal"),
    ],
    ids=lambda x: "-".join(str(v) for v in x if v) if isinstance(x, tuple) else None,
)
def test_frames_are_those_of_the_ffmpeg_command(script: ModuleType, case: tuple, verdict: str, tmp_path: Path) -> None:
    """Frame for frame and time for time, or a warning says what is different."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg: the ffmpeg command is not installed")
    result = script.run(script.Case(*case), tmp_path)
    assert script.verdict_of(result) in verdict.split(), result


def test_comparison_can_fail(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost frame, another one and another time are found out; only a warning of that kind and place names them."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg: the ffmpeg command is not installed")
    case = script.Case("mp4", "h264")
    path, numbers = script.make(tmp_path, case)
    images, seconds, _ = script.read_by_us(path)
    theirs = script.read_by_ffmpeg(path)
    monkeypatch.setattr(script, "read_by_ffmpeg", lambda path: theirs)
    swapped = [images[1], images[0], *images[2:]]
    late = [*seconds[:-1], seconds[-1] + 0.04]
    unread, damaged = "another video begins after 0.9 s and is not read", "2 frames are damaged: 0.0-0.1 s; one that"
    jump = "the file's time stamps restart or jump at 0.9 s: its parts"
    wrong = {unread: (images[:-1], seconds[:-1]), damaged: (swapped, seconds), jump: (images, late)}
    elsewhere = {damaged: damaged.replace("0.0-0.1", "0.5-0.6"), jump: jump.replace("0.9", "0.99 s, 1.1")}
    for fits, (frames, times) in wrong.items():
        for warnings in ([], [w for w in wrong if w != fits], [elsewhere.get(fits, "a word")]):
            monkeypatch.setattr(script, "read_by_us", lambda path, w=warnings, f=frames, t=times: (f, t, w))
            assert script.compare(path, case, numbers).startswith("differs"), (fits, warnings)
        monkeypatch.setattr(script, "read_by_us", lambda path, w=[fits], f=frames, t=times: (f, t, w))
        assert script.compare(path, case, numbers).startswith("named"), fits
        # All is read, so that the warning has no cause.
        monkeypatch.setattr(script, "read_by_us", lambda path, w=[fits]: (images, seconds, w))
        assert script.compare(path, case, numbers).startswith("differs"), fits
