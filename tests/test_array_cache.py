"""Arrays and decoded frames on disk: kept by content, whole or not at all, within a limit, and never needed."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

sys.path.insert(0, str(Path(__file__).parent))

import clips

from whenwhere.array_cache import ArrayCache
from whenwhere.video import probe, read_frames
from whenwhere.video.frame_cache import FrameCache

BIG = 1 << 30


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrays"))


@settings(max_examples=30, deadline=None)
@given(
    one=arrays.arrays(
        st.sampled_from(["u1", "i2", "f4", "f8", "?"]), arrays.array_shapes(min_dims=0, min_side=0, max_side=5)
    ),
    two=arrays.arrays(np.float32, st.tuples(st.integers(0, 40))),
    text=st.text(max_size=20),
)
def test_what_is_stored_comes_back(tmp_path_factory: Any, one: np.ndarray, two: np.ndarray, text: str) -> None:
    cache = ArrayCache(tmp_path_factory.mktemp("cache"), BIG)
    key = cache.key("a", text)
    assert cache.write(key, {"one": one, "two": two}, {"text": text, "n": [1, None]})
    found = cache.read(key)
    assert found is not None and found.about == {"text": text, "n": [1, None]}
    for name, wanted in {"one": one, "two": two}.items():
        assert found.arrays[name].dtype == wanted.dtype and found.arrays[name].shape == wanted.shape
        assert found.arrays[name].tobytes() == wanted.tobytes()
    assert cache.read(cache.key("a", text, 1)) is None


def test_a_changed_array_is_not_stored(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, BIG)
    cache.write("k", {"x": np.arange(5)})
    cache.read("k").arrays["x"][:] = 0  # type: ignore[union-attr]
    assert cache.read("k").arrays["x"].tolist() == [0, 1, 2, 3, 4]  # type: ignore[union-attr]


def test_every_kind_of_damage_is_a_missing_entry(tmp_path: Path) -> None:
    """Cut off anywhere, a byte changed anywhere, another entry's file, a folder, rubbish: found, and written anew."""
    cache = ArrayCache(tmp_path, BIG)
    key, other = cache.key("a", 1), cache.key("a", 2)
    x = np.arange(50, dtype=np.int16)
    cache.write(key, {"x": x})
    cache.write(other, {"x": x + 1})
    path = tmp_path / f"{key}.arrays"
    whole = path.read_bytes()
    padding = {k for k in range(len(whole)) if whole[k] == 0}
    spoilt = [whole[:n] for n in (0, 5, 30, 100, len(whole) // 2)]
    for k in range(0, len(whole), 3):
        if k not in padding:
            spoilt.append(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
    spoilt += [(tmp_path / f"{other}.arrays").read_bytes(), b"\0" * 1000, b"[" * 1000]
    spoilt += [b"whenwhere-arrays-1\n" + b"\xff" * 8 + whole[27:]]
    for data in spoilt:
        path.write_bytes(data)
        entry = cache.read(key)
        assert entry is None or entry.arrays["x"].tolist() == x.tolist(), data[:60]
        assert cache.write(key, {"x": x}) and cache.read(key) is not None
    path.write_bytes(whole[: len(whole) // 2])
    assert cache.read(key) is None
    path.unlink()
    path.mkdir()
    assert cache.read(key) is None
    path.rmdir()
    os.mkfifo(path)
    assert cache.read(key) is None


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    x = np.zeros(1000, np.uint8)
    ArrayCache(tmp_path, BIG).write("0", {"x": x})
    limit = 6 * files(tmp_path)[0].stat().st_size
    cache = ArrayCache(tmp_path, limit)
    for k in range(5):
        assert cache.write(f"{k}", {"x": x})
        os.utime(tmp_path / f"{k}.arrays", (k, k))
    assert cache.read("0") is not None  # used just now
    again = ArrayCache(tmp_path, limit)  # another process
    for k in range(5, 8):
        assert again.write(f"{k}", {"x": x})
    there = {path.stem for path in files(tmp_path)}
    assert {"0", "5", "6", "7"} <= there and "1" not in there and "2" not in there
    assert sum(path.stat().st_size for path in files(tmp_path)) <= limit
    assert not again.write("big", {"x": np.zeros(limit, np.uint8)}) and again.problem is None
    # what a killed process left is removed in the end, what is being written is not
    abandoned, unfinished = tmp_path / ".a.whenwhere-1.arrays", tmp_path / ".b.whenwhere-1.arrays"
    abandoned.write_bytes(bytes(limit))
    unfinished.write_bytes(bytes(limit))
    os.utime(abandoned, (0, 0))
    ArrayCache(tmp_path, limit).write("8", {"x": x})
    assert not abandoned.exists() and unfinished.exists()


def test_a_mapped_entry_outlives_its_file(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 3000)
    cache.write("a", {"x": np.full(2000, 7, np.uint8)})
    mapped = cache.read("a").arrays["x"]  # type: ignore[union-attr]
    cache.write("b", {"x": np.zeros(2000, np.uint8)})
    assert cache.read("a") is None and (mapped == 7).all()


@pytest.mark.parametrize("when", ["write", "folder"])
def test_a_full_disk_costs_the_cache_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    folder = tmp_path / "cache"
    cache = ArrayCache(folder, BIG)
    cache.write("before", {"x": np.arange(3)})
    if when == "folder":
        folder = tmp_path / "file" / "cache"
        (tmp_path / "file").write_text("")
        cache = ArrayCache(folder, BIG)
    else:

        def full(file: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    assert not cache.write("a", {"x": np.arange(3)})
    assert cache.problem is not None and str(folder) in cache.problem and "cannot be written" in cache.problem
    if when == "write":
        assert "No space left" in cache.problem
        monkeypatch.undo()
        assert not cache.write("a", {"x": np.arange(3)})  # not tried again and again
        assert cache.read("before") is not None
        assert [path.name for path in folder.iterdir()] == ["before.arrays"]


def test_two_writers_of_one_entry(tmp_path: Path) -> None:
    """Both write it, at the same time; whoever reads meanwhile sees nothing or all of it."""
    from concurrent.futures import ThreadPoolExecutor

    x = np.arange(20_000)

    def work(_: int) -> bool:
        cache = ArrayCache(tmp_path, BIG)
        written = cache.write("k", {"x": x})
        found = cache.read("k")
        return written and found is not None and bool((found.arrays["x"] == x).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(12)))
    assert [path.name for path in tmp_path.iterdir()] == ["k.arrays"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    return clips.write(path, n=40, fps=10, gop=12).path


def test_frames_are_decoded_once_and_are_the_same(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = read_frames(probe(clip), [0.0, 2.55, 1.0, 1.0, 99.0], width=64)
    cache = FrameCache(ArrayCache(tmp_path, BIG))
    other = tmp_path / "b.mp4"
    other.write_bytes(clip.read_bytes())
    again = FrameCache(ArrayCache(tmp_path, BIG))
    for number, one in enumerate([cache, cache, again]):
        found = one.frames(other if number else clip, [0.0, 2.55, 1.0, 1.0, 99.0], width=64)
        assert (found.images == wanted.images).all() and found.images.dtype == np.uint8
        assert (found.times == wanted.times).all() and (found.requested == wanted.requested).all()
        assert found.warnings == wanted.warnings
        # from the second time on not even the packets are looked at
        monkeypatch.setattr("whenwhere.video.frame_cache.probe", None)
    assert (cache.decodes, again.decodes) == (1, 0)
    video = again.video(clip)
    assert video.shape([0.0, 1.0], 64) == (2, 48, 64, 3) and video.shape([0.0]) == (1, 120, 160, 3)
    assert (video.duration, video.width, video.height, video.fps) == (4.0, 160, 120, 10.0)
    keys = {video.key([0.0, 1.0], 64), video.key([0.0, 1.0]), video.key([0.0], 64), video.key([0.0, 1.1], 64)}
    assert len(keys) == 4 and cache.video(other).key([0.0], 64) in keys


def test_another_video_of_the_same_name_has_frames_of_its_own(tmp_path: Path) -> None:
    cache = FrameCache(ArrayCache(tmp_path / "cache", BIG))
    path = clips.write(tmp_path / "a.mp4", n=20, fps=10).path
    before = cache.frames(path, [1.0]).images
    clips.write(path, n=20, fps=10, first=500)
    after = cache.frames(path, [1.0]).images
    assert (clips.code(before[0]), clips.code(after[0])) == (10, 510) and cache.decodes == 2


def test_without_a_store_nothing_is_kept(tmp_path: Path, clip: Path) -> None:
    cache = FrameCache()
    for _ in range(2):
        assert clips.code(cache.frames(clip, [1.0]).images[0]) == 10
    assert cache.decodes == 2 and cache.video(clip).key([1.0]) == ""
    # only what the probe found
    store = ArrayCache(tmp_path, BIG)
    few = FrameCache(store, keeps_frames=False)
    for _ in range(2):
        assert clips.code(few.frames(clip, [1.0]).images[0]) == 10
    assert few.decodes == 2 and len(files(tmp_path)) == 1 and few.video(clip).key([1.0])


def test_a_damaged_entry_is_decoded_again(tmp_path: Path, clip: Path) -> None:
    cache = FrameCache(ArrayCache(tmp_path, BIG))
    wanted = cache.frames(clip, [0.0, 1.0]).images.copy()
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-200])
    assert (cache.frames(clip, [0.0, 1.0]).images == wanted).all() and cache.decodes == 2
    assert (cache.frames(clip, [0.0, 1.0]).images == wanted).all() and cache.decodes == 2


def test_errors_are_those_of_reading(tmp_path: Path, clip: Path) -> None:
    from whenwhere.errors import MediaError, QueryError, SettingError

    cache = FrameCache(ArrayCache(tmp_path, BIG))
    with pytest.raises(MediaError, match="does not exist"):
        cache.frames(tmp_path / "none.mp4", [0.0])
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError):
        cache.video(tmp_path / "text.mp4")
    with pytest.raises(QueryError, match="finite"):
        cache.frames(clip, [float("nan")])
    with pytest.raises(SettingError, match="width"):
        cache.frames(clip, [0.0], width=0)
