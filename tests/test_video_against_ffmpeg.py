"""A few files of benchmarks/reader_against_ffmpeg.py, whose whole sweep takes an hour."""

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
        (("webm", "vp9", "25", 0.0, "", "cat"), "named"),
        (("ts", "h264", "25", 0.0, "", "hour"), "named equal"),
        (("ts", "mpeg2", "25", 0.0, "", "other size"), "named equal"),
        (("mpg", "mpeg2", "25", 0.0, "", "back"), "named equal"),
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
    """A reader that loses a frame, gives another one or another time is found out."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg: the ffmpeg command is not installed")
    path, numbers = script.make(tmp_path, script.Case("mp4", "h264"))
    times = [k / 25 for k in numbers]
    images, seconds, _ = script.read_by_us(path)
    swapped = [images[1], images[0], *images[2:]]
    late = [*seconds[:-1], seconds[-1] + 0.04]
    for wrong in ((images[1:], seconds[1:]), (swapped, seconds), (images, late)):
        monkeypatch.setattr(script, "read_by_us", lambda path, wrong=wrong: (*wrong, []))
        assert script.compare(path, numbers, times).startswith("differs")
        monkeypatch.setattr(script, "read_by_us", lambda path, wrong=wrong: (*wrong, ["a word"]))
        assert script.compare(path, numbers, times).startswith("named")
